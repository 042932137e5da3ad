"""Frames of a detector as a measurement: axes in q where the geometry is known, in pixels where not.

In: an array of frames. Out: a `patterns` measurement.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from matterscope.core.schema import measurement
from matterscope.physics.fourier import detector_step


def q_steps(geometry: dict[str, Any]) -> tuple[float, float] | None:
    """Return q per pixel (y, x) in 1/nm from wavelength (nm), distance (m) and pixel (y, x in m), or None."""
    if not {"wavelength", "distance", "pixel"} <= geometry.keys():
        return None
    far, wavelength = float(geometry["distance"]) * 1e9, float(geometry["wavelength"])
    y, x = (detector_step(wavelength, far, float(p) * 1e9) for p in geometry["pixel"])
    return y, x


def as_patterns(
    counts: NDArray[Any],
    *,
    step: tuple[float, float] = (1.0, 1.0),
    centre: tuple[float, float] | None = None,
    units: str = "1/px",
    open_pixels: NDArray[Any] | None = None,
    selector: str = "",
    vendor: dict[str, Any] | None = None,
    geometry: dict[str, Any] | None = None,
    **attrs: Any,
) -> xr.Dataset:
    """Return frames as a measurement.

    Parameters
    ----------
    counts : array of shape (frames, ny, nx), counts
        Frames.
    step : (float, float)
        q per pixel along y and x, in `units`; (1, 1) in 1/px means that no geometry is known.
    centre : (float, float), px
        Index of q = 0; the middle by default.
    open_pixels : boolean array of shape (ny, nx), optional
        Measured pixels.
    geometry : dict, optional
        wavelength (nm), distance (m), pixel (y, x in m): where all are there, q per pixel follows from them.
    """
    told = q_steps(geometry or {})
    if told is not None:
        step, units = told, "1/nm"
    _, ny, nx = counts.shape
    cy, cx = centre if centre is not None else (ny // 2, nx // 2)
    variables: dict[str, Any] = {"counts": (("frame", "qy", "qx"), counts, "counts")}
    if open_pixels is not None:
        variables["open_pixels"] = (("qy", "qx"), np.asarray(open_pixels, dtype=np.uint8), "1")
    return measurement(
        "patterns",
        {
            "qy": ((np.arange(ny) - cy) * step[0], units),
            "qx": ((np.arange(nx) - cx) * step[1], units),
        },
        variables,
        source={"selector": selector},
        vendor=vendor,
        calibrated=bool(step != (1.0, 1.0)),
        centre_known=centre is not None,
        **attrs,
    )
