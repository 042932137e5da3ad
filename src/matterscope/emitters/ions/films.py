"""How thick a film must be: capture and damage against the thickness of a stack's first layer.

In: a beam and a stack of layers. Out: the scan, the smooth curve through it, draws of the optimum.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from matterscope.core.calls import Call
from matterscope.emitters.ions.transport import Beam, Layer, implant, with_film

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class FilmScan:
    """Capture against film thickness (nm), the smooth curve through it, and its maximum."""

    table: pd.DataFrame
    curve: tuple[Floats, Floats]
    optimum: Floats
    """Draws of the best thickness (nm)."""
    best: Floats
    """Draws of the capture at the best thickness."""
    misfit: float
    """χ² per degree of freedom of the smooth curve."""


def scan_film(
    beam: Beam, layers: tuple[Layer, ...], target: int, ions: int, call: Call
) -> FilmScan:
    """Return capture and damage against the thickness of the first layer, refined about the optimum.

    A coarse grid finds the peak; a fine one about it carries a cubic whose covariance gives the
    optimum an interval (a grid of 10 nm steps alone would misplace it by several nm).
    """
    alone = implant(
        replace(beam, cascades=False),
        (replace(layers[0], thickness=1e4),),
        500,
        call,
        stream="film range",
    )
    reach = alone.ranges()["projected_range"][0] + 1.5 * alone.ranges()["range_straggle"][0]
    ranging = replace(beam, cascades=False)
    coarse = np.linspace(0, reach, 13)
    first = [
        _capture(ranging, layers, t, target, max(ions // 3, 250), call, f"film {t:.4f}")
        for t in coarse
    ]
    # three neighbours together: a single lucky point of the coarse grid may not decide
    caught = np.convolve(np.pad([r[1] for r in first], 1, mode="edge"), [0.25, 0.5, 0.25], "valid")
    peak = float(coarse[int(np.argmax(caught))])
    second: list[tuple[float, float, float, float]] = []
    for round_ in range(3):
        half = max(0.42 * peak, 1.5 * reach / 12)
        low, high = max(peak - half, 0.0), peak + half
        fine = np.linspace(low, high, 13)
        second += [
            _capture(ranging, layers, t, target, ions, call, f"fine film {round_} {t:.4f}")
            for t in fine
        ]
        near = np.array(sorted(r for r in second if low <= r[0] <= high))
        draws, best, curve, misfit = _maximum(near[:, 0], near[:, 1], near[:, 2], call)
        # the optimum must lie inside the window, not at its end
        middle = float(np.median(draws))
        if (
            low + 0.15 * (high - low) < middle < high - 0.15 * (high - low)
            or middle <= low + 1e-9 <= 1e-6
        ):
            break
        peak = middle
    table = pd.DataFrame(
        sorted({r[0]: r for r in first + second}.values()),
        columns=["film_thickness", "stopped_fraction", "stopped_fraction_sigma", "film_fraction"],
    )
    table = table.merge(
        _damage(beam, layers, target, reach, ions, call), how="left", on="film_thickness"
    )
    table.attrs["units"] = {
        "film_thickness": "nm",
        "stopped_fraction": "1",
        "stopped_fraction_sigma": "1",
        "film_fraction": "1",
        "vacancies_per_ion": "1",
        "vacancies_per_stopped_ion": "1",
    }
    return FilmScan(table, curve, draws, best, misfit)


def _capture(
    beam: Beam,
    layers: tuple[Layer, ...],
    film: float,
    target: int,
    ions: int,
    call: Call,
    stream: str,
) -> tuple[float, float, float, float]:
    stack = with_film(layers, film)
    found = implant(beam, stack, ions, call, stream=stream)
    shift = 0 if film > 0 else 1
    caught = float(found.captured(target - shift).mean())
    sigma = float(np.sqrt(max(caught * (1 - caught), 1 / ions) / ions))
    return float(film), caught, sigma, float(found.captured(0).mean()) if film > 0 else 0.0


def _damage(
    beam: Beam, layers: tuple[Layer, ...], target: int, reach: float, ions: int, call: Call
) -> pd.DataFrame:
    rows = []
    for film in np.linspace(0, reach, 13)[::2]:
        found = implant(
            beam, with_film(layers, film), max(ions // 8, 200), call, stream=f"damage {film:.4f}"
        )
        layer = target - (0 if film > 0 else 1)
        broken = float(found.vacancies[:, layer].mean())
        caught = float(found.captured(layer).mean())
        rows.append((film, broken, broken / caught if caught > 0 else np.nan))
    return pd.DataFrame(
        rows, columns=["film_thickness", "vacancies_per_ion", "vacancies_per_stopped_ion"]
    )


def _maximum(
    x: Floats, y: Floats, sigma: Floats, call: Call, draws: int = 1000
) -> tuple[Floats, Floats, tuple[Floats, Floats], float]:
    """Return draws of position and height of the maximum of a cubic through (x, y ± sigma)."""
    centre, scale = x.mean(), max(np.ptp(x) / 2, 1e-9)
    basis = np.vander((x - centre) / scale, 4)
    weighted = basis / sigma[:, None]
    covariance = np.linalg.inv(weighted.T @ weighted)
    coefficients = covariance @ weighted.T @ (y / sigma)
    misfit = float(np.sum(((y - basis @ coefficients) / sigma) ** 2) / max(x.size - 4, 1))
    grid = np.linspace(x[0], x[-1], 401)
    fine = np.vander((grid - centre) / scale, 4)
    sample = call.rng("film optimum").multivariate_normal(
        coefficients, covariance * max(misfit, 1.0), size=draws
    )
    curves = sample @ fine.T
    return grid[np.argmax(curves, axis=1)], curves.max(axis=1), (grid, fine @ coefficients), misfit
