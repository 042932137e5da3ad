"""Ring ablation: which q carries the information, answered by taking it away.

In: a solved frame. Out: the probability of the answer and the evidence left when each ring of q
is masked: the exact form of what a saliency map hints at.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from matterscope.core.pictures import Picture
from matterscope.scattering import pictures
from matterscope.scattering.inversion import invert
from matterscope.scattering.posterior import evidence_shares

if TYPE_CHECKING:
    from matterscope.scattering.solution import Solution


def ablate(solution: Solution, rng: np.random.Generator, rings: int = 8) -> Picture:
    """Return the picture of the probability of the answer, and of the evidence lost, per masked ring."""
    task = solution.task
    radius = task.radius
    inner = float(radius[task.open_pixels].min())
    outer = 0.5 * min(task.image.shape)
    edges = np.linspace(inner, outer, rings + 1)
    chance, lost = [], []
    full = _margin(solution)
    for low, high in pairwise(edges):
        covered = (radius >= low) & (radius < high)
        found = invert(replace(task, open_pixels=task.open_pixels & ~covered), rng)
        share = evidence_shares(found, solution.numbers)
        chance.append(float(share[solution.answer - 1]))
        scores = sorted(f.score for f in found.fits.values())
        margin = 0.5 * (scores[1] - scores[0]) if len(scores) > 1 else full
        lost.append(max(full - margin, 0.0))
    middle = 0.5 * (edges[:-1] + edges[1:]) * solution.frame.step[1]
    unit = f"1/{solution.frame.unit}" if solution.frame.calibrated else "px"
    return pictures.ablation(middle, np.array(chance), np.array(lost), unit)


def _margin(solution: Solution) -> float:
    assert solution.inversion is not None
    scores = sorted(f.score for f in solution.inversion.fits.values())
    return 0.5 * (scores[1] - scores[0]) if len(scores) > 1 else 0.0
