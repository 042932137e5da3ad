"""Properties of perovskite alloys from a small table: processes and trees, stacked, never worse than Vegard.

In: fractions of the three sites and measured or computed properties. Out: for any alloy the value, its
uncertainty, Vegard's value beside it. A site that no training row mixes is interpolated by Vegard's rule.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

from matterscope.materials.alloys.compositions import SITES
from matterscope.materials.alloys.fidelity import Support, cheap_partners, learn_two_fidelities
from matterscope.materials.alloys.newcomers import Newcomers, learn_newcomers, new_rows
from matterscope.materials.alloys.process import AlloyProcess, Fractions, mixed_sites, take
from matterscope.materials.alloys.sitekernels import (
    JOINT_TERMS,
    SMOOTH_TERMS,
    TREND_TERMS,
    VEGARD_TERMS,
    SiteBasis,
    bowing_terms,
    site_bases,
)
from matterscope.materials.alloys.species import tree_features
from matterscope.materials.forests import KINDS, Forest, answer_without, grow

Array = NDArray[np.float64]

MEMBERS = (
    "vegard-process", "smooth-process", "joint-process", "trend-process", "trees", "boosted-trees",
)  # fmt: skip
FOLDS = 5
"""Rows are left out in fifths for weights and calibration, and hyper-parameters found anew: leave-one-out
flatters processes whose hyper-parameters have seen the row and whose nearest neighbours stay in."""
SMALLEST_WEIGHT = 0.01
ODD_WEIGHT = 0.5
"""A training row whose noise weight is below is not taken at its word as an end member."""
BOWING_PRIOR = 0.3
"""Width of the deviation from Vegard at 50:50, in standard deviations of the property, where no
training row mixes anything; a weak prior (the 229 alloys of 2109.10798 give 0.08–0.8)."""


@dataclass
class Member:
    """One model of one property, with its leave-one-out answers on the training rows."""

    name: str
    process: AlloyProcess | None
    forest: Forest | None
    left_out: Array
    left_out_sigma: Array
    support: Support | None = None
    """Cheap values to which the process adds the difference."""

    @property
    def processes(self) -> list[AlloyProcess]:
        """The processes it is made of."""
        own = [] if self.process is None else [self.process]
        return own if self.support is None else [*own, self.support.process]

    def predict(self, fractions: Fractions, features: Array) -> tuple[Array, Array | None]:
        """Return value and σ of compounds; trees have none."""
        if self.process is None:
            assert self.forest is not None
            return self.forest.predict(features), None
        value, sigma = self.process.predict(fractions)
        if self.support is None:
            return value, sigma
        low, doubt = self.support.values(fractions)
        return value + low, np.hypot(sigma, doubt)

    def predict_grid(
        self, tables: Fractions, species: Mapping[str, tuple[str, ...]]
    ) -> tuple[Array, Array | None]:
        """Return value and σ of all products of site compositions, in one row each."""
        if self.process is None:
            assert self.forest is not None
            return self.forest.predict(tree_features(product_rows(tables), species)), None
        value, sigma = self.process.predict_grid(tables)
        if self.support is not None:
            low, doubt = self.support.grid(tables)
            value, sigma = value + low, np.hypot(sigma, doubt)
        return value.ravel(), sigma.ravel()


@dataclass
class TargetModel:
    """The stack of one property.

    Parameters
    ----------
    weights : array
        Non-negative, sum 1; by least squares on leave-one-out answers.
    scale : float
        Factor on σ that makes the leave-one-out residuals of unit width.
    quantiles : dict
        Level → half-width of the interval in units of the scaled σ.
    """

    name: str
    members: list[Member]
    weights: Array
    scale: float
    quantiles: dict[float, float]
    rows: NDArray[np.intp]
    target: Array
    bowing: float
    mixed: tuple[str, ...]
    losses: dict[str, float] = field(default_factory=dict)
    """Left-out RMSE of every way to use a cheaper level of theory, where there is one."""
    newcomers: dict[str, Newcomers] = field(default_factory=dict)
    """By site: weights and factor on σ for species that no training row holds there."""

    def predict(self, fractions: Fractions, features: Array) -> tuple[Array, Array]:
        """Return value and σ of compounds for which the stack itself is asked (no interpolation)."""
        return self._answered([m.predict(fractions, features) for m in self.members], fractions)

    @property
    def seen(self) -> Fractions:
        """Fractions of the training rows."""
        return next(m.process.fractions for m in self.members if m.process is not None)

    def predict_grid(
        self, tables: Fractions, species: Mapping[str, tuple[str, ...]]
    ) -> tuple[Array, Array]:
        """Return value and σ of all products of site compositions, shape (n_A, n_B, n_X) each."""
        shape = tuple(len(t) for t in tables)
        answers = [m.predict_grid(tables, species) for m in self.members]
        value, sigma = self._answered(answers, product_rows(tables))
        return value.reshape(shape), sigma.reshape(shape)

    def _answered(
        self, answers: Sequence[tuple[Array, Array | None]], fractions: Fractions
    ) -> tuple[Array, Array]:
        """Return value and σ of the stack, with weights of their own where a species is new."""
        value, sigma = self._stack(answers, self.weights, self.scale)
        for site, new in self.newcomers.items():
            rows = new_rows(site, self.seen, fractions)
            if rows.any():
                some = [(v[rows], None if s is None else s[rows]) for v, s in answers]
                value[rows], sigma[rows] = self._stack(some, new.weights, new.scale)
        return value, sigma

    def _stack(
        self, answers: Sequence[tuple[Array, Array | None]], weights: Array, scale: float
    ) -> tuple[Array, Array]:
        values = np.array([value for value, _ in answers])
        nothing = np.full(values.shape[1], np.nan)
        sigmas = np.array([nothing if sigma is None else sigma for _, sigma in answers])
        return weights @ values, scale * combine(weights, values, sigmas)

    def left_out(self) -> tuple[Array, Array]:
        """Return leave-one-out value and scaled σ of the training rows."""
        values = np.array([m.left_out for m in self.members])
        sigmas = np.array(
            [np.full(len(m.left_out), np.nan) if m.process is None else m.left_out_sigma for m in self.members]
        )  # fmt: skip
        return self.weights @ values, self.scale * combine(self.weights, values, sigmas)

    def odd_rows(self) -> NDArray[np.bool_]:
        """Return which training rows the robust process set aside."""
        process = next(m.process for m in self.members if m.process is not None)
        return np.asarray(process.weights < ODD_WEIGHT)


@dataclass
class AlloyModel:
    """Models of all properties of one table.

    Parameters
    ----------
    species : mapping of site to names
    fractions : three arrays
        Training rows.
    targets : mapping of name to array
        NaN where missing.
    seed : int
        Of the trees.
    members : sequence of str
        Models allowed in the stacks.
    """

    species: Mapping[str, tuple[str, ...]]
    fractions: Fractions
    targets: Mapping[str, Array]
    seed: int = 0
    members: Sequence[str] = MEMBERS
    units: Mapping[str, str] = field(default_factory=dict)
    models: dict[str, TargetModel] = field(default_factory=dict)
    no_skill: tuple[str, ...] = ()
    """Properties no better than the mean of the other groups for species or pairs never seen."""

    @property
    def names(self) -> list[str]:
        """Properties, in order."""
        return list(self.targets)

    @property
    def bases(self) -> tuple[SiteBasis, ...]:
        """Species and descriptors by site."""
        return site_bases(self.species)

    def fit(self) -> AlloyModel:
        """Fit every property; returns itself."""
        for name in self.targets:
            self.models[name] = self.fit_target(name)
        return self

    def fit_target(self, name: str, *, newcomers: bool = True) -> TargetModel:
        """Fit, stack and calibrate one property on the rows that have it.

        Without `newcomers`, which doubles the time, the model is fit for species of its table only.
        """
        rows = np.flatnonzero(np.isfinite(self.targets[name]))
        target = self.targets[name][rows]
        fractions = take(self.fractions, rows)
        folds = np.random.default_rng(self.seed).permutation(len(target)) % FOLDS
        supported, losses, cheap_mixed = self._supported(name, rows, folds)
        mixed = mixed_sites(fractions)
        kinds = list(self.members)
        if supported is not None and set(cheap_mixed) - set(mixed):
            # only the cheap rows show how a site bows: members without them know nothing of it
            mixed, kinds = cheap_mixed, [k for k in kinds if k == "vegard-process"]
        features = tree_features(fractions, self.species)
        members = [self._member(k, fractions, features, target, mixed, folds) for k in kinds]
        members += [] if supported is None else [supported]
        weights = stack_weights(np.array([m.left_out for m in members]), target)
        model = TargetModel(
            name, members, weights, 1.0, {}, rows, target,
            bowing_width(fractions, target, mixed), mixed, losses,
        )  # fmt: skip
        calibrate(model)
        if not newcomers:
            return model
        model.newcomers = learn_newcomers(
            [m.name for m in members],
            lambda out: self._without(members, out, features, target),
            fractions, target, stack_weights, combine,
        )  # fmt: skip
        return model

    def _without(
        self, members: Sequence[Member], out: NDArray[np.intp], features: Array, target: Array
    ) -> list[tuple[Array, Array | None]]:
        """Return what each member would say of the rows `out`, learnt from the others."""
        answers: list[tuple[Array, Array | None]] = []
        for member in members:
            if member.support is not None:
                # whether the cheap value of a new species is known is not ours to say
                answers.append((np.full(len(out), np.nan), None))
            elif member.process is not None:
                answers.append(
                    member.process.without(out).predict(take(member.process.fractions, out))
                )
            else:
                answers.append(
                    (answer_without(member.name, features, target, self.seed, out), None)
                )
        return answers

    def _member(
        self,
        kind: str,
        fractions: Fractions,
        features: Array,
        target: Array,
        mixed: tuple[str, ...],
        folds: NDArray[np.integer],
    ) -> Member:
        if kind in KINDS:
            forest, left_out = grow(kind, features, target, self.seed, folds)
            return Member(kind, None, forest, left_out, np.zeros(len(target)))
        terms = VEGARD_TERMS + bowing_terms(mixed)
        if "joint" in kind:
            terms = JOINT_TERMS
        elif kind == "smooth-process":
            terms = SMOOTH_TERMS
        elif kind == "trend-process":
            terms = TREND_TERMS
        process = AlloyProcess(terms, self.bases)
        process.fit(fractions, target)
        return Member(kind, process, None, *process.leave_out_refitted(folds))

    def _supported(
        self, name: str, rows: NDArray[np.intp], folds: NDArray[np.integer]
    ) -> tuple[Member | None, dict[str, float], tuple[str, ...]]:
        """Return the member that cheap values carry, the losses of all methods, the sites cheap rows mix."""
        partner = cheap_partners(self.targets).get(name)
        if partner is None:
            return None, {}, ()
        cheap = self.targets[partner]
        fitted = learn_two_fidelities(
            self.fractions, cheap, self.targets[name], self.bases, partner
        )
        if fitted.support is None:
            return None, fitted.losses, ()
        some = np.flatnonzero(np.isfinite(cheap))
        mixed = mixed_sites(take(self.fractions, some))
        value, sigma = fitted.predict(take(self.fractions, rows))
        # left out together: a dear row and its cheap value, as for a compound that nobody computed
        apart = np.arange(len(cheap)) + FOLDS
        apart[rows] = folds
        low, doubt = fitted.support.process.leave_out(apart[some])
        both = np.isfinite(cheap[rows])
        own, width = fitted.difference.leave_out_refitted(folds[both])
        place = np.searchsorted(some, rows[both])
        slope = fitted.support.slope
        value[both] = own + slope * low[place]
        sigma[both] = np.hypot(width, slope * doubt[place])
        member = Member("two-fidelities", fitted.difference, None, value, sigma, fitted.support)
        return member, fitted.losses, mixed

    # --- answers -----------------------------------------------------------------------------
    def corners(self, mixed: tuple[str, ...]) -> tuple[tuple[str, ...], list[tuple[int, ...]]]:
        """Return the sites that are interpolated, and the pure choices on them."""
        linear = tuple(s for s in SITES if s not in mixed)
        return linear, list(product(*(range(len(self.species[s])) for s in linear)))

    def predict_target(self, name: str, fractions: Fractions) -> tuple[Array, Array]:
        """Return value and σ of one property, shape (n,) each.

        On sites that no training row mixes, f(u) = Σ uᵢ f(eᵢ) over the pure species (Vegard), with the
        sum of the σ and the usual bowing added in quadrature. End members keep their label if they are
        in the table.
        """
        model = self.models[name]
        linear, _ = self.corners(model.mixed)
        weights, (expanded, owner) = corner_points(fractions, linear)
        unique, back = np.unique(np.column_stack(expanded), axis=0, return_inverse=True)
        widths = np.cumsum([f.shape[1] for f in fractions])[:-1]
        a, b, x = np.split(unique, widths, axis=1)
        value, sigma = model.predict((a, b, x), tree_features((a, b, x), self.species))
        measured = self.end_member_labels(model, (a, b, x))
        value = np.where(np.isfinite(measured), measured, value)
        back = np.ravel(back)
        total = np.bincount(owner, weights * value[back], minlength=len(fractions[0]))
        width = np.bincount(owner, weights * sigma[back], minlength=len(fractions[0]))
        return np.asarray(total), np.hypot(width, self.interpolation_width(model, fractions))

    def interpolation_width(self, model: TargetModel, fractions: Fractions) -> Array:
        """Return the σ of the bowing that no training row could show."""
        variance = np.zeros(len(fractions[0]))
        for place, site in enumerate(SITES):
            if site not in model.mixed:
                # 1 − Σu² is 1/2 at 50:50
                variance += (model.bowing**2) * 2.0 * (1.0 - (fractions[place] ** 2).sum(1))
        return np.asarray(np.sqrt(np.maximum(variance, 0.0)))

    def end_member_labels(self, model: TargetModel, asked: Fractions) -> Array:
        """Return the training label of end members that are trustworthy training rows, else NaN."""
        known = np.column_stack(take(self.fractions, model.rows)).round(6) + 0.0
        pure = np.isclose((known**2).sum(1), len(SITES))
        labels = {
            row.tobytes(): y
            for row, y in zip(
                known[pure & ~model.odd_rows()], model.target[pure & ~model.odd_rows()], strict=True
            )
        }
        rows = np.column_stack(asked).round(6) + 0.0
        return np.array([labels.get(row.tobytes(), np.nan) for row in rows])

    def predict(self, fractions: Fractions) -> tuple[Array, Array]:
        """Return values and σ of all properties, shape (n, properties) each."""
        answers = [self.predict_target(name, fractions) for name in self.targets]
        return np.column_stack([a[0] for a in answers]), np.column_stack([a[1] for a in answers])

    def vegard(self, fractions: Fractions) -> Array:
        """Return Vegard's value: end members measured where in the table, else predicted."""
        sizes = [f.shape[1] for f in fractions]
        grid = np.array(list(product(*(range(s) for s in sizes))))
        ends = tuple(np.eye(s)[grid[:, i]] for i, s in enumerate(sizes))
        share = np.einsum("ni,nj,nk->nijk", *fractions).reshape(len(fractions[0]), -1)
        columns = []
        for name in self.targets:
            model = self.models[name]
            value, _ = model.predict(ends, tree_features(ends, self.species))
            measured = self.end_member_labels(model, ends)
            columns.append(share @ np.where(np.isfinite(measured), measured, value))
        return np.column_stack(columns)


def product_rows(tables: Fractions) -> Fractions:
    """Return the fractions of all products of site compositions, X running fastest."""
    sizes = [len(t) for t in tables]
    grid = np.indices(sizes).reshape(3, -1)
    a, b, x = (t[i] for t, i in zip(tables, grid, strict=True))
    return a, b, x


def corner_points(
    fractions: Fractions, linear: tuple[str, ...]
) -> tuple[Array, tuple[list[Array], NDArray[np.intp]]]:
    """Expand rows into the pure choices on the `linear` sites.

    Returns
    -------
    weights : array of shape (m,)
        Product of the fractions of the chosen species.
    points : list of three arrays with m rows, and the row each of them belongs to
    """
    owner = np.arange(len(fractions[0]))
    weights = np.ones(len(owner))
    expanded = [np.asarray(f, dtype=float) for f in fractions]
    for site in linear:
        place = SITES.index(site)
        rows, species = np.nonzero(expanded[place] > 0)
        weights = weights[rows] * expanded[place][rows, species]
        kinds = expanded[place].shape[1]
        expanded = [f[rows] for f in expanded]
        expanded[place] = np.eye(kinds)[species]
        owner = owner[rows]
    return weights, (expanded, owner)


def combine(weights: Array, values: Array, sigmas: Array) -> Array:
    """Return the σ of a stack: width of the processes and disagreement of the members are independent doubts.

    Parameters
    ----------
    values, sigmas : arrays of shape (members, n)
        σ is NaN for members that have none; values may be NaN where the weight is 0.
    """
    used = np.isfinite(values).all(1)
    is_process = used & np.isfinite(sigmas).all(1)
    share = weights[is_process] + 1e-3
    own = (share / share.sum()) @ sigmas[is_process]
    stacked = weights[used] @ values[used]
    spread = np.sqrt(weights[used] @ (values[used] - stacked) ** 2)
    return np.asarray(np.sqrt(own**2 + spread**2))


def stack_weights(left_out: Array, target: Array) -> Array:
    """Return non-negative weights of sum one for the members of a stack.

    Half least squares on the left-out answers, half 1/MSE: least squares alone gives everything to one of
    two equal members by chance, and flatters processes whose hyper-parameters have seen the rows.
    """
    heavy = 1e3 * np.sqrt((target**2).sum() + 1.0)
    design = np.vstack([left_out.T, np.full(len(left_out), heavy)])
    weights, _ = nnls(design, np.append(target, heavy))
    error = np.sqrt(((left_out - target) ** 2).mean(1)) + 1e-12
    smooth = (error.min() / error) ** 2
    mixed = weights / weights.sum() + smooth / smooth.sum()
    mixed[mixed < 2 * SMALLEST_WEIGHT] = 0.0
    return np.asarray(mixed / mixed.sum())


def calibrate(model: TargetModel, levels: Sequence[float] = (0.68, 0.9, 0.95)) -> None:
    """Scale σ to the left-out residuals and keep the quantiles of their size."""
    value, sigma = model.left_out()
    z = (model.target - value) / sigma
    model.scale *= float(np.sqrt(np.mean(z**2)))
    size = np.sort(np.abs(z)) / np.sqrt(np.mean(z**2))
    n = len(size)
    for level in levels:
        place = min(int(np.ceil(level * (n + 1))), n) - 1
        model.quantiles[level] = float(size[place])


def bowing_width(fractions: Fractions, target: Array, mixed: tuple[str, ...]) -> float:
    """Return the typical deviation from Vegard at 50:50 in this table, else a prior."""
    prior = BOWING_PRIOR * float(target.std())
    ends = np.all([(f.max(1) > 1 - 1e-6) for f in fractions], axis=0)
    if not mixed or ends.sum() < 2 or ends.all():
        return prior
    sizes = [f.shape[1] for f in fractions]
    share = np.einsum("ni,nj,nk->nijk", *fractions).reshape(len(target), -1)
    known = np.full(int(np.prod(sizes)), np.nan)
    known[share[ends].argmax(1)] = target[ends]
    complete = ~ends & (np.where(np.isnan(known), share, 0.0).sum(1) < 1e-9)
    if complete.sum() < 5:
        return prior
    deviation = target[complete] - share[complete] @ np.nan_to_num(known)
    impurity = np.sum([2.0 * (1.0 - (f[complete] ** 2).sum(1)) for f in fractions], axis=0)
    return float(np.sqrt(np.mean(deviation**2 / np.maximum(impurity, 0.1))))
