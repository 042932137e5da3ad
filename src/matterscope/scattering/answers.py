"""The verb `scattering density`: frames in, one estimate per pattern (or per movie) out.

In: files and settings. Out: estimates with the posterior over N, the density, the disks and pictures.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from matterscope.core.calls import Call, Input
from matterscope.core.errors import DataError
from matterscope.core.estimates import Estimate, InputRef, refused
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
        before = len(answers)
        for frame in load_frames(given, settings):
            try:
                answers.append(answer_frame(frame, given, settings, call))
            except DataError as error:
                if frame.total == 1:
                    raise
                # one bad frame of a stack must not take the others with it
                answers.append(refuse_frame(frame, given, error))
            call.progress(frame.index + 1, frame.total, "frames")
        if len(answers) == before:
            raise DataError(
                "the stack has no frame that was asked for", where=given.source, got=settings.frames
            )
    return answers


def refuse_frame(frame: Frame, given: Input, error: DataError) -> Estimate:
    """Return the estimate of a frame of a stack that holds nothing to be answered."""
    estimate = Estimate("scattering density")
    estimate.input = InputRef(given.source, frame.selector, given.sha256)
    for name, units in (("disk_number", "1"), ("number_density", "1/px²")):
        estimate.quantities[name] = refused(units, error.what)
    estimate.flag("frame-refused", str(error), error.hint or "leave this frame out with --frames")
    return estimate


def answer_frame(frame: Frame, given: Input, settings: DensitySettings, call: Call) -> Estimate:
    """Return the estimate of one frame."""
    solution = solve(frame, settings, call.rng("density", frame.index), call.progress)
    estimate = describe(solution, settings, call)
    estimate.input = InputRef(given.source, frame.selector, given.sha256)
    if settings.ablation and solution.inversion is not None:
        estimate.pictures.append(ablate(solution, call.rng("ablation", frame.index)))
    return estimate
