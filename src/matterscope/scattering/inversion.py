"""Inversion: the disks behind one pattern, by Patterson superposition, refinement, birth and death.

In: a prepared pattern. Out: for every number of disks tried the best structure and its evidence, and
whether the best one proves itself against the counts. Needs no training; knows no trained range.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray
from scipy.sparse.csgraph import connected_components

from matterscope.scattering.differences import (
    disk_weights,
    maxima,
    missing_disk,
)
from matterscope.scattering.further import Further, further_disks
from matterscope.scattering.levelling import (
    Task,
    collect,
    flatten,
    form_factor_fit,
    law_scatter,
)
from matterscope.scattering.refinement import (
    Counts,
    Fit,
    Freedom,
    Structure,
    refine,
    uncertainties,
)
from matterscope.scattering.superposition import (
    ADMIT,
    MOST,
    PATTERSON_GRID,
    Flattened,
    grow,
    patterson,
    prefix_scores,
    strongest,
)

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

PROVED = 3.5
"""A fit explains the counts when its deviance lies within this many standard deviations of the expected one."""
BLIND = 0.3
"""Photons per pixel below which the deviance test has no power."""
FEW = 1.0
"""Photons per pixel below which every step follows the Poisson likelihood on all pixels."""
CLEAR = 4.5
"""A further disk is added above this z of the score map (about one false maximum in 10³ maps)."""
INCOMPLETE = 3.0
"""The same in spreads of the map, while missing disks make that spread."""
CYCLES = 16
FEWEST = 300
"""Inner pixels below which nothing can be inverted."""
DOUBTFUL = 7.0
"""A disk whose area is known worse than this (in its errors) is also tried away."""
TOUCH = 1.1
"""Disks nearer than this × the sum of their radii are also tried as one."""
CLOSE = 100.0
"""Difference of scores within which single births and deaths are worth their time."""
AGREE = 0.5
"""Difference of scores (−2 log evidence) within which two lists ended in the same structure."""


@dataclass
class Inversion:
    """The outcome: best fit for each number of disks, and how it was reached."""

    fits: dict[int, Fit] = field(default_factory=dict)
    explained: bool = False
    """Whether the best fit explains the counts and was reached as often as planned."""
    starts: int = 0
    agreeing: int = 0
    """Polished lists that ended there."""
    unseen: float = 0.0
    """Odds of a further disk too small to be seen."""
    radius: float = 0.0
    scale: float = 1.0
    centre: tuple[float, float] = (0.0, 0.0)

    sure: bool = False
    """Whether as many starts as the plan wants ended in the best structure."""
    weighed: tuple[Fit, Further] | None = None
    """The fit whose further disks were weighed last."""

    @property
    def best(self) -> Fit:
        """Return the fit of the highest evidence."""
        return min(self.fits.values(), key=lambda f: f.score)

    def further(self, fit: Fit, counts: Counts) -> Further:
        """Return what one disk more would change beside a fit; the last one is remembered."""
        if self.weighed is None or self.weighed[0] is not fit:
            self.weighed = fit, further_disks(fit, counts)
        return self.weighed[1]

    def offer(self, fit: Fit) -> bool:
        """Keep `fit` if it is the best of its number of disks; say whether it is the best of all."""
        n = fit.structure.count
        leads = not self.fits or fit.score < self.best.score
        if n not in self.fits or fit.score < self.fits[n].score:
            self.fits[n] = fit
        return leads


@dataclass(frozen=True)
class Seeds:
    """What the growth works on: Patterson map, chosen pixels for scoring, start vectors."""

    values: NDArray[np.float32]
    peaks: NDArray[np.intp]
    axes: tuple[Floats, Floats]
    index: NDArray[np.intp]
    target: Floats
    weight: Floats
    extent: int


def prepare_seeds(task: Task, flat: Flattened, radius: float, rng: np.random.Generator) -> Seeds:
    """Return the Patterson, its strongest vectors, and the pixels on which lists are scored."""
    values = patterson(flat)
    grid = 2.0 * np.pi / PATTERSON_GRID
    # two disks do not overlap: vectors shorter than about a diameter are ripples of the origin
    hole = max(1.6 * radius / grid, 4.0)
    peaks, _ = strongest(values, 200, hole)
    far = int(np.ceil(task.extent / grid))
    peaks = peaks[(np.abs(peaks) <= far).all(axis=1)]
    inner = task.inner
    rows, columns = np.nonzero(inner)
    # where most pixels hold no photon all of them are needed to tell lists apart
    most = 1500 if float(task.image[inner].mean()) > 3.0 else 6000
    if rows.size > most:
        chosen = rng.choice(rows.size, most, replace=False)
        rows, columns = rows[chosen], columns[chosen]
    return Seeds(
        np.ascontiguousarray(values, dtype=np.float32),
        peaks,
        task.axes,
        np.stack([rows, columns]),
        flat.excess[rows, columns] + 1.0,
        flat.weight[rows, columns],
        far,
    )


def candidates(seeds: Seeds, starts: NDArray[np.intp]) -> list[tuple[float, Floats]]:
    """Grow one list of positions per start vector and return the best prefixes, best first."""
    grid = 2.0 * np.pi / PATTERSON_GRID
    aspect = float(seeds.axes[0][1] - seeds.axes[0][0])
    found: list[tuple[float, Floats]] = []
    for start in starts:
        points, _ = grow(seeds.values, start.astype(np.int64), seeds.extent, ADMIT, MOST)
        # the Patterson counts rows; lengths are per pixel of x
        positions = points * np.array([grid / aspect, grid])
        scores = prefix_scores(positions, seeds.axes, seeds.index, seeds.target, seeds.weight)
        best = int(np.argmax(scores))
        found.append((float(scores[best]), positions[:best]))
        found += [
            (float(scores[n]), positions[:n])
            for n in (2, 3)
            if n < best and n < scores.size and scores[n] >= 0.4 * scores[best]
        ]
    found.sort(key=lambda f: -f[0])
    # unequal pairs and triples are drowned by longer lists: the best of each comes early
    early = [next((k for k, f in enumerate(found) if len(f[1]) == n), 0) for n in (2, 3)]
    rest = [k for k in range(1, len(found)) if k not in early]
    order = [0, *rest[:1], *sorted(set(early) - {0}), *rest[1:]]
    return [found[k] for k in order]


def _first_structure(positions: Floats, radius: float, scale: float) -> Structure:
    n = len(positions)
    # ⟨I⟩ = s² n r⁴ P: the scale follows from the level of the pattern; unequal radii break the
    # saddle of two equal disks, whose exchange is the inversion
    spread = radius * (1.0 + 0.05 * np.where(np.arange(n) % 2 == 0, 1.0, -1.0))
    level = np.sqrt(scale / (n * radius**4))
    centred = positions - positions.mean(axis=0)
    return Structure(centred[:, 0], centred[:, 1], spread, float(level))


@dataclass(frozen=True)
class Plan:
    """How hard the search tries."""

    starts: int = 24
    lists: int = 5
    moves: int = 8
    polish: int = 1
    """Least number of lists that must end in the same proved structure."""
    batches: int = 2
    """Sets of start vectors: the strongest, then others."""

    @property
    def quick(self) -> Plan:
        """Return the plan of a first look under an assumption that may be wrong."""
        return replace(self, lists=4, batches=1)


def usual_plan(level: float, effort: int = 1) -> Plan:
    """Return how hard to try at so many photons per pixel."""
    few = level < 2 * BLIND
    if effort > 1:
        return Plan(24 * effort, 3 * effort, 16, max(effort, 2 if few else 1))
    return Plan(starts=48, lists=8, moves=16, polish=2) if few else Plan()


def _schedule(task: Task, counts: Counts) -> tuple[Counts, Counts, Counts]:
    rho = counts.radius
    inner = counts.part(rho < 0.625 * 0.5 * min(task.image.shape))
    few = counts.level < FEW
    half = counts if few else counts.part((counts.index.sum(axis=0) % 2).astype(bool))
    return inner, half, counts


def polish(task: Task, counts: Counts, start: Structure) -> Fit:
    """Fit one list of positions from coarse to fine, with births and deaths."""
    inner, half, full = _schedule(task, counts)
    area = task.extent**2
    one = Freedom(False, task.find_centre, task.scatter, area)
    free = one if task.equal else replace(one, radii=True)
    mean = float(np.sqrt((start.radius**2).mean()))
    first = replace(start, radius=np.full(start.count, mean))
    if start.count <= 3 and not task.equal:
        # a very unequal pair looks like many equal disks: it is tried as it is
        tried = [refine(u, half, free, steps=12) for u in unequal_starts(first)]
        alone = min(tried, key=lambda f: f.score)
        alone = refine(alone.structure, full, free, steps=8, fisher=True)
        if explains(alone):
            return alone
    fit = refine(first, inner, one, steps=8)
    fit = _recycle(fit, inner, full, *((0.55, 0.3) if task.equal else (0.25, 0.22)))
    if not task.equal:
        trials = [refine(u, half, free, steps=8) for u in unequal_starts(fit.structure)]
        fit = min(trials, key=lambda f: f.score)
        fit = _exchange(fit, half, share=0.16, rounds=3)
    if full.level >= FEW:
        fit = refine(fit.structure, full, free, steps=4)
    return refine(fit.structure, full, free, steps=8, fisher=True)


def unequal_starts(structure: Structure) -> list[Structure]:
    """Return starts with unequal radii: two equal disks are a saddle, whose exchange is the inversion."""
    if structure.count == 2:
        sides = np.array([1.0, -1.0])
        return [
            replace(structure, radius=structure.radius * (1.0 + e * sides))
            for e in (0.05, 0.2, 0.4, -0.3)
        ]
    step = 0.05 * np.array([1.0, -1.0, 0.5, -0.5])[np.arange(structure.count) % 4]
    return [replace(structure, radius=structure.radius * (1.0 + step))]


def _weak(fit: Fit, share: float) -> Mask:
    """Return the disks below a share of the typical area; ghosts must not set what is typical."""
    area = fit.structure.radius**2
    return np.asarray(area < share * (area**2).sum() / area.sum(), dtype=np.bool_)


def _overlaps(structure: Structure, allow: float = 0.8) -> NDArray[np.intp]:
    """Return the smaller disk of each pair nearer than `allow` × the sum of radii."""
    y, x, r = structure.y, structure.x, structure.radius
    apart = np.hypot(y[:, None] - y[None], x[:, None] - x[None])
    close = apart < allow * (r[:, None] + r[None])
    i, j = np.nonzero(np.triu(close, 1))
    return np.unique(np.where(r[i] < r[j], i, j))


def _recycle(fit: Fit, inner: Counts, full: Counts, weak: float, share: float) -> Fit:
    """Drop the disks that the counts give no weight, add the maxima of the score map, refit; repeat.

    Dual-space recycling with one radius: a list of which a third is right grows into the structure.
    """
    best, fruitless = fit, 0
    limit = 4 * fit.structure.count + 10
    for _ in range(CYCLES):
        structure = fit.structure
        drop = disk_weights(fit, inner) < weak
        drop[_overlaps(structure)] = True
        kept = structure.subset(~drop) if (~drop).sum() >= 2 else structure
        room = limit - kept.count  # a wrong list asks for disks without end
        most = min(max(4, structure.count // 3), room)
        added = _births(fit, kept, full, share, INCOMPLETE, most) if room > 0 else kept
        if added.count == structure.count and not drop.any():
            break
        # weights of single counts bias least squares where there are few: the likelihood itself
        fit = refine(added, inner, fit.freedom, steps=5, fisher=inner.level < FEW)
        fruitless = 0 if fit.score < 0.98 * best.score else fruitless + 1
        if fit.score < best.score:
            best = fit
        if fruitless > 3:
            break
    return best


def _exchange(fit: Fit, counts: Counts, share: float, rounds: int) -> Fit:
    """Add the clear maxima of the score map, merge what overlaps, drop what is weak; refit."""
    for _ in range(rounds):
        structure = fit.structure
        drop = _weak(fit, 0.06)
        drop[_overlaps(structure)] = True
        kept = structure.subset(~drop) if (~drop).sum() >= 1 else structure
        added = _births(fit, kept, counts, share, CLEAR, 4)
        if added.count == structure.count and not drop.any():
            return fit
        trial = refine(added, counts, fit.freedom, steps=8, fisher=counts.level < FEW)
        if trial.score >= fit.score and not drop.any():
            return fit
        fit = trial
    return fit


def _births(
    fit: Fit, kept: Structure, counts: Counts, share: float, clear: float, most: int
) -> Structure:
    """Add the maxima of the score map above `share` of a mean disk and `clear` times its noise."""
    whole = replace(fit, structure=kept) if kept.count != fit.structure.count else fit
    missing = missing_disk(whole, counts)
    mean = float(np.sqrt((kept.radius**2).mean()))
    least = max(share * missing.norm, clear * missing.noise, CLEAR)
    found = maxima(missing, kept, least, mean, most, float(np.sqrt(fit.freedom.area)))
    for y, x, height in found:
        if height > 0.6 * found[0][2]:
            kept = kept.with_disk(y, x, mean)
    return kept


def _moves(fit: Fit, counts: Counts, freedom: Freedom, outcome: Inversion, moves: int) -> Fit:
    """Single births and deaths, accepted where the evidence rises."""
    for _ in range(moves):
        trials = _single_moves(fit, counts, freedom, outcome)
        better = None
        for trial in trials:
            done = refine(trial, counts, freedom, steps=6, fisher=True)
            if _overlaps(done.structure, 0.8).size:
                continue
            outcome.offer(done)
            if done.score < fit.score - 0.1:
                better = done
                break
        if better is None:
            return fit
        fit = better
    return fit


def _single_moves(
    fit: Fit, counts: Counts, freedom: Freedom, outcome: Inversion
) -> list[Structure]:
    structure = fit.structure
    everyone = np.arange(structure.count)
    trials = [structure.subset(everyone != j) for j in _overlaps(structure)]
    if freedom.radii:
        trials += [_merged(structure, group) for group in _clusters(structure)[:2]]
    places = outcome.further(fit, counts).places[: 2 if counts.level < FEW else 1]
    trials += [structure.with_disk(y, x, r) for _, y, x, r in places]
    if freedom.radii and structure.count > 2:
        j = int(np.argmin(structure.radius))
        if _weak(fit, 0.3)[j]:
            trials.append(structure.subset(everyone != j))
    return trials


def _clusters(structure: Structure) -> list[NDArray[np.intp]]:
    """Return groups of disks that touch, the largest first: small ones can stand for one large disk."""
    y, x, r = structure.y, structure.x, structure.radius
    apart = np.hypot(y[:, None] - y[None], x[:, None] - x[None])
    number, group = connected_components(apart < TOUCH * (r[:, None] + r[None]), directed=False)
    groups = [np.flatnonzero(group == k) for k in range(number)]
    return sorted((g for g in groups if 2 <= g.size < r.size), key=lambda g: -g.size)


def _merged(structure: Structure, group: NDArray[np.intp]) -> Structure:
    """Return the structure with one disk of the same area in the middle of a group."""
    area = structure.radius[group] ** 2
    y, x = (float((u[group] * area).sum() / area.sum()) for u in (structure.y, structure.x))
    rest = structure.subset(~np.isin(np.arange(structure.count), group))
    return rest.with_disk(y, x, float(np.sqrt(area.sum())))


def _fewer(outcome: Inversion, counts: Counts) -> None:
    """Offer the best structure without its least certain disk, where the counts hardly ask for it."""
    fit = outcome.best
    n = fit.structure.count
    if not fit.freedom.radii or n < 3:
        return
    error = uncertainties(fit)["radius"]
    j = int(np.argmin(fit.structure.radius / error))
    # the weight of a disk over its error, squared, is what its loss costs (Wald)
    if fit.structure.radius[j] / (2.0 * error[j]) < DOUBTFUL:
        rest = fit.structure.subset(np.arange(n) != j)
        outcome.offer(refine(rest, counts, fit.freedom, steps=6, fisher=True))


def explains(fit: Fit) -> bool:
    """Return whether a fit explains the counts within their noise and no two disks overlap."""
    return bool(fit.goodness < PROVED and _overlaps(fit.structure, 0.9).size == 0)


def invert(task: Task, rng: np.random.Generator, plan: Plan | None = None) -> Inversion:
    """Find the disks behind a pattern.

    Parameters
    ----------
    task : Task
        Prepared pattern.
    rng : Generator
        Draws further start vectors and the pixels on which lists are scored.
    plan : Plan, optional
        How hard to try; by default three lists, at least four where photons are few.
    """
    counts = collect(task)
    if plan is None:
        plan = usual_plan(counts.level)
    radius, scale, _ = form_factor_fit(task, law_scatter(task))
    flat = flatten(task, radius, scale)
    seeds = prepare_seeds(task, flat, radius, rng)
    outcome = Inversion(radius=radius, scale=scale, centre=task.centre)
    for batch in _batches(seeds, plan, rng)[: plan.batches]:
        _try_lists(candidates(seeds, batch), task, counts, outcome, plan)
        # few photons fit anything: there a structure must also be reached from several starts
        outcome.explained = outcome.sure = enough(outcome, plan)
        if outcome.explained:
            break
    _fewer(outcome, counts)
    outcome.unseen = outcome.further(outcome.best, counts).odds
    outcome.centre = centre_of(task, outcome.best)
    return outcome


def centre_of(task: Task, fit: Fit) -> tuple[float, float]:
    """Return the index of q = 0 that a fit found, px."""
    offset = fit.structure.offset
    return task.centre[0] + offset[0] / task.aspect, task.centre[1] + offset[1]


def settle(outcome: Inversion, counts: Counts, moves: int) -> None:
    """Try births and deaths from the best structure, after the law of radii under it has changed."""
    _moves(outcome.best, counts, outcome.best.freedom, outcome, moves)
    _fewer(outcome, counts)
    outcome.unseen = outcome.further(outcome.best, counts).odds


def _try_lists(
    lists: list[tuple[float, Floats]], task: Task, counts: Counts, outcome: Inversion, plan: Plan
) -> None:
    """Polish the best distinct lists until as many as the plan wants end in one proved structure."""
    tried: set[tuple[int, float]] = set()
    for score, positions in lists:
        key = (len(positions), round(score, 3))
        if len(tried) >= plan.lists or key in tried:
            continue
        tried.add(key)
        start = _first_structure(positions, outcome.radius, outcome.scale)
        fit = polish(task, counts, start)
        outcome.starts += 1
        before = outcome.best.score if outcome.fits else np.inf
        outcome.offer(fit)
        if fit.score < before + CLOSE and abs(fit.score - before) > AGREE:
            fit = _moves(fit, counts, fit.freedom, outcome, plan.moves)
        if abs(fit.score - before) < AGREE:
            outcome.agreeing += 1
        elif fit.score < before:
            outcome.agreeing = 1
        if enough(outcome, plan):
            return


def enough(outcome: Inversion, plan: Plan) -> bool:
    """Return whether the best structure explains the counts and was reached as often as planned.

    Pairs and triples have one list each to start from; a second way to them there is not.
    """
    fit = outcome.best
    wanted = 1 if fit.structure.count <= 3 else plan.polish
    return explains(fit) and outcome.agreeing >= wanted


def _batches(seeds: Seeds, plan: Plan, rng: np.random.Generator) -> list[NDArray[np.intp]]:
    count = len(seeds.peaks)
    ranks = np.unique(np.linspace(0, min(count, 200) - 1, plan.starts).astype(int))
    first = seeds.peaks[ranks]
    rest = np.setdiff1d(np.arange(count), ranks)
    more = rng.permutation(rest)[: plan.starts]
    return [first, seeds.peaks[more]] if more.size else [first]
