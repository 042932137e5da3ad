"""Inversion: the disks behind one pattern, by Patterson superposition, refinement, birth and death.

In: a prepared pattern. Out: for every number of disks tried the best structure and its evidence, and
whether the best one proves itself against the counts. Needs no training; knows no trained range.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from matterscope.physics.fourier import disk_factor
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
    assess,
    intensity,
    refine,
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
"""A fit is proved when its deviance lies within this many standard deviations of the expected one."""
BLIND = 0.3
"""Photons per pixel below which the deviance test has no power."""


@dataclass
class Inversion:
    """The outcome: best fit for each number of disks, and how it was reached."""

    fits: dict[int, Fit] = field(default_factory=dict)
    proved: bool = False
    starts: int = 0
    radius: float = 0.0
    centre: tuple[float, float] = (0.0, 0.0)

    @property
    def best(self) -> Fit:
        """Return the fit of the highest evidence."""
        return min(self.fits.values(), key=lambda f: f.score)

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
    ky: Floats
    kx: Floats
    target: Floats
    weight: Floats
    extent: int


def prepare_seeds(task: Task, flat: Flattened, radius: float, rng: np.random.Generator) -> Seeds:
    """Return the Patterson, its strongest vectors, and some 1500 pixels on which lists are scored."""
    values = patterson(flat)
    grid = 2.0 * np.pi / PATTERSON_GRID
    # two disks do not overlap: vectors shorter than about a diameter are ripples of the origin
    hole = max(1.6 * radius / grid, 4.0)
    peaks, _ = strongest(values, 200, hole)
    far = int(np.ceil(task.extent / grid))
    peaks = peaks[(np.abs(peaks) <= far).all(axis=1)]
    inner = task.open_pixels & (task.radius < 0.625 * 0.5 * min(task.image.shape))
    rows, columns = np.nonzero(inner)
    if rows.size > 1500:
        chosen = rng.choice(rows.size, 1500, replace=False)
        rows, columns = rows[chosen], columns[chosen]
    ky, kx = task.axes
    return Seeds(
        np.ascontiguousarray(values, dtype=np.float32),
        peaks,
        ky[rows],
        kx[columns],
        flat.excess[rows, columns] + 1.0,
        flat.weight[rows, columns],
        far,
    )


def candidates(seeds: Seeds, starts: NDArray[np.intp]) -> list[tuple[float, Floats]]:
    """Grow one list of positions per start vector and return the best prefixes, best first."""
    grid = 2.0 * np.pi / PATTERSON_GRID
    found: list[tuple[float, Floats]] = []
    for start in starts:
        points, _ = grow(seeds.values, start.astype(np.int64), seeds.extent, ADMIT, MOST)
        positions = np.asarray(points * grid, dtype=float)
        scores = prefix_scores(positions, seeds.ky, seeds.kx, seeds.target, seeds.weight)
        best = int(np.argmax(scores))
        found.append((float(scores[best]), positions[:best]))
        found += [
            (float(scores[n]), positions[:n])
            for n in (2, 3)
            if n < best and n < scores.size and scores[n] >= 0.6 * scores[best]
        ]
    found.sort(key=lambda f: -f[0])
    return found


def _first_structure(positions: Floats, radius: float, scale: float) -> Structure:
    n = len(positions)
    # ⟨I⟩ = s² n r⁴ P: the scale follows from the level of the pattern; unequal radii break the
    # saddle of two equal disks, whose exchange is the inversion
    spread = radius * (1.0 + 0.05 * np.where(np.arange(n) % 2 == 0, 1.0, -1.0))
    level = np.sqrt(scale / (n * radius**4))
    centred = positions - positions.mean(axis=0)
    return Structure(centred[:, 0], centred[:, 1], spread, float(level))


def difference_map(fit: Fit, counts: Counts, likelihood: bool) -> Floats:
    """Return the map of what is missing: FT[(√y − |F|) e^{iφ}/f], or the score of a further disk in z.

    A missing mean disk stands at about half its height in the first map; the second is the gradient
    of the Poisson likelihood by the weight of a disk over its standard error.
    """
    structure = fit.structure
    radius = float(np.sqrt((structure.radius**2).mean()))
    ky, kx = counts.ky - structure.offset[0], counts.kx - structure.offset[1]
    rows, columns = counts.index
    q = np.hypot(ky[rows], kx[columns])
    f = structure.scale * radius**2 * disk_factor(q * radius)
    amplitude = _amplitude(structure, ky, kx)[rows, columns]
    mean = counts.weight * (np.abs(amplitude) ** 2 + counts.noise) + 1e-9
    if likelihood:
        field = counts.weight * (counts.value / mean - 1.0) * np.conj(amplitude) * 2.0 * f
        norm = np.sqrt(2.0 * (counts.weight * f**2).sum())
    else:
        weight = counts.weight * f**2
        phase = np.conj(amplitude) / np.maximum(np.abs(amplitude), 1e-9)
        safe = np.where(np.abs(f) < 0.03 * np.abs(f).max(), np.inf, f)
        root = np.sqrt(np.maximum(counts.value, 0.0) / counts.weight)
        field = weight * (root - np.abs(amplitude)) * phase / safe
        norm = weight.sum()
    size = PATTERSON_GRID
    plane = np.zeros((size, size), dtype=complex)
    np.add.at(plane, (rows, columns), field)
    # field holds conj(F): the map is Re Σ field e^{+ik·u}, an inverse transform
    spectrum = fft.fftshift(fft.ifft2(plane)) * size**2
    turn = 2.0 * np.pi * (np.arange(size) - size // 2) / size
    spectrum *= np.exp(1j * turn * ky[0])[:, None] * np.exp(1j * turn * kx[0])[None, :]
    return np.asarray(spectrum.real / norm, dtype=float)


def _amplitude(structure: Structure, ky: Floats, kx: Floats) -> NDArray[np.complex128]:
    column, row = np.exp(1j * np.outer(ky, structure.y)), np.exp(1j * np.outer(kx, structure.x))
    if np.ptp(structure.radius) < 1e-9 * structure.radius[0]:
        r = structure.radius[0]
        factor = disk_factor(np.hypot(ky[:, None], kx[None, :]) * r) * structure.scale * r**2
        equal: NDArray[np.complex128] = (column @ row.T) * factor
        return equal
    total = np.zeros((ky.size, kx.size), dtype=complex)
    q = np.hypot(ky[:, None], kx[None, :])
    # a cubic of the profile is smooth enough on a quarter pixel
    nodes = np.arange(0.0, q.max() + 1.0, 0.25)
    for j, r in enumerate(structure.radius):
        factor = np.interp(q, nodes, disk_factor(nodes * r) * structure.scale * r**2)
        total += np.outer(column[:, j], row[:, j]) * factor
    return total


@dataclass(frozen=True)
class Plan:
    """How hard the search tries."""

    starts: int = 24
    lists: int = 3
    moves: int = 8
    polish: int = 1
    """Least number of lists refined to the end, also after one is proved."""


def _schedule(task: Task, counts: Counts) -> tuple[Counts, Counts, Counts]:
    rho = counts.radius
    inner = counts.part(rho < 0.625 * 0.5 * min(task.image.shape))
    half = counts.part((counts.index.sum(axis=0) % 2).astype(bool))
    return inner, half, counts


def polish(task: Task, counts: Counts, start: Structure, outcome: Inversion, plan: Plan) -> Fit:
    """Fit one list of positions from coarse to fine, with birth and death, and offer every stage."""
    inner, half, full = _schedule(task, counts)
    area = task.extent**2
    one = Freedom(False, task.find_centre, task.scatter, area)
    free = one if task.equal else replace(one, radii=True)
    mean = float(np.sqrt((start.radius**2).mean()))
    first = replace(start, radius=np.full(start.count, mean))
    fit = refine(first, inner, one, steps=10)
    fit = _exchange(fit, inner, one, threshold=0.3 if task.equal else 0.22, rounds=4)
    if not task.equal:
        trials = [refine(u, half, free, steps=8) for u in _unequal(fit.structure)]
        fit = min(trials, key=lambda f: f.score)
        fit = _exchange(fit, half, free, threshold=0.16, rounds=3)
    fit = refine(fit.structure, full, free, steps=4)
    fit = refine(fit.structure, full, free, steps=8, fisher=True)
    outcome.offer(fit)
    return _moves(fit, full, free, outcome, plan.moves)


def _unequal(structure: Structure) -> list[Structure]:
    """Return starts with unequal radii: two equal disks are a saddle, whose exchange is the inversion."""
    if structure.count == 2:
        sides = np.array([1.0, -1.0])
        return [
            replace(structure, radius=structure.radius * (1.0 + e * sides))
            for e in (0.05, 0.2, 0.4)
        ]
    step = 0.05 * np.array([1.0, -1.0, 0.5, -0.5])[np.arange(structure.count) % 4]
    return [replace(structure, radius=structure.radius * (1.0 + step))]


def _weak(fit: Fit, share: float) -> Mask:
    area = fit.structure.radius**2
    return np.asarray(area < share * np.median(area), dtype=np.bool_)


def _overlaps(structure: Structure, allow: float = 0.8) -> NDArray[np.intp]:
    """Return the smaller disk of each pair nearer than `allow` × the sum of radii."""
    y, x, r = structure.y, structure.x, structure.radius
    apart = np.hypot(y[:, None] - y[None], x[:, None] - x[None])
    close = apart < allow * (r[:, None] + r[None])
    i, j = np.nonzero(np.triu(close, 1))
    return np.unique(np.where(r[i] < r[j], i, j))


def _exchange(fit: Fit, counts: Counts, freedom: Freedom, threshold: float, rounds: int) -> Fit:
    """Add the clear maxima of the difference map, merge what overlaps, drop what is weak; refit."""
    for _ in range(rounds):
        structure = fit.structure
        drop = np.zeros(structure.count, dtype=bool)
        drop[_overlaps(structure)] = True
        if freedom.radii:
            drop |= _weak(fit, 0.06)
        kept = structure.subset(~drop) if (~drop).sum() >= 1 else structure
        added = _births(fit, kept, counts, threshold)
        if added.count == structure.count and not drop.any():
            return fit
        trial = refine(added, counts, freedom, steps=8)
        if trial.score >= fit.score and not drop.any():
            return fit
        fit = trial
    return fit


def _births(fit: Fit, kept: Structure, counts: Counts, threshold: float) -> Structure:
    height = difference_map(fit, counts, likelihood=False)
    mean = float(np.sqrt((kept.radius**2).mean()))
    for y, x, _ in _maxima(height, kept, threshold, mean, most=4, extent=np.sqrt(fit.freedom.area)):
        kept = kept.with_disk(y, x, mean)
    return kept


def _maxima(
    height: Floats, structure: Structure, threshold: float, radius: float, most: int, extent: float
) -> list[tuple[float, float, float]]:
    """Return the highest points that keep clear of the disks, and inside the box the extent allows."""
    size = height.shape[0]
    axis = 2.0 * np.pi * (np.arange(size) - size // 2) / size
    map_ = height.copy()
    ylow, yhigh = structure.y.max() - extent, structure.y.min() + extent
    xlow, xhigh = structure.x.max() - extent, structure.x.min() + extent
    map_[(axis < ylow) | (axis > yhigh), :] = -np.inf
    map_[:, (axis < xlow) | (axis > xhigh)] = -np.inf
    found: list[tuple[float, float, float]] = []
    blocked = list(zip(structure.y, structure.x, structure.radius, strict=True))
    for y, x, r in blocked:
        _blank(map_, axis, y, x, 0.9 * (r + 0.5 * radius))
    for _ in range(most):
        place = np.unravel_index(int(np.argmax(map_)), map_.shape)
        value = float(map_[place])
        if value < threshold:
            break
        y, x = float(axis[place[0]]), float(axis[place[1]])
        found.append((y, x, value))
        _blank(map_, axis, y, x, 1.8 * radius)
    return found


def _blank(map_: Floats, axis: Floats, y: float, x: float, reach: float) -> None:
    rows = np.flatnonzero(np.abs(axis - y) < reach)
    columns = np.flatnonzero(np.abs(axis - x) < reach)
    if rows.size and columns.size:
        block = np.ix_(rows, columns)
        near = (axis[rows] - y)[:, None] ** 2 + (axis[columns] - x)[None, :] ** 2 < reach**2
        map_[block] = np.where(near, -np.inf, map_[block])


def _moves(fit: Fit, counts: Counts, freedom: Freedom, outcome: Inversion, moves: int) -> Fit:
    """Single births and deaths, accepted where the evidence rises."""
    for _ in range(moves):
        trials = _single_moves(fit, counts, freedom)
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


def _single_moves(fit: Fit, counts: Counts, freedom: Freedom) -> list[Structure]:
    structure = fit.structure
    everyone = np.arange(structure.count)
    trials = [structure.subset(everyone != j) for j in _overlaps(structure)]
    mean = float(np.sqrt((structure.radius**2).mean()))
    extent = np.sqrt(freedom.area)
    score = difference_map(fit, counts, likelihood=True)
    for y, x, _ in _maxima(score, structure, 4.0, 0.5 * mean, most=1, extent=extent):
        trials.append(structure.with_disk(y, x, mean * (1.0 if not freedom.radii else 0.6)))
    if freedom.radii and structure.count > 2:
        j = int(np.argmin(structure.radius))
        if structure.radius[j] ** 2 < 0.3 * np.median(structure.radius**2):
            trials.append(structure.subset(np.arange(structure.count) != j))
    return trials


def proved(fit: Fit) -> bool:
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
    level = float(counts.value.sum() / counts.weight.sum())
    if plan is None:
        plan = Plan() if level >= 2 * BLIND else Plan(starts=32, lists=6, moves=16, polish=4)
    radius, scale, _ = form_factor_fit(task, law_scatter(task))
    flat = flatten(task, radius, scale)
    seeds = prepare_seeds(task, flat, radius, rng)
    outcome = Inversion(radius=radius, centre=task.centre)
    tried: list[tuple[int, float]] = []
    for batch in _batches(seeds, plan, rng):
        for score, positions in candidates(seeds, batch):
            if len(tried) >= plan.lists or (len(positions), round(score, 3)) in tried:
                continue
            tried.append((len(positions), round(score, 3)))
            fit = polish(task, counts, _first_structure(positions, radius, scale), outcome, plan)
            outcome.starts += 1
            if (
                proved(fit)
                and outcome.starts >= plan.polish
                and fit.score <= outcome.best.score + 0.5
            ):
                break
        outcome.proved = bool(outcome.fits) and proved(outcome.best)
        if outcome.proved and outcome.starts >= plan.polish:
            break
        tried = []
    best = outcome.best
    final = assess(best.structure, counts, best.freedom)
    outcome.offer(final)
    outcome.centre = (
        task.centre[0] + best.structure.offset[0] / task.aspect,
        task.centre[1] + best.structure.offset[1],
    )
    return outcome


def _batches(seeds: Seeds, plan: Plan, rng: np.random.Generator) -> list[NDArray[np.intp]]:
    count = len(seeds.peaks)
    ranks = np.unique(np.linspace(0, min(count, 200) - 1, plan.starts).astype(int))
    first = seeds.peaks[ranks]
    rest = np.setdiff1d(np.arange(count), ranks)
    more = rng.permutation(rest)[: plan.starts]
    return [first, seeds.peaks[more]] if more.size else [first]


def visible_area(fit: Fit, counts: Counts) -> float:
    """Return the smallest area of a disk that the pattern could show, as a share of the mean area.

    The weight w of a further disk has the Fisher information 2 Σ m f²; w must exceed 4 σ.
    """
    structure = fit.structure
    radius = float(np.sqrt((structure.radius**2).mean()))
    values, _ = intensity(structure, counts)
    q = counts.radius
    f = structure.scale * radius**2 * disk_factor(q * radius)
    share = values / (values + counts.noise + 1e-12)
    return float(4.0 / np.sqrt(2.0 * (counts.weight * f**2 * share).sum()))
