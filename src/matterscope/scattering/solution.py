"""What is known about one frame: every estimator's word and the posterior that joins them.

In: nothing. Out: `Solution` and `Opinion`, which the answer, its pictures and its ablation read.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from matterscope.scattering.frames import Frame
from matterscope.scattering.inversion import Inversion
from matterscope.scattering.levelling import Task
from matterscope.scattering.observables import Rings
from matterscope.scattering.preparation import Prepared
from matterscope.scattering.proof import Power, verdict
from matterscope.scattering.refinement import Fit

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Opinion:
    """What one classifier says of a pattern."""

    name: str
    shares: Floats
    distance: float
    population: str
    reason: str = ""

    @property
    def inside(self) -> bool:
        """Whether the pattern looks like the training population."""
        return self.distance <= 1.0 and not self.reason

    @property
    def doubt(self) -> str:
        """Say why the pattern lies outside."""
        return self.reason or (
            f"its features lie {self.distance:.2f} times as far from the training patterns as 97 % of them"
        )


@dataclass
class Solution:
    """All that is known about one frame."""

    frame: Frame
    ready: Prepared
    task: Task
    rings: Rings
    inversion: Inversion | None
    numbers: Floats
    posterior: Floats
    parts: dict[str, Floats]
    moments: dict[str, Any]
    power: Power = field(default_factory=Power)
    opinions: list[Opinion] = field(default_factory=list)
    told_speckle: float | None = None
    """Speckle size (px) of the illuminated width where that is told; it may be finer than 2."""

    @property
    def fit(self) -> Fit | None:
        """Return the best fit."""
        return self.inversion.best if self.inversion else None

    @property
    def verdict(self) -> str:
        """Return ``proved``, ``likely`` or ``failed``."""
        return verdict(self.inversion, self.power)

    @property
    def speckle_pixels(self) -> float:
        """Return the speckle size in pixels for the largest extent allowed."""
        return self.told_speckle or speckle_pixels(self.task)

    @property
    def answer(self) -> int:
        """Return the likeliest number."""
        return int(self.numbers[int(np.argmax(self.posterior))])


def speckle_pixels(task: Task) -> float:
    """Return the speckle size in pixels for the largest extent allowed."""
    return float(2.0 * np.pi / task.extent)
