"""Frames: patterns of a file one by one, with their geometry.

In: an input and the settings. Out: a stream of frames with q per pixel, centre, mask and area;
a stack of any length holds one frame in memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from matterscope.core.calls import Input
from matterscope.core.errors import ConfigError, DataError
from matterscope.io.patterns import HDF_MAGIC, open_stack
from matterscope.physics.fourier import detector_step

if TYPE_CHECKING:
    from matterscope.scattering.settings import DensitySettings


@dataclass(frozen=True)
class Frame:
    """One pattern with what is known about its geometry."""

    counts: NDArray[Any]
    open_pixels: NDArray[np.bool_] | None
    centre: tuple[float, float] | None
    step: tuple[float, float]
    unit: str
    calibrated: bool
    area: float | None
    width: float | None
    name: str
    index: int
    total: int
    background: float = 0.0
    """Mean counts per pixel of the dark frame taken off: their noise stays."""
    photons: bool = False
    """Whether the counts are photons though corrections made them broken numbers."""

    @property
    def selector(self) -> str:
        """Return the name of this frame inside its file."""
        return "" if self.total == 1 else str(self.index + 1)


def load_frames(given: Input, settings: DensitySettings) -> Iterator[Frame]:
    """Yield the frames of an input, dark and flat corrected."""
    correction: Correction | None = None
    for frame in _raw_frames(given, settings):
        if correction is None:
            correction = _correction(settings, frame.counts.shape)
        yield correct(frame, correction)


@dataclass(frozen=True)
class Correction:
    """Dark frame and flat field; None where there is none."""

    dark: NDArray[np.float64] | None
    flat: NDArray[np.float64] | None


def _correction(settings: DensitySettings, shape: tuple[int, ...]) -> Correction:
    dark = _companion(settings.dark, shape, "dark frame")
    flat = _companion(settings.flat, shape, "flat field")
    if flat is not None:
        good = flat[np.isfinite(flat) & (flat > 0)]
        if good.size == 0:
            raise DataError("the flat field has no positive pixel", where=settings.flat)
        flat = flat / good.mean()
    return Correction(dark, flat)


def correct(frame: Frame, correction: Correction) -> Frame:
    """Return (counts − dark) / flat; pixels of less than a tenth of the mean response are NaN, so masked."""
    dark, flat = correction.dark, correction.flat
    if dark is None and flat is None:
        return frame
    raw = np.asarray(frame.counts, dtype=float)
    whole = bool(np.allclose(raw[np.isfinite(raw)] % 1.0, 0.0))
    counts, background = raw, 0.0
    if dark is not None:
        counts, background = counts - dark, max(float(np.nanmean(dark)), 0.0)
    if flat is not None:
        usable = np.isfinite(flat) & (flat > 0.1)
        counts = np.where(usable, counts / np.where(usable, flat, 1.0), np.nan)
    return replace(frame, counts=counts, background=background, photons=whole)


def _companion(path: str, shape: tuple[int, ...], what: str) -> NDArray[np.float64] | None:
    """Return the mean of the frames of a companion file, or None."""
    if not path:
        return None
    stack = open_stack(path)
    total = np.zeros(stack.shape[1:])
    for one in stack.frames():
        total += one
    if total.shape != tuple(shape):
        raise DataError(
            f"the {what} has another shape than the frame",
            where=path,
            got=total.shape,
            expected=tuple(shape),
        )
    return np.asarray(total / stack.shape[0], dtype=float)


def _raw_frames(given: Input, settings: DensitySettings) -> Iterator[Frame]:
    if given.data is not None:
        for dataset in given.data if isinstance(given.data, list) else [given.data]:
            yield from _of_dataset(dataset, given, settings)
        return
    assert given.path is not None
    if is_own(given):
        from matterscope.io.reading import read

        for dataset in read(given.path, kind="patterns"):
            yield from _of_dataset(dataset, given, settings)
        return
    stack = open_stack(given.path, settings.dataset)
    chosen = _selection(settings.frames, given.selector, stack.shape[0])
    mask = read_mask(settings.mask, stack.shape[1:])
    step, unit, calibrated = _geometry(settings, (1.0, 1.0), "px", False)
    numbers = range(*chosen.indices(stack.shape[0]))
    for index, counts in zip(
        numbers, stack.frames(chosen.start, chosen.stop, chosen.step), strict=True
    ):
        yield Frame(
            counts,
            mask,
            _centre(settings),
            step,
            unit,
            calibrated,
            settings.area,
            None,
            given.source,
            index,
            stack.shape[0],
        )


def frame_numbers(given: Input, settings: DensitySettings) -> range:
    """Return the frames of a file that are asked for, without reading them."""
    assert given.path is not None
    total = open_stack(given.path, settings.dataset).shape[0]
    return range(*_selection(settings.frames, given.selector, total).indices(total))


def is_own(given: Input) -> bool:
    """Return whether the input is a file of measurements written by this package."""
    from matterscope.io.measurement import sniff

    assert given.path is not None
    if not given.path.is_file():
        return False
    with given.path.open("rb") as handle:
        head = handle.read(8)
    return head.startswith(HDF_MAGIC) and sniff(given.path, head)


def _of_dataset(dataset: xr.Dataset, given: Input, settings: DensitySettings) -> Iterator[Frame]:
    counts = dataset["counts"]
    values = counts.values if counts.ndim == 3 else counts.values[None]
    ny, nx = values.shape[-2:]
    open_pixels = read_mask(settings.mask, (ny, nx))
    if "open_pixels" in dataset:
        stored = np.asarray(dataset["open_pixels"].values, dtype=bool)
        open_pixels = stored if open_pixels is None else stored & open_pixels
    own_step, centre = _axes(dataset)
    unit = str(dataset.attrs.get("length_unit", "")) or (
        "nm" if dataset["qx"].attrs["units"] == "1/nm" else "px"
    )
    step, unit, calibrated = _geometry(
        settings, own_step, unit, bool(dataset.attrs.get("calibrated", own_step != (1.0, 1.0)))
    )
    known = centre if dataset.attrs.get("centre_known", True) else None
    area = settings.area or dataset.attrs.get("area")
    chosen = _selection(settings.frames, given.selector, len(values))
    for index in range(*chosen.indices(len(values))):
        yield Frame(
            values[index],
            open_pixels,
            _centre(settings) or known,
            step,
            unit,
            calibrated,
            None if area is None else float(area),
            None if area is None else float(area) ** 0.5,
            given.source,
            index,
            len(values),
        )


def _axes(dataset: xr.Dataset) -> tuple[tuple[float, float], tuple[float, float]]:
    step, centre = [], []
    for name in ("qy", "qx"):
        axis = np.asarray(dataset[name].values, dtype=float)
        each = float(np.diff(axis).mean()) if axis.size > 1 else 1.0
        if axis.size > 2 and np.ptp(np.diff(axis)) > 1e-3 * each:
            raise DataError(f"the axis {name} is not even", hint="interpolate to an even grid")
        step.append(each)
        centre.append(-float(axis[0]) / each)
    return (step[0], step[1]), (round(centre[0], 6), round(centre[1], 6))


def _geometry(
    settings: DensitySettings, step: tuple[float, float], unit: str, calibrated: bool
) -> tuple[tuple[float, float], str, bool]:
    if settings.q_step is not None:
        return (settings.q_step, settings.q_step), "nm", True
    given = (settings.wavelength, settings.distance, settings.pixel)
    if all(v is not None for v in given):
        wavelength, distance, pixel = (float(v) for v in given if v is not None)
        each = detector_step(wavelength, distance * 1e9, pixel * 1e3)
        return (each, each), "nm", True
    return step, unit, calibrated


def _centre(settings: DensitySettings) -> tuple[float, float] | None:
    if settings.centre_y is None and settings.centre_x is None:
        return None
    if settings.centre_y is None or settings.centre_x is None:
        raise ConfigError(
            "a centre needs both its row and its column", hint="give --centre-y and --centre-x"
        )
    return settings.centre_y, settings.centre_x


def _selection(text: str, selector: str, total: int) -> slice:
    if selector.isdigit():
        index = int(selector) - 1
        if not 0 <= index < total:
            raise DataError("there is no such frame", got=selector, expected=f"1 to {total}")
        return slice(index, index + 1, 1)
    parts = text.split(":") if text else []
    try:
        numbers = [int(p) if p else None for p in parts]
    except ValueError:
        raise ConfigError("frames must be FIRST:LAST:STEP", got=repr(text)) from None
    if len(numbers) == 1 and numbers[0] is not None:
        return slice(numbers[0], numbers[0] + 1, 1)
    chosen = slice(*numbers) if numbers else slice(None)
    return slice(chosen.start or 0, chosen.stop, chosen.step or 1)


def read_mask(path: str, shape: tuple[int, ...]) -> NDArray[np.bool_] | None:
    """Return the mask of a file (other than 0 means measured), or None."""
    if not path:
        return None
    stack = open_stack(path)
    mask = np.asarray(next(stack.frames())) != 0
    if mask.shape != tuple(shape):
        raise DataError(
            "the mask has another shape than the frame",
            where=path,
            got=mask.shape,
            expected=tuple(shape),
        )
    return np.asarray(mask, dtype=np.bool_)
