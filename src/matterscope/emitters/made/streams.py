"""Make a photon stream file with a known truth.

In: rates, detection and background from the settings. Out: PTU, NPZ or Photon-HDF5, and the truth.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from matterscope.core.calls import Call
from matterscope.core.estimates import Estimate, InputRef, Quantity
from matterscope.core.files import sha256_of
from matterscope.core.pictures import Panel, Picture, line, mark, points
from matterscope.emitters.made.sources import PRESETS, Detection, Excitation, simulate_stream
from matterscope.emitters.photons.correlation import pair_histogram
from matterscope.physics.rates import ThreeLevels

if TYPE_CHECKING:
    from pathlib import Path

    import xarray as xr

    from matterscope.emitters.settings import SimulateSettings

MADE = "made by the simulation: exact"


def levels_of(settings: SimulateSettings) -> ThreeLevels:
    """Return the rates of the settings."""
    given = {
        "pump": settings.pump,
        "emission": settings.emission,
        "shelving": settings.shelving,
        "deshelving": settings.deshelving,
    }
    known = {name: value for name, value in given.items() if value is not None}
    return replace(PRESETS[settings.preset].levels, **known)


def detection_of(settings: SimulateSettings) -> Detection:
    """Return the detectors of the settings."""
    return Detection(
        efficiency=settings.efficiency,
        background=settings.background,
        jitter=settings.jitter * 1e-12,
        dead_time=settings.dead_time * 1e-9,
        delay=settings.delay * 1e-9,
        after_flash=settings.after_flash,
    )


def excitation_of(settings: SimulateSettings) -> Excitation:
    """Return how the settings drive the emitter."""
    return Excitation(
        period=settings.period * 1e-9,
        excitation=settings.excitation,
        blink_on=settings.blink_on,
        blink_off=settings.blink_off,
    )


def make_stream(settings: SimulateSettings, call: Call) -> list[Estimate]:
    """Simulate the stream, write it, answer with its path and its truth."""
    levels = levels_of(settings)
    stream = simulate_stream(
        [levels] * (len(settings.brightness) or settings.emitters),
        settings.duration,
        call.rng("stream"),
        detection=detection_of(settings),
        excitation=excitation_of(settings),
        brightness=_relative(settings.brightness),
    )
    return [_answer(stream, levels, settings, call)]


def _relative(brightness: tuple[float, ...]) -> tuple[float, ...]:
    """Return the brightness of each emitter relative to the brightest."""
    return tuple(b / max(brightness) for b in brightness)


def write_stream(stream: xr.Dataset, path: Path) -> None:
    """Write a stream in the format of the file's ending."""
    if path.suffix == ".ptu":
        from matterscope.io.picoquant_writing import write_ptu

        write_ptu(stream, path)
    else:
        from matterscope.io.photons import write

        write(stream, path)


def _answer(
    stream: xr.Dataset, levels: ThreeLevels, settings: SimulateSettings, call: Call
) -> Estimate:
    name = f"stream.{settings.format}"
    path = call.artifact(name)
    write_stream(stream, path)
    truth = stream.attrs["truth"]
    digest = sha256_of(path)
    estimate = Estimate("emitters simulate", InputRef("simulated", "stream"))
    fast, slow, amplitude = levels.eigenvalues()
    rate = stream.sizes["event"] / settings.duration
    exact = {
        "g2_zero": (truth["g2_zero"], "1"),
        "emitters_in_stream": (truth["emitters"], "1"),
        "antibunching_time": (1e9 / fast, "ns"),
        "bunching_1": (amplitude, "1"),
        "bunching_time_1": (1e9 / slow if levels.shelving else None, "ns"),
        "photons": (stream.sizes["event"], "counts"),
        "total_rate": (rate, "counts/s"),
    }
    estimate.quantities = {n: Quantity(v, u, reason=MADE) for n, (v, u) in exact.items()}
    estimate.diagnostics = {
        "truth": truth,
        "artifacts": [{"path": name, "sha256": digest}],
    }
    estimate.provenance = {
        "model": "three levels, exact renewal sampling; normal jitter, uniform background",
        "settings": settings.model_dump(),
        "references": ["the project's own simulator"],
    }
    estimate.pictures.append(_picture(stream, levels, truth, settings))
    return estimate


def _picture(
    stream: xr.Dataset, levels: ThreeLevels, truth: dict[str, float], settings: SimulateSettings
) -> Picture:
    time, channel = stream["time"].values, stream["channel"].values
    t0 = round(settings.delay * 1000)
    h = pair_histogram(time, channel, (1, 2), t0 - 100_000, t0 + 100_000, 500)
    lag = h.delay / 1000.0
    layers = [points(lag, h.g2, "counted in the stream"), mark(y=[1.0])]
    if not settings.period:
        ideal = levels.correlation((lag - settings.delay) * 1e-9)
        share = 1.0 - truth["g2_zero"]
        layers.append(
            line(lag, 1.0 + share * (np.asarray(ideal) - 1.0), "truth without jitter", "truth")
        )
    return Picture(
        "stream",
        "The stream that was made",
        (Panel(layers, "delay (ns)", "g²(τ)"),),
        f"True g²(0) with background: {truth['g2_zero']:.4f}.",
    )
