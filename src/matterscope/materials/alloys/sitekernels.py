"""Kernels between alloys: sums of products of one kernel for each site, with gradients.

In: fractions on each site and descriptors of the species. Out: covariance matrices and their derivatives.
A site enters a product in one of four ways: ``1`` not at all; ``L`` linearly in its fractions, so that an
alloy is the mean of its end members (Vegard); ``F`` smoothly; ``R`` smoothly with the linear part taken
out, so that the term vanishes at every end member (bowing).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from matterscope.materials.alloys.species import descriptors, lone_pairs

Array = NDArray[np.float64]
Factors = dict[tuple[int, str], tuple[Array, list[Array]]]

LENGTHS_PER_SITE = 4
"""Logarithms of lengths: species (L), mean descriptor, square roots of fractions, spread (F and R)."""

OCCUPATION_WEIGHT = 0.3
"""Of kinds and entropy beside descriptors in `SiteBasis.trends`."""

VEGARD_TERMS = ("L11", "1L1", "11L", "LL1", "L1L", "1LL", "LLL")
"""Multilinear in all sites: a random function of the end members, interpolated by Vegard's rule."""
BOWING_TERMS = ("1R1", "LR1", "1RL", "LRL")
"""Deviation from Vegard when B is mixed, shared by or particular to the species on A and X."""
SMOOTH_TERMS = ("F11", "11F", "F1F", "1L1", "1F1", "FF1", "1FF", "FFF", "1LF", "FL1")


def bowing_terms(mixed: tuple[str, ...]) -> tuple[str, ...]:
    """Return bowing terms for the sites ("A", "B", "X") that the training table mixes."""
    terms: list[str] = []
    for place, site in enumerate("ABX"):
        if site in mixed:
            for term in BOWING_TERMS:  # written for B; carried to the other sites
                others = [term[0], term[2]]
                letters = [*others[:place], "R", *others[place:]]
                terms.append("".join(letters))
    for first, second in combinations([s for s in "ABX" if s in mixed], 2):
        terms.append("".join("R" if s in (first, second) else "L" for s in "ABX"))
    return tuple(terms)


def squared_distances(left: Array, right: Array) -> Array:
    """Return |a − b|² between rows, shape (n, m)."""
    total = np.zeros((len(left), len(right)))
    for column in range(left.shape[1]):
        total += (left[:, None, column] - right[None, :, column]) ** 2
    return total


def matern(scaled: Array) -> tuple[Array, Array]:
    """Return the Matérn-5/2 kernel of r² = `scaled`, and its derivative by the log of a common length.

    k = (1 + r̃ + r̃²/3) exp(−r̃) with r̃ = √5 r;  dk/dln ℓ = r̃² (1 + r̃)/3 exp(−r̃).

    References
    ----------
    Rasmussen and Williams, Gaussian Processes for Machine Learning (2006), eq. 4.17.
    """
    distance = np.sqrt(5.0 * scaled)
    decay = np.exp(-distance)
    square = distance * distance / 3.0
    return (1.0 + distance + square) * decay, square * (1.0 + distance) * decay


def rough_matern(scaled: Array) -> tuple[Array, Array]:
    """Return the Matérn-3/2 kernel of r² = `scaled`, and its derivative by the log of a common length.

    k = (1 + r̃) exp(−r̃) with r̃ = √3 r;  dk/dln ℓ = r̃² exp(−r̃). Samples have one derivative only: gaps of
    alloys change abruptly with the species present.
    """
    distance = np.sqrt(3.0 * scaled)
    decay = np.exp(-distance)
    return (1.0 + distance) * decay, distance * distance * decay


@dataclass(frozen=True)
class SiteBasis:
    """Species of one site and what is known of them.

    Parameters
    ----------
    descriptors : array of shape (k, d)
        Scaled, as `species.descriptors` returns them.
    kind : array of shape (k,), optional
        1 for species whose states bound the gap where they are present (an s² lone pair on B).
    """

    descriptors: Array
    kind: Array = field(default_factory=lambda: np.empty(0))
    between: Array = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "between", squared_distances(self.descriptors, self.descriptors))

    @property
    def end_members(self) -> Array:
        """The pure compositions, one a row."""
        return np.eye(len(self.descriptors))

    def kinds(self, fractions: Array) -> Array:
        """Return √content of species of the other kind and whether there is any, shape (n, 2) or (n, 0)."""
        if not self.kind.any() or self.kind.all():
            return np.zeros((len(fractions), 0))
        content = fractions @ self.kind
        return np.column_stack([np.sqrt(content), content > 0]).astype(float)

    def features(self, fractions: Array) -> tuple[Array, Array, Array]:
        """Return mean descriptors; √fractions with the mixing entropy; spread of the descriptors."""
        mean = fractions @ self.descriptors
        entropy = -(fractions * np.log(np.where(fractions > 0, fractions, 1.0))).sum(1)
        present = (fractions > 0)[:, :, None]
        highest = np.where(present, self.descriptors[None], -np.inf).max(1)
        lowest = np.where(present, self.descriptors[None], np.inf).min(1)
        second = fractions @ self.descriptors**2
        deviation = np.sqrt(np.maximum(second - mean**2, 0.0))
        spread = np.column_stack([highest - mean, mean - lowest, deviation])
        spread *= 2.0 / np.sqrt(spread.shape[1])
        return mean, np.column_stack([np.sqrt(fractions), entropy]), spread

    def trends(self, fractions: Array) -> Array:
        """Return mean descriptors, species of the other kind and mixing entropy: what any new species has too."""
        entropy = -(fractions * np.log(np.where(fractions > 0, fractions, 1.0))).sum(1)
        few = OCCUPATION_WEIGHT * np.column_stack([self.kinds(fractions), entropy])
        return np.column_stack([fractions @ self.descriptors, few])


def site_bases(species: Mapping[str, Sequence[str]]) -> tuple[SiteBasis, ...]:
    """Return the bases of A, B and X for the species named."""
    nothing = np.zeros(0)
    kinds = (nothing, lone_pairs(species["B"]), nothing)
    return tuple(SiteBasis(d, k) for d, k in zip(descriptors(species), kinds, strict=True))


class SiteKernel:
    """Covariances of one site between two lists of compositions.

    Parameters
    ----------
    basis : SiteBasis
    left, right : arrays of shape (n, k) and (m, k)
        Fractions that sum to one.
    """

    def __init__(self, basis: SiteBasis, left: Array, right: Array) -> None:
        # rows repeat the compositions of one site: covariances are made for the different ones only
        self.basis = basis
        self.left, back_left = np.unique(left, axis=0, return_inverse=True)
        self.right, back_right = np.unique(right, axis=0, return_inverse=True)
        self.back = (np.ravel(back_left), np.ravel(back_right))
        self._members: tuple[Array, Array] | None = None
        self._kinds = squared_distances(basis.kinds(self.left), basis.kinds(self.right))
        ends = basis.end_members
        one, two, pure = (basis.features(u) for u in (self.left, self.right, ends))
        self._pairs = {
            "lr": [squared_distances(p, q) for p, q in zip(one, two, strict=True)],
            "lE": [squared_distances(p, q) for p, q in zip(one, pure, strict=True)],
            "Er": [squared_distances(p, q) for p, q in zip(pure, two, strict=True)],
            "EE": [squared_distances(p, q) for p, q in zip(pure, pure, strict=True)],
        }

    def evaluate(
        self, kind: str, logs: Array, *, gradient: bool = True
    ) -> tuple[Array, list[Array]]:
        """Return the kernel of `kind` (L, F or R) between the *different* compositions, and its slopes.

        `expand` carries the kernel to all rows; the derivatives are by the log lengths that
        `gradient_index` names.
        """
        if kind == "L":
            value, slope = matern(self.basis.between * np.exp(-2.0 * logs[0]))
            rows = [
                self.left @ m @ self.right.T for m in ((value, slope) if gradient else (value,))
            ]
            return rows[0], rows[1:]
        parts = self._smooth("lr", logs, gradient)
        if kind == "R":
            # g(u) − Σ uᵢ g(eᵢ) on both sides: zero as soon as either composition is pure
            near, far, ends = (self._smooth(key, logs, gradient) for key in ("Er", "lE", "EE"))
            parts = [
                p - self.left @ n - f @ self.right.T + self.left @ e @ self.right.T
                for p, n, f, e in zip(parts, near, far, ends, strict=True)
            ]
        return parts[0], parts[1:]

    def expand(self, value: Array) -> Array:
        """Return a kernel between different compositions as one between all rows."""
        return value[np.ix_(*self.back)]

    def gather(self, weight: Array) -> Array:
        """Return the sums of `weight` over rows of equal composition: the transpose of `expand`."""
        # as products with indicator matrices: many times faster than adding at indices
        if self._members is None:
            one, two = (
                np.equal.outer(np.arange(len(rows)), back).astype(float)
                for rows, back in zip((self.left, self.right), self.back, strict=True)
            )
            self._members = (one, two.T)
        return np.asarray(self._members[0] @ weight @ self._members[1])

    def scaled(self, logs: Array) -> list[Array]:
        """Return r² of kinds, mean descriptor, √fractions and spread, each over its length squared."""
        groups = [self._kinds, *self._pairs["lr"]]
        return [d * np.exp(-2.0 * log) for d, log in zip(groups, logs, strict=True)]

    def _smooth(self, pair: str, logs: Array, gradient: bool) -> list[Array]:
        scaled = [
            d * np.exp(-2.0 * log) for d, log in zip(self._pairs[pair], logs[1:], strict=True)
        ]
        total = scaled[0] + scaled[1] + scaled[2]
        value, slope = matern(total)
        if not gradient:
            return [value]
        share = slope / np.maximum(total, 1e-12)
        return [value, *(share * s for s in scaled)]


def gradient_index(kind: str) -> tuple[int, ...]:
    """Return which of a site's four log lengths the derivatives of `kind` belong to."""
    return (0,) if kind == "L" else (1, 2, 3)


class ProductKernel:
    """Sum over terms of amplitude × product of site kernels.

    Parameters
    ----------
    terms : tuple of str
        Three letters each, for A, B and X.
    bases : three SiteBasis
    left, right : three arrays each
        Fractions by site.

    Notes
    -----
    Parameters θ are logarithms: four lengths for each site, then one amplitude for each term. Many rows
    share what stands on two of the sites; products of those two are made for their different pairs only,
    and expanded to rows once for each kind of the third, "wide", site.
    """

    def __init__(
        self,
        terms: tuple[str, ...],
        bases: tuple[SiteBasis, ...],
        left: tuple[Array, ...],
        right: tuple[Array, ...],
    ) -> None:
        self.terms = terms
        self.shape = (len(left[0]), len(right[0]))
        self.sites = [SiteKernel(b, p, q) for b, p, q in zip(bases, left, right, strict=True)]
        self.wide = int(np.argmax([len(s.left) for s in self.sites]))
        self.narrow = [i for i in range(len(self.sites)) if i != self.wide]
        one, two = (self.sites[i] for i in self.narrow)
        self.pairs = [Pairs(one.back[side], two.back[side]) for side in (0, 1)]

    def factors(self, theta: Array, *, gradient: bool) -> Factors:
        """Return (site, kind) → kernel and derivatives between the *different* compositions of a site."""
        found: Factors = {}
        for term in self.terms:
            for place, kind in enumerate(term):
                if kind != "1" and (place, kind) not in found:
                    logs = theta[LENGTHS_PER_SITE * place : LENGTHS_PER_SITE * (place + 1)]
                    found[place, kind] = self.sites[place].evaluate(kind, logs, gradient=gradient)
        return found

    def matrix(self, theta: Array) -> Array:
        """Return the covariance matrix."""
        return self._sum(theta, self.factors(theta, gradient=False))

    def value_and_pullback(self, theta: Array) -> tuple[Array, Callable[[Array], Array]]:
        """Return the covariance, and weight → Σᵢⱼ weightᵢⱼ ∂Kᵢⱼ/∂θ."""
        factors = self.factors(theta, gradient=True)
        return self._sum(theta, factors), lambda weight: self.pullback(theta, factors, weight)

    def _amplitudes(self, theta: Array) -> Array:
        return np.asarray(np.exp(theta[LENGTHS_PER_SITE * len(self.sites) :]))

    def _by_kind(self) -> dict[str, list[int]]:
        """Return the kinds of the wide site, and the numbers of the terms that have them."""
        found: dict[str, list[int]] = {}
        for number, term in enumerate(self.terms):
            found.setdefault(term[self.wide], []).append(number)
        return found

    def _on_pairs(self, place: int, values: Array) -> Array:
        which = self.narrow.index(place)
        return values[np.ix_(self.pairs[0].members[which], self.pairs[1].members[which])]

    def _pair_product(self, term: str, factors: Factors, without: int = -1) -> Array | float:
        product: Array | float = 1.0
        for place in self.narrow:
            if term[place] != "1" and place != without:
                product = product * self._on_pairs(place, factors[place, term[place]][0])
        return product

    def _weights_of_kind(self, numbers: list[int], amplitudes: Array, factors: Factors) -> Array:
        total = np.zeros((len(self.pairs[0].members[0]), len(self.pairs[1].members[0])))
        for number in numbers:
            total += amplitudes[number] * self._pair_product(self.terms[number], factors)
        return total

    def _sum(self, theta: Array, factors: Factors) -> Array:
        total = np.zeros(self.shape)
        rows = np.ix_(self.pairs[0].back, self.pairs[1].back)
        for kind, numbers in self._by_kind().items():
            weights = self._weights_of_kind(numbers, self._amplitudes(theta), factors)[rows]
            if kind != "1":
                weights *= self.sites[self.wide].expand(factors[self.wide, kind][0])
            total += weights
        return total

    def pullback(self, theta: Array, factors: Factors, weight: Array) -> Array:
        """Return Σᵢⱼ weightᵢⱼ ∂Kᵢⱼ/∂θ for lengths and amplitudes."""
        amplitudes = self._amplitudes(theta)
        slopes = np.zeros(LENGTHS_PER_SITE * len(self.sites) + len(self.terms))
        rows = np.ix_(self.pairs[0].back, self.pairs[1].back)
        wide = self.sites[self.wide]
        for kind, numbers in self._by_kind().items():
            seen = weight
            if kind != "1":
                value, derivatives = factors[self.wide, kind]
                weights = self._weights_of_kind(numbers, amplitudes, factors)[rows]
                outer = wide.gather(weight * weights)
                for index, slope in zip(gradient_index(kind), derivatives, strict=True):
                    slopes[LENGTHS_PER_SITE * self.wide + index] += np.vdot(outer, slope)
                seen = weight * wide.expand(value)
            gathered = self.pairs[0].indicator @ seen @ self.pairs[1].indicator.T
            for number in numbers:
                self._pull_narrow(number, amplitudes[number] * gathered, factors, slopes)
        return slopes

    def _pull_narrow(self, number: int, gathered: Array, factors: Factors, slopes: Array) -> None:
        """Add the derivatives of one term by its amplitude and by the lengths of the narrow sites."""
        term = self.terms[number]
        first = LENGTHS_PER_SITE * len(self.sites)
        slopes[first + number] = np.sum(gathered * self._pair_product(term, factors))
        for place in self.narrow:
            if term[place] == "1":
                continue
            others = gathered * self._pair_product(term, factors, without=place)
            kernel_slopes = factors[place, term[place]][1]
            for index, slope in zip(gradient_index(term[place]), kernel_slopes, strict=True):
                slopes[LENGTHS_PER_SITE * place + index] += np.vdot(
                    others, self._on_pairs(place, slope)
                )


class Pairs:
    """Different pairs of compositions of two sites, and the pair of each row.

    Parameters
    ----------
    one, two : arrays of shape (n,)
        Number of the composition of either site in each row.
    """

    def __init__(self, one: NDArray[np.intp], two: NDArray[np.intp]) -> None:
        different, back = np.unique(np.column_stack([one, two]), axis=0, return_inverse=True)
        self.members = (different[:, 0], different[:, 1])
        self.back = np.ravel(back)
        self.indicator = np.equal.outer(np.arange(len(different)), self.back).astype(float)


JOINT_TERMS = ("joint", "linear", "pair")


class JointKernel:
    """One rough Matérn kernel over the features of all sites together, beside linear ones.

    k = a₁ Matérn(Σ r²) + a₂ Σ_s u_s·u′_s + a₃ (u_A·u′_A)(u_X·u′_X): no site is singled out, where
    `ProductKernel` is built of effects and interactions; the two err in different rows. The last term
    lets every pair of A and X stand on a level of its own.

    Notes
    -----
    θ has the layout of `ProductKernel`: four log lengths for each site, of which the first is that of
    the kinds of species (`SiteBasis.kinds`), then the three amplitudes.
    """

    def __init__(
        self, bases: tuple[SiteBasis, ...], left: tuple[Array, ...], right: tuple[Array, ...]
    ) -> None:
        self.shape = (len(left[0]), len(right[0]))
        self.sites = [SiteKernel(b, p, q) for b, p, q in zip(bases, left, right, strict=True)]
        dots = [np.asarray(p @ q.T, dtype=float) for p, q in zip(left, right, strict=True)]
        self.linear = np.sum(dots, axis=0)
        self.pair = dots[0] * dots[2]

    def _scaled(self, theta: Array) -> tuple[list[list[Array]], Array]:
        parts, total = [], np.zeros(self.shape)
        for place, site in enumerate(self.sites):
            logs = theta[LENGTHS_PER_SITE * place : LENGTHS_PER_SITE * (place + 1)]
            groups = site.scaled(logs)
            parts.append(groups)
            total += site.expand(np.sum(groups, axis=0))
        return parts, total

    def _sum(self, theta: Array, joint: Array) -> Array:
        first, second, third = np.exp(theta[-3:])
        return np.asarray(first * joint + second * self.linear + third * self.pair)

    def matrix(self, theta: Array) -> Array:
        """Return the covariance matrix."""
        _, total = self._scaled(theta)
        return self._sum(theta, rough_matern(total)[0])

    def value_and_pullback(self, theta: Array) -> tuple[Array, Callable[[Array], Array]]:
        """Return the covariance, and weight → Σᵢⱼ weightᵢⱼ ∂Kᵢⱼ/∂θ."""
        parts, total = self._scaled(theta)
        value, slope = rough_matern(total)
        amplitudes = np.exp(theta[-3:])
        share = amplitudes[0] * slope / np.maximum(total, 1e-12)

        def pullback(weight: Array) -> Array:
            slopes = np.zeros(len(theta))
            for place, (site, groups) in enumerate(zip(self.sites, parts, strict=True)):
                gathered = site.gather(weight * share)
                for number, group in enumerate(groups):
                    slopes[LENGTHS_PER_SITE * place + number] = np.vdot(gathered, group)
            sums = [np.vdot(weight, part) for part in (value, self.linear, self.pair)]
            slopes[-3:] = amplitudes * sums
            return slopes

        return self._sum(theta, value), pullback


TREND_TERMS = ("line", "curve")


class TrendKernel:
    """A straight line and a smooth curve in the descriptors of all sites together, with one length.

    k = a₁ (1 + x·x′) + a₂ Matérn(|x − x′|²/ℓ²) with x from `SiteBasis.trends`: nothing names a species, so a trend
    from one species to the next goes on to a species never seen, where every other kernel falls back on the mean.

    Notes
    -----
    θ: the log length, then two log amplitudes.
    """

    def __init__(
        self, bases: tuple[SiteBasis, ...], left: tuple[Array, ...], right: tuple[Array, ...]
    ) -> None:
        one, two = (trend_features(bases, rows) for rows in (left, right))
        self.line = 1.0 + one @ two.T
        squares = (one**2).sum(1)[:, None] + (two**2).sum(1)[None] - 2.0 * one @ two.T
        self.between = np.maximum(squares, 0.0)

    def matrix(self, theta: Array) -> Array:
        """Return the covariance matrix."""
        line, curve = np.exp(theta[1:])
        return np.asarray(
            line * self.line + curve * matern(self.between * np.exp(-2.0 * theta[0]))[0]
        )

    def value_and_pullback(self, theta: Array) -> tuple[Array, Callable[[Array], Array]]:
        """Return the covariance, and weight → Σᵢⱼ weightᵢⱼ ∂Kᵢⱼ/∂θ."""
        line, curve = np.exp(theta[1:])
        value, slope = matern(self.between * np.exp(-2.0 * theta[0]))

        def pullback(weight: Array) -> Array:
            parts = (curve * slope, line * self.line, curve * value)
            return np.array([np.vdot(weight, part) for part in parts])

        return line * self.line + curve * value, pullback


def trend_features(bases: tuple[SiteBasis, ...], fractions: tuple[Array, ...]) -> Array:
    """Return the features of `TrendKernel`, one compound a row."""
    return np.column_stack([b.trends(f) for b, f in zip(bases, fractions, strict=True)])
