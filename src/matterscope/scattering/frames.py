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
from matterscope.core.units import HC
from matterscope.io.detector_axes import q_steps
from matterscope.io.measurement import opened, sniff
from matterscope.io.patterns import HDF_MAGIC, open_stack

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
    good: NDArray[np.bool_] | None = None
    """The file's own mask: gaps and bad pixels, but no beam stop, which is still looked for."""
    marked: int = 0
    """Pixels that hold a mark of the detector (gap, bad) instead of counts, or that its mask names."""

    @property
    def selector(self) -> str:
        """Return the name of this frame inside its file."""
        return "" if self.total == 1 else str(self.index + 1)


def load_frames(given: Input, settings: DensitySettings) -> Iterator[Frame]:
    """Yield the frames of an input, dark and flat corrected."""
    correction: Correction | None = None
    for raw in _raw_frames(given, settings):
        frame = unmark(raw)
        if correction is None:
            correction = _correction(settings, frame.counts.shape)
        yield correct(frame, correction)


def unmark(frame: Frame) -> Frame:
    """Return the frame with NaN where the detector wrote a mark instead of counts.

    Integer frames hold −1 and −2 in gaps and bad pixels (Pilatus), or the largest number of their type
    (Eiger); other negative integers are left, they come from a subtracted dark frame.
    """
    counts = np.asarray(frame.counts)
    marks = np.zeros(counts.shape, dtype=bool) if frame.good is None else ~frame.good
    if counts.dtype.kind in "ui" and counts.dtype.itemsize > 1:
        marks = marks | (counts == np.iinfo(counts.dtype).max)
        if counts.dtype.kind == "i":
            if int(counts.min()) >= -2:
                marks |= counts < 0
            # 2³² − 1 of an unsigned frame, widened on its way
            marks |= counts == np.iinfo(np.uint32).max
    if not marks.any():
        return frame
    return replace(frame, counts=np.where(marks, np.nan, counts), marked=int(marks.sum()))


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
            yield from _of_dataset(dataset, dataset["counts"].values, given, settings)
        return
    assert given.path is not None
    if is_own(given):
        if settings.dataset:
            raise ConfigError(
                "a file of patterns written by this package has one place for its counts",
                where=given.source,
                got=f"--dataset {settings.dataset}",
                expected="none",
                hint="leave --dataset out; it names a path in the HDF5 files of detectors",
            )
        with opened(given.path, apart="counts") as measurements:
            if not measurements:
                raise DataError("this file holds no patterns", where=given.source)
            for dataset, counts in measurements:
                yield from _of_dataset(dataset, counts, given, settings)
        return
    stack = open_stack(given.path, settings.dataset)
    chosen = _selection(settings.frames, given.selector, stack.shape[0])
    mask, own = read_mask(settings.mask, stack.shape[1:]), stack.good_pixels()
    step, unit, calibrated = _geometry(settings, (1.0, 1.0), "px", False, stack.geometry)
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
            good=own,
        )


def frame_numbers(given: Input, settings: DensitySettings) -> range | None:
    """Return the frames of a file that are asked for, without reading them; None for several stacks."""
    assert given.path is not None
    if is_own(given):
        with opened(given.path, apart="counts") as measurements:
            if len(measurements) != 1 or measurements[0][1].ndim != 3:
                return None
            total = int(measurements[0][1].shape[0])
    else:
        total = open_stack(given.path, settings.dataset).shape[0]
    return range(*_selection(settings.frames, given.selector, total).indices(total))


def is_own(given: Input) -> bool:
    """Return whether the input is a file of measurements written by this package."""
    assert given.path is not None
    if not given.path.is_file():
        return False
    with given.path.open("rb") as handle:
        head = handle.read(8)
    return head.startswith(HDF_MAGIC) and sniff(given.path, head)


def _of_dataset(
    dataset: xr.Dataset, counts: Any, given: Input, settings: DensitySettings
) -> Iterator[Frame]:
    """Yield the frames of a measurement; `counts` is its array, or the stack as it lies on disk."""
    total = counts.shape[0] if counts.ndim == 3 else 1
    ny, nx = counts.shape[-2:]
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
    chosen = _selection(settings.frames, given.selector, total)
    for index in range(*chosen.indices(total)):
        yield Frame(
            np.asarray(counts[index] if counts.ndim == 3 else counts[()]),
            open_pixels,
            _centre(settings) or known,
            step,
            unit,
            calibrated,
            None if area is None else float(area),
            None if area is None else float(area) ** 0.5,
            given.source,
            index,
            total,
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
    settings: DensitySettings,
    step: tuple[float, float],
    unit: str,
    calibrated: bool,
    told: dict[str, Any] | None = None,
) -> tuple[tuple[float, float], str, bool]:
    """Return q per pixel (y, x), its length unit, and whether it is known: settings before the file."""
    if settings.q_step is not None:
        return (settings.q_step, settings.q_step), "nm", True
    known = dict(told or {})
    if settings.pixel is not None:
        known["pixel"] = (settings.pixel * 1e-6, settings.pixel * 1e-6)
    if settings.distance is not None:
        known["distance"] = settings.distance
    if settings.wavelength is not None or settings.energy is not None:
        if None not in (settings.wavelength, settings.energy):
            raise ConfigError("a wavelength and an energy are given", hint="give one of them")
        known["wavelength"] = settings.wavelength or HC / (1e3 * (settings.energy or 1.0))
    told_steps = q_steps(known)
    return (told_steps, "nm", True) if told_steps else (step, unit, calibrated)


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
