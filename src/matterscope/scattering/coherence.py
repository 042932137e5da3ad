"""Partial coherence: the width of the source, found with the structure where full coherence fails.

In: a pattern that no disks explain under full coherence, with too little contrast. Out: the inversion
under the best Gaussian blur of the intensity (Gaussian Schell model), if that one explains it.
A vector ρ between two disks keeps exp(−ρ²/2ξ²) of its fringes: the intensity is convolved with a
Gaussian of standard deviation 1/ξ.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from matterscope.scattering.inversion import Inversion, Plan, explains, invert
from matterscope.scattering.levelling import Task, collect
from matterscope.scattering.refinement import Fit, refine

TRIED = (0.5, 0.9, 1.4)
"""Blurs (px) tried first: contrast² of about 0.75, 0.45 and 0.25 in the published geometry."""
QUICK = Plan(starts=16, lists=2, moves=3, polish=1)


def invert_blurred(task: Task, rng: np.random.Generator) -> tuple[Inversion, Task]:
    """Return the best inversion over blurs, and the task with the blur that it found."""
    best: tuple[Inversion, Task] | None = None
    for blur in TRIED:
        trial = replace(task, blur=blur)
        found = invert(trial, rng, QUICK)
        if best is None or found.best.score < best[0].best.score:
            best = found, trial
    assert best is not None
    return _sharpen(*best)


def _sharpen(inversion: Inversion, task: Task) -> tuple[Inversion, Task]:
    """Refine the blur with the structure by shrinking steps, then search once more under it."""
    fit, blur, step = inversion.best, task.blur, 0.3
    for _ in range(4):
        better: tuple[float, Fit] | None = None
        for factor in (1.0 - step, 1.0 + step):
            trial = _refit(fit, task, blur * factor)
            if trial.score < fit.score and (better is None or trial.score < better[1].score):
                better = blur * factor, trial
        if better is None:
            step *= 0.4
        else:
            blur, fit = better
    task = replace(task, blur=blur)
    again = Inversion(starts=inversion.starts, radius=inversion.radius, centre=inversion.centre)
    again.offer(fit)
    again.explained = explains(fit)
    if not again.explained:
        other = invert(task, np.random.default_rng(0), QUICK)
        for one in other.fits.values():
            again.offer(one)
        again.explained = explains(again.best)
    return again, task


def _refit(fit: Fit, task: Task, blur: float) -> Fit:
    counts = collect(replace(task, blur=blur))
    return refine(fit.structure, counts, fit.freedom, steps=4, fisher=True)
