"""The verb `scattering density`: frames in, one estimate per pattern (or per movie) out.

In: files and settings. Out: estimates with the posterior over N, the density, the disks and pictures.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from matterscope.core.calls import Call, Input
from matterscope.core.estimates import Estimate, InputRef
from matterscope.scattering.ablation import ablate
from matterscope.scattering.description import describe
from matterscope.scattering.frames import Frame, load_frames
from matterscope.scattering.movies import follow
from matterscope.scattering.number_density import solve

if TYPE_CHECKING:
    from matterscope.scattering.settings import DensitySettings


def infer_density(inputs: list[Input], settings: DensitySettings, call: Call) -> list[Estimate]:
    """Return the number density behind every pattern of the inputs."""
    answers: list[Estimate] = []
    for given in inputs:
        if settings.movie:
            answers.append(follow(given, settings, call))
            continue
        for frame in load_frames(given, settings):
            answers.append(answer_frame(frame, given, settings, call))
            call.progress(frame.index + 1, frame.total, "frames")
    return answers


def answer_frame(frame: Frame, given: Input, settings: DensitySettings, call: Call) -> Estimate:
    """Return the estimate of one frame."""
    solution = solve(frame, settings, call.rng("density", frame.index), call.progress)
    estimate = describe(solution, settings, call)
    estimate.input = InputRef(given.source, frame.selector, given.sha256)
    if settings.ablation and solution.inversion is not None:
        estimate.pictures.append(ablate(solution, call.rng("ablation", frame.index)))
    return estimate
