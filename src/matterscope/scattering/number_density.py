"""Number density from one pattern: every estimator, one posterior, and what cannot be told.

In: frames of a file and the settings of `scattering density`. Out: an estimate per pattern with the
posterior over N, the density with its interval, the disks, flags and pictures.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from matterscope.core.calls import Progress, silent
from matterscope.scattering.classification import opinions
from matterscope.scattering.coherence import invert_blurred
from matterscope.scattering.deviance import poisson_deviance, poisson_deviances
from matterscope.scattering.frames import Frame
from matterscope.scattering.inversion import (
    FEW,
    FEWEST,
    Inversion,
    Plan,
    centre_of,
    explains,
    invert,
    settle,
    unequal_starts,
    usual_plan,
)
from matterscope.scattering.levelling import Task, collect, form_factor_fit, law_average
from matterscope.scattering.observables import (
    Rings,
    number_from_contrast,
    number_from_forward,
    ring_averages,
    speckle_contrast,
)
from matterscope.scattering.photon_gain import Gain, gain_beside
from matterscope.scattering.posterior import combine, evidence_shares
from matterscope.scattering.preparation import Prepared, listed, prepare
from matterscope.scattering.proof import ENOUGH, Power, power_of
from matterscope.scattering.refinement import Structure, intensity, refine
from matterscope.scattering.solution import Solution, speckle_pixels

if TYPE_CHECKING:
    from matterscope.scattering.settings import DensitySettings

Floats = NDArray[np.float64]
LARGE = 320
"""Frames wider than this (pixels) are searched on a subset of their pixels."""
FOREIGN = 0.08
"""Misfit of the form factor beyond which particles are no disks: at most 0.034 in 240 patterns of disks from 0.1
photon, N from 1 to 20; 0.15 and more for rings."""
NEARLY = 0.8
"""Share of the speckles' deviance beyond which disks are in the right places, whatever is left."""
DULL = 0.6
"""Contrast² below which a source of some width is tried before anything else."""
OUTLIER = 35.0
"""Deviance of one pixel beyond which it did not count: noise reaches 35 in one of 10⁸."""
OUTLIERS = 0.002
"""Largest share of such pixels; where there are more, the disks are wrong."""
LOUD = 30.0
"""Deviance of the speckles, in its standard deviations, from which that share is trusted."""
SCATTER = {"equal": 0.0, "normal": 1.0 / 3.0, "broad": 0.7, "auto": 1.0 / 3.0}


def solve(
    frame: Frame,
    settings: DensitySettings,
    rng: np.random.Generator,
    progress: Progress = silent,
    gain: Gain | None = None,
) -> Solution:
    """Ask every estimator about one frame and combine them; `progress` hears of every look at it.

    Where the gain was read off Friedel mates about an unknown centre, it is read off the fit and the frame is
    answered again with that `gain`.
    """
    ready = prepare(
        frame.counts,
        mask=frame.open_pixels,
        centre=frame.centre,
        name=f"{frame.name}, frame {frame.index}",
        photons=frame.photons,
        gain=gain or settings.gain,
        read_variance=settings.read_noise**2 + frame.background,
    )
    task = make_task(frame, ready, settings)
    rings = ring_averages(ready.image, ready.open_pixels, task.radius)
    low, high = settings.prior_n[0], settings.prior_n[-1]
    numbers = np.arange(1.0, high + 1.0)
    parts: dict[str, Floats] = {}
    inversion: Inversion | None = None
    width = illuminated_width(frame, settings)
    speckle = 2.0 * np.pi / (width * frame.step[1]) if width else None
    enough = (speckle or 2.0) >= 2.0 and int(task.inner.sum()) >= FEWEST
    if settings.estimator in {"auto", "inversion"} and enough:
        inversion, task = search(ready, task, settings, rng, progress)
        if gain is None and (better := _better_gain(ready, inversion, task)):
            return solve(frame, settings, rng, progress, better)
        if (left := ready.open_pixels & ~task.open_pixels).any():
            words = "do not count like their neighbours beside the disks found"
            ready.flags.append(listed("dead-pixels", left, words))
            ready.open_pixels &= task.open_pixels
    moments = moment_estimates(ready, task, rings, settings, inversion)
    if settings.estimator in {"auto", "moments"}:
        parts["contrast"] = _contrast_shares(moments, numbers, settings, (speckle or 2.0) < 2.0)
    solution = Solution(
        frame,
        ready,
        task,
        rings,
        inversion,
        numbers,
        numbers * 0,
        parts,
        moments,
        told_speckle=speckle,
    )
    if settings.estimator in {"auto", "features"}:
        solution.opinions = opinions(solution, settings.model)
        for opinion in solution.opinions:
            if opinion.inside:
                parts["classifier"] = opinion.shares
    own = None
    if inversion is not None:
        solution.power = power_of(inversion, collect(task))
        own = evidence_shares(inversion, numbers)
        parts = {"inversion": own} | parts
    allowed = (numbers >= low).astype(float)
    others = {k: v for k, v in parts.items() if k != "inversion"}
    mixed = combine(numbers, own, trust_in(inversion, solution.power), others) * allowed
    solution.posterior, solution.parts = mixed / mixed.sum(), parts
    return solution


def _better_gain(ready: Prepared, inversion: Inversion, task: Task) -> Gain | None:
    if not (ready.centre_found and ready.gain.error > 0 and inversion.explained):
        return None
    counts = collect(task)
    model = intensity(inversion.best.structure, counts)[0]
    return gain_beside(counts.value, np.maximum(model, 1e-9), ready.gain)


def trust_in(inversion: Inversion | None, power: Power) -> str:
    """Return how the inversion is weighed against the statistics: proved, likely, or failed.

    Its structure has all the weight where the deviance could tell it from another; what a single small
    disk adds or takes is in its own posterior.
    """
    if inversion is None or not inversion.explained:
        return "failed"
    return "proved" if power.structure >= ENOUGH else "likely"


def illuminated_width(frame: Frame, settings: DensitySettings) -> float | None:
    """Return the width that the settings or the file tell, in the unit of the frame."""
    return settings.width or frame.width or (settings.area**0.5 if settings.area else None)


def make_task(frame: Frame, ready: Prepared, settings: DensitySettings) -> Task:
    """Return the pattern as the inversion wants it."""
    width = illuminated_width(frame, settings)
    read = settings.read_noise**2 + ready.gain.read_variance
    extent = np.pi if width is None else min(width * frame.step[1], np.pi)
    return Task(
        ready.image,
        ready.open_pixels,
        ready.centre,
        extent=float(extent),
        aspect=frame.step[0] / frame.step[1],
        equal=settings.size_law == "equal",
        scatter=SCATTER[settings.size_law] or 1.0 / 3.0,
        find_centre=ready.centre_found or settings.find_centre,
        noise=(read + frame.background) / ready.gain.value**2,
        read=read / ready.gain.value**2,
        gain_error=ready.gain.error / ready.gain.value,
    )


def search(
    ready: Prepared,
    task: Task,
    settings: DensitySettings,
    rng: np.random.Generator,
    progress: Progress = silent,
) -> tuple[Inversion, Task]:
    """Invert under the likeliest size law and centre; go on to the others until one explains the counts.

    Every centre has a first look under each law; all starts are spent on the likeliest centre and, where
    nothing explains the counts, once more on the best of the looks: the work is bounded.
    """
    plan = usual_plan(ready.level, settings.effort)
    laws = [task.equal]
    if settings.size_law == "auto":
        equal, spread = (form_factor_fit(task, s)[2] for s in (0.0, task.scatter))
        laws = [True, False] if equal < spread else [False, True]
    centres = ready.candidates if ready.centre_found else [ready.centre]
    foreign = _rings_of_others(task, centres)
    if foreign:
        # no law of radii gives these rings: one look, in case a background lies over disks
        centres, laws, plan = centres[:1], laws[:1], replace(plan.quick, lists=2)
    both = len(laws) > 1
    best: tuple[Inversion, Task] | None = None
    looks = _looks(centres, laws, plan)
    for k, (centre, law, look) in enumerate(looks):
        known = best[1] if law is None and best is not None else replace(task, equal=bool(law))
        best = _attempt(replace(known, centre=centre), rng, look, best, both)
        progress(k + 1, len(looks) + 1, "looks")
        if best[0].explained:
            # with a doubtful gain ghosts can stand for dead pixels
            return _without_outliers(*best) or best
        early = best if foreign else _early(best, k + 1, both, rng)
        if early is not None:
            return early
    assert best is not None
    if best[1].centre != centres[0]:
        best = _attempt(best[1], rng, plan, best, both)
    return _blurred(best, rng)


def _looks(
    centres: list[tuple[float, float]], laws: list[bool], plan: Plan
) -> list[tuple[tuple[float, float], bool | None, Plan]]:
    """Return centre, law and effort of every look; without a law, that of the best so far."""
    both = len(laws) > 1
    first = [(centres[0], law, plan.quick if both else plan) for law in laws]
    # a first look under both laws failed: all starts under the better one
    again = [(centres[0], None, plan)] * both
    return [*first, *again, *((c, law, plan.quick) for c in centres[1:] for law in laws)]


def _early(
    best: tuple[Inversion, Task], looks: int, both: bool, rng: np.random.Generator
) -> tuple[Inversion, Task] | None:
    """Return the outcome where further looks under full coherence are vain, else None."""
    if not explains(best[0].best) and speckles_explained(*best) > NEARLY:
        mended = _without_outliers(*best)
        if mended is not None:
            return mended
        if looks > both:
            # every law was tried, the places are found, and no disks explain the rest: no other start will
            return _blurred(best, rng)
    if looks == 1 and _contrast_bound(*best) < DULL:
        # too dull for any number of disks in coherent light: the source comes first
        soft = _blurred(best, rng)
        return soft if soft[0].explained else None
    return None


def _without_outliers(found: Inversion, task: Task) -> tuple[Inversion, Task] | None:
    """Return what is found without a few pixels that no noise explains, if that explains the others.

    A dead pixel in a bright speckle has more deviance than all of the noise together; it is told from its
    neighbours only where speckles are large.
    """
    fit, counts = found.best, collect(task)
    if counts.level < FEW:
        return None
    mean = counts.weight * (intensity(fit.structure, counts)[0] + counts.noise)
    seen = np.maximum(counts.value + counts.weight * counts.noise, 0.0)
    bad = poisson_deviances(seen, np.maximum(mean, 1e-9)) > OUTLIER
    if not 0 < bad.sum() <= max(OUTLIERS * bad.size, 4):
        return None
    opened = task.open_pixels.copy()
    rows, columns = counts.index[:, bad]
    opened[rows, columns] = False
    pairs = counts.weight[bad] > 1
    cy, cx = (round(c) for c in task.centre)
    opened[2 * cy - rows[pairs], 2 * cx - columns[pairs]] = False
    kept = replace(task, open_pixels=opened)
    rest = collect(kept)
    result = replace(found, fits={}, weighed=None)
    for each in sorted(found.fits.values(), key=lambda f: f.score)[:2]:
        result.offer(refine(each.structure, rest, each.freedom, steps=8, fisher=True))
    settle(result, rest, usual_plan(rest.level).moves)
    result.explained = explains(result.best)
    result.centre = centre_of(kept, result.best)
    return (result, kept) if result.explained else None


def _blurred(best: tuple[Inversion, Task], rng: np.random.Generator) -> tuple[Inversion, Task]:
    """Return the inversion under partial coherence where speckles are too smooth for full coherence."""
    found, trial = best
    if not found.explained and speckles_too_smooth(trial, found) and not _large(trial):
        return invert_blurred(trial, rng)
    return best


def _rings_of_others(task: Task, centres: list[tuple[float, float]]) -> bool:
    """Return whether the ring means follow the form factor of disks about none of the centres."""
    trials = [replace(task, centre=c) for c in centres]
    return min(form_factor_fit(t, s)[2] for t in trials for s in (0.0, task.scatter)) > FOREIGN


def speckles_explained(inversion: Inversion, task: Task) -> float:
    """Return the share of the deviance from the ring means, beyond its noise, that the disks take away.

    Wrong structures take nothing; those in the right places but of another shape take most of it.
    """
    fit, counts = inversion.best, collect(task)
    ring = np.rint(counts.radius).astype(np.int64)
    mean = np.bincount(ring, counts.value) / np.maximum(np.bincount(ring, counts.weight), 1e-12)
    flat = counts.weight * (np.maximum(mean[ring], 1e-6) + counts.noise)
    seen = np.maximum(counts.value + counts.weight * counts.noise, 0.0)
    all_of_it = poisson_deviance(seen, flat) - fit.expected
    if all_of_it < LOUD * fit.spread:
        return 0.0  # hardly any speckle stands out of the noise
    return float(1.0 - (fit.deviance - fit.expected) / all_of_it)


def _attempt(
    task: Task,
    rng: np.random.Generator,
    plan: Plan,
    held: tuple[Inversion, Task] | None,
    both: bool,
) -> tuple[Inversion, Task]:
    """Return the better of what is held and an inversion of this task."""
    found = invert_large(task, rng, plan) if _large(task) else invert(task, rng, plan)
    new = weigh_laws(found, task, both)
    return new if held is None or _better(new[0], held[0]) else held


def speckles_too_smooth(task: Task, inversion: Inversion) -> bool:
    """Return whether the contrast lies well below 1 − 1/N: a sign of partial coherence."""
    return _contrast_bound(inversion, task) < 0.85 * (1.0 - 1.0 / inversion.best.structure.count)


def _contrast_bound(inversion: Inversion, task: Task) -> float:
    """Return the contrast² of the speckles plus three standard errors."""
    rings = ring_averages(task.image, task.open_pixels, task.radius)
    width = _width(inversion) or task.extent
    value, error, _ = speckle_contrast(rings, 2.0 * np.pi / width, 4.0 * np.pi / width)
    return float(value + 3.0 * error)


def _large(task: Task) -> bool:
    return bool(max(task.image.shape) > LARGE)


def invert_large(task: Task, rng: np.random.Generator, plan: Plan) -> Inversion:
    """Invert every f-th pixel of an oversampled frame, then refine on all of its pixels.

    A sampled pixel obeys the same model exactly; a binned one would not.
    """
    stride = max(int(speckle_pixels(task) / 2.2), -(-max(task.image.shape) // LARGE))
    start = [round(c) % stride for c in task.centre]
    part = (slice(start[0], None, stride), slice(start[1], None, stride))
    coarse = replace(
        task,
        image=task.image[part],
        open_pixels=task.open_pixels[part],
        centre=((task.centre[0] - start[0]) / stride, (task.centre[1] - start[1]) / stride),
        extent=min(task.extent * stride, np.pi),
    )
    found = invert(coarse, rng, plan)
    counts = collect(task)
    result = Inversion(starts=found.starts, radius=found.radius / stride, centre=task.centre)
    best = sorted(found.fits.values(), key=lambda f: f.score)[:2]
    for fit in best:
        s, free = fit.structure, replace(fit.freedom, area=task.extent**2)
        fine = Structure(
            s.y / stride,
            s.x / stride,
            s.radius / stride,
            s.scale * stride**2,
            (s.offset[0] * stride, s.offset[1] * stride),
        )
        result.offer(refine(fine, counts, free, steps=5, fisher=True))
    top = result.best
    result.explained, result.unseen = explains(top), result.further(top, counts).odds
    result.centre = centre_of(task, top)
    return result


def _better(found: Inversion, held: Inversion) -> bool:
    return (found.explained, -found.best.score) > (held.explained, -held.best.score)


def weigh_laws(inversion: Inversion, task: Task, both: bool) -> tuple[Inversion, Task]:
    """Fit the structure under the other size law too; keep what is proved, then the higher evidence."""
    fit, counts = inversion.best, collect(task)
    if not (task.equal or both):
        return inversion, task
    free = replace(fit.freedom, radii=task.equal, scatter=task.scatter)
    start = fit.structure
    mean = float(np.sqrt((start.radius**2).mean()))
    starts = (
        unequal_starts(start) if task.equal else [replace(start, radius=np.full(start.count, mean))]
    )
    tried = [refine(s, counts, free, steps=8, fisher=True) for s in starts]
    other = min(tried, key=lambda f: f.score)
    # the same structure, reached as surely: only what it explains may differ
    rescued = explains(other) and not explains(fit)
    if not rescued and (other.score > fit.score - 2.0 or explains(other) < explains(fit)):
        return inversion, task
    # numbers tried under the first law keep their distance from its best
    gain = fit.score - other.score
    kept = {n: replace(f, score=f.score - gain) for n, f in inversion.fits.items()}
    inversion.fits = kept | {start.count: other}
    settle(inversion, counts, usual_plan(counts.level).moves)
    # with enough photons one start is enough, whatever the law it was first fitted under
    once = usual_plan(counts.level).polish == 1
    inversion.explained = explains(inversion.best) and (
        inversion.explained or once or (rescued and inversion.sure)
    )
    return inversion, replace(task, equal=not task.equal)


def moment_estimates(
    ready: Prepared,
    task: Task,
    rings: Rings,
    settings: DensitySettings,
    inversion: Inversion | None,
) -> dict[str, Any]:
    """Return contrast, speckle size and N from contrast and from I(0), with errors."""
    width = _width(inversion) or task.extent
    speckle = float(2.0 * np.pi / width)
    value, error, speckles = speckle_contrast(rings, speckle, 4.0 * np.pi / width)
    beta = settings.beta or 1.0
    n, low, high = number_from_contrast(value, error, beta)
    result: dict[str, Any] = {
        "speckle": speckle,
        "contrast": value,
        "contrast_error": error,
        "speckles": speckles,
        "n_contrast": (n, low, high),
    }
    cy, cx = (round(c) for c in task.centre)
    if (
        ready.open_pixels[cy, cx]
        and ready.open_pixels[max(cy - 1, 0) : cy + 2, max(cx - 1, 0) : cx + 2].all()
    ):
        radius, _, _ = form_factor_fit(task, 0.0 if task.equal else task.scatter)
        form = law_average(rings.radius, radius, 0.0 if task.equal else task.scatter)
        result["n_forward"] = number_from_forward(float(ready.image[cy, cx]), rings, form)
    return result


def _width(inversion: Inversion | None) -> float | None:
    if inversion is None or inversion.best.structure.count < 3:
        return None
    s = inversion.best.structure
    reach = max(float(np.ptp(s.y)), float(np.ptp(s.x))) + 2.0 * float(s.radius.mean())
    return max(reach, 0.3)


def _contrast_shares(
    moments: dict[str, Any], numbers: Floats, settings: DensitySettings, blurred: bool
) -> Floats:
    """Return the posterior from the contrast alone; pixels wider than speckles only set it a lower limit."""
    value, error = moments["contrast"], moments["contrast_error"]
    if not np.isfinite(error):
        return np.full(numbers.size, 1.0 / numbers.size)
    # rings share speckles and form factors vary: doubled
    beyond = (value - (settings.beta or 1.0) * (1.0 - 1.0 / numbers)) / (2.0 * error + 0.02)
    if blurred and settings.beta is None:
        beyond = np.maximum(beyond, 0.0)
    log = -0.5 * beyond**2
    share = np.exp(log - log.max())
    return np.asarray(share / share.sum(), dtype=float)
