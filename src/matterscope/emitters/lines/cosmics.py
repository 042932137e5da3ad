"""Cosmic rays in single- and multi-frame spectra, pixel by pixel; lines that jump are left alone.

In: frames of counts over pixels. Out: a mask of struck pixels, groups of frames with the same
spectrum, the noise model. Frames are grouped by their spectrum first and compared within a group;
a lone candidate must be sharper than the spectrometer can draw any line.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d, median_filter
from scipy.special import erf

Floats = NDArray[np.float64]
CANDIDATE = 6.0
"""Heights above the local base, in standard deviations, from which a pixel is looked at."""
LONE, PAIR, GROUP = 7.0, 4.0, 2.0
"""Sharpness that a feature must show which no frame, one frame, or more like frames do not have."""
BROAD = 1.8
"""Widths of the response that such a feature of one frame must undercut; a lone one must undercut one."""
JUMPED = (0.3, 1.2)
"""Shares of the line's height between which a feature of one frame may be the line that jumped."""
RESPONSE_ERROR = 0.25
"""Share of a line's light in a neighbouring pixel by which the response may differ from a Gaussian."""
DRIFT = 0.2
"""Share of a line's light in a pixel by which it may differ from frame to frame."""
NARROWEST = 1.3
"""Full width (pixels) of the narrowest line a spectrometer draws, where nothing better is known."""


@dataclass(frozen=True)
class Noise:
    """Variance of a pixel: read-out² + counts above the offset × gain."""

    offset: float
    read: float
    gain: float = 1.0

    def variance(self, counts: Floats) -> Floats:
        """Return the variance at these counts."""
        return np.asarray(self.read**2 + self.gain * np.maximum(counts - self.offset, 0.0))

    def sigma(self, counts: Floats) -> Floats:
        """Return the standard deviation at these counts."""
        return np.sqrt(self.variance(counts))


def estimate_noise(frames: Floats) -> Noise:
    """Return offset and read-out noise from the dark part of the frames; one count per electron."""
    offset = float(np.median(np.percentile(frames, 10, axis=1)))
    second = np.diff(frames, 2, axis=1) / np.sqrt(6)
    level = frames[:, 1:-1]
    dark = second[level < offset + 3 * max(np.sqrt(max(offset, 1.0)), 5.0)]
    spread = float(1.4826 * np.median(np.abs(dark))) if dark.size > 20 else 0.0
    return Noise(offset, max(spread, 1.0))


def group_frames(frames: Floats, noise: Noise, width: float = NARROWEST) -> NDArray[np.int64]:
    """Return the group of each frame: its brightest line stands on the same pixel, the rest is alike.

    Features too sharp for a line do not count as one. Spectra are compared as arcsinh of their
    significance, smoothed, so that a cosmic ray weighs little and noise less; what noise takes from
    the likeness of two dim frames is allowed for.
    """
    base = np.stack([median_filter(f, 101, mode="nearest") for f in frames])
    shapes = _Shapes.of(frames, noise.sigma(base))
    lines = _line_pixels(frames, base, noise, width)
    groups = -np.ones(len(frames), np.int64)
    # bright frames first: a dim one is like anything
    for i in np.argsort(-shapes.power):
        for g in range(groups.max() + 1):
            members = np.flatnonzero(groups == g)
            near = abs(np.median(lines[members]) - lines[i]) <= 1.0
            if near and np.mean([shapes.alike(int(i), int(j)) for j in members]) > 0.5:
                groups[i] = g
                break
        else:
            groups[i] = groups.max() + 1
    first = np.unique(groups, return_index=True)[1]
    return np.argsort(np.argsort(first))[groups].astype(np.int64)


LIKENESS, MARGIN = 0.97, 1.0
"""Correlation of like frames once noise is allowed for, and standard deviations granted to it."""
SMOOTHED = 2.0
"""Pixels over which spectra are smoothed before they are compared."""


@dataclass(frozen=True)
class _Shapes:
    """Smoothed arcsinh of the significance, mean 0; the power in it beyond noise, and the noise's."""

    values: Floats
    power: Floats
    noise: Floats

    @classmethod
    def of(cls, frames: Floats, sigma: Floats) -> _Shapes:
        floor = np.percentile(frames, 10, axis=1)[:, None]
        level = np.maximum(frames - floor, 0) / sigma / 3
        values = gaussian_filter1d(np.arcsinh(level), SMOOTHED, axis=1)
        values = values - values.mean(axis=1, keepdims=True)
        # a Gaussian filter leaves 1/(2√π·s) of white noise; arcsinh passes on d/dx of it
        left = 1 / (2 * np.sqrt(np.pi) * SMOOTHED)
        noise = (left / 9 / (1 + level**2)).sum(axis=1)
        return cls(values, np.maximum((values**2).sum(axis=1) - noise, 0.0), noise)

    def alike(self, i: int, j: int) -> bool:
        """Return whether two frames correlate, or the noise alone keeps them from it."""
        both = float(np.sqrt(self.power[i] * self.power[j]))
        cells = self.values.shape[1] / (2 * np.sqrt(np.pi) * SMOOTHED)
        error = np.sqrt(
            (self.noise[i] * self.noise[j]) / cells
            + (self.power[i] * self.noise[j] + self.power[j] * self.noise[i]) / cells
        )
        return float(self.values[i] @ self.values[j]) > LIKENESS * both - MARGIN * float(error)


def _line_pixels(frames: Floats, base: Floats, noise: Noise, width: float) -> Floats:
    """Return the sub-pixel place of each frame's line: its brightest feature that another frame shares.

    Where none is shared, the brightest one that is not too sharp for a line.
    """
    seen = [_features(f, b, noise, width) for f, b in zip(frames, base, strict=True)]
    places = np.empty(len(frames))
    for f, found in enumerate(seen):
        others = np.concatenate([s for g, s in enumerate(seen) if g != f] or [np.empty(0)])
        shared = [p for p in found if np.abs(others - p).min(initial=np.inf) <= 1.0]
        fallback = float(np.argmax(frames[f] - base[f]))
        places[f] = shared[0] if shared else found[0] if found.size else fallback
    return places


def _features(frame: Floats, base: Floats, noise: Noise, width: float) -> Floats:
    """Return the places of the brightest features that are not too sharp for a line, brightest first."""
    above, dark = frame - base, noise.variance(base)
    found: list[float] = []
    for i in np.argsort(-above[2:-2])[:60] + 2:
        if above[i] < max(above[i - 1], above[i + 1]) or above[i] < 4 * np.sqrt(dark[i]):
            continue
        near = slice(i - 2, i + 3)
        if _sharpness(above[near], dark[near], noise.gain, width) < 16.0:
            light = np.maximum(above[i - 1 : i + 2], 0)
            found.append(float(i + (light[2] - light[0]) / max(light.sum(), 1e-9)))
        if len(found) == 8:
            break
    return np.array(found)


BRIDGE = 9
"""Pixels of the running median that takes strikes away, and narrow lines with them."""


def merge_broad(
    frames: Floats, groups: NDArray[np.int64], apart: NDArray[np.bool_] | None = None
) -> NDArray[np.int64]:
    """Return the groups after merging frames that show the same broad line.

    The place of a line of many pixels is known only to a part of its width, so that frames of one
    and the same broad line would pass for jumps. Cosmic rays must be bridged beforehand; `apart` says
    which frames differ by a narrow line all the same.
    """
    smooth = gaussian_filter1d(frames, 3.0, axis=1) - np.percentile(frames, 10, axis=1)[:, None]
    top = smooth.argmax(axis=1)
    width = np.array([_full_width(f, t) for f, t in zip(smooth, top, strict=True)])
    shape = smooth / np.sqrt((smooth**2).sum(axis=1, keepdims=True) + 1e-12)
    merged = groups.copy()
    for i in range(len(frames)):
        for j in range(i):
            broad = min(width[i], width[j]) > 25
            near = abs(int(top[i]) - int(top[j])) <= 0.3 * min(width[i], width[j])
            parted = apart is not None and bool(apart[i, j])
            if broad and near and not parted and shape[i] @ shape[j] > 0.97:
                merged[merged == merged[i]] = merged[j]
                break
    return np.unique(merged, return_inverse=True)[1].astype(np.int64)


def _parted(frames: Floats, bridged: Floats, noise: Noise, width: float) -> NDArray[np.bool_]:
    """Return which pairs of frames differ by a narrow line, shape (frames, frames).

    A line that one of them has and the other has not parts them if the other has one of its own instead (it
    jumped), or if a third frame has it too; alone it may be a cosmic ray on two pixels.
    """
    strong, weak = [], []
    for frame, smooth in zip(frames, bridged, strict=True):
        above, dark = frame - smooth, noise.variance(smooth)
        peak = (above >= np.maximum(np.roll(above, 1), np.roll(above, -1)))[2:-2]
        height = (above / np.sqrt(dark))[2:-2]
        weak.append(np.flatnonzero(peak & (height > 4.0)) + 2)
        high = np.flatnonzero(peak & (height > CANDIDATE)) + 2
        blunt = [
            i
            for i in high
            if _sharpness(above[i - 2 : i + 3], dark[i - 2 : i + 3], noise.gain, width) < 16.0
        ]
        strong.append(np.array(blunt, np.int64))

    def own(i: int, j: int) -> list[int]:
        return [p for p in strong[i] if np.abs(weak[j] - p).min(initial=99) > 1]

    n = len(frames)
    apart = np.zeros((n, n), bool)
    for i in range(n):
        for j in range(i):
            here, there = own(i, j), own(j, i)
            third = any(
                np.abs(weak[k] - p).min(initial=99) <= 1
                for p in here + there
                for k in range(n)
                if k not in (i, j)
            )
            apart[i, j] = apart[j, i] = bool(here and there) or third
    return apart


def _full_width(smooth: Floats, top: int) -> int:
    left = right = int(top)
    while left > 0 and smooth[left - 1] > 0.5 * smooth[top]:
        left -= 1
    while right < smooth.size - 1 and smooth[right + 1] > 0.5 * smooth[top]:
        right += 1
    return right - left + 1


@lru_cache(maxsize=32)
def _line_profiles(width: float) -> Floats:
    """Return five pixels of a line at 25 places within the middle one, shape (25, 5), each summing to about 1."""
    scale = np.sqrt(2) * width / 2.3548200450309493
    pixel = np.arange(-2, 4) - 0.5
    return np.diff(0.5 * (1 + erf((pixel - np.linspace(-0.6, 0.6, 25)[:, None]) / scale)), axis=1)


def _sharpness(window: Floats, dark: Floats, gain: float, width: float) -> float:
    """Return how far five pixels about a peak are too sharp for a line of this full width (pixels).

    A line of free height is fitted at each sub-pixel place; what counts is the squared misfit in
    standard deviations of a middle that is too high and of neighbours that are too low, the least
    over all places. `dark` is the variance without the feature; the line brings its own counting
    noise, and its response is trusted to `RESPONSE_ERROR`.
    """
    shape = _line_profiles(width)
    height = np.maximum(window[2], 0.0) / shape[:, 2]
    for _ in range(4):
        model = height[:, None] * shape
        error = np.where(np.arange(5) == 2, 0.0, RESPONSE_ERROR * model)
        variance = dark + gain * model + error**2
        height = np.maximum((window * shape / variance).sum(1) / (shape**2 / variance).sum(1), 0.0)
    model = height[:, None] * shape
    excess = (window - model) * np.where(np.arange(5) == 2, 1.0, -1.0)
    return float((np.maximum(excess, 0.0) ** 2 / variance).sum(axis=1).min())


def _local_base(frame: Floats, i: int) -> Floats:
    """Return the five pixels about i of a straight base through the medians of both sides."""
    left, right = frame[max(i - 7, 0) : max(i - 2, 0)], frame[i + 3 : i + 8]
    sides = [float(np.median(s)) for s in (left, right) if s.size]
    slope = (sides[-1] - sides[0]) / 10.0
    return np.asarray(np.mean(sides) + slope * np.arange(-2, 3))


def _candidates(frame: Floats, noise: Noise) -> list[int]:
    base = median_filter(frame, 15, mode="nearest")
    high = frame - base > CANDIDATE * noise.sigma(base)
    peak = frame >= np.maximum(np.roll(frame, 1), np.roll(frame, -1))
    found = np.flatnonzero(high & peak)
    return [int(i) for i in found if 2 <= i < frame.size - 2]


def _rest(frames: Floats, groups: NDArray[np.int64], f: int) -> tuple[Floats, int] | None:
    """Return what the other frames of the group say about frame f and their number, or None."""
    others = np.flatnonzero((groups == groups[f]) & (np.arange(len(frames)) != f))
    if not others.size:
        return None
    middle = np.median(frames[others], axis=0)
    low = np.percentile(middle, 10)
    bright = middle > np.percentile(middle, 80)
    scale = np.median(
        (frames[f] - np.percentile(frames[f], 10))[bright] / np.maximum(middle - low, 1)[bright]
    )
    return np.asarray(np.percentile(frames[f], 10) + scale * (middle - low)), others.size


def _is_cosmic(
    frames: Floats,
    f: int,
    i: int,
    noise: Noise,
    rest: tuple[Floats, int] | None,
    width: float,
) -> bool:
    frame, near = frames[f], slice(i - 2, i + 3)
    base = _local_base(frame, i)
    if rest is not None:
        # the same line stands in the other frames: only what exceeds it can be a strike
        level, bar = rest[0][near], LONE
        shared = np.maximum(level - base, 0.0)
        sigma = float(noise.sigma(level[2:3])[0])
        if frame[i] - level[2] < CANDIDATE * sigma + 0.6 * float(shared.max()):
            return False
        # a drift of the line that the group shares, or a part of it that jumped, is no strike
        likeness = (frame[i] - level[2]) / max(float(np.ptp(rest[0])), 1e-9)
        jumped = JUMPED[0] < likeness < JUMPED[1] and _has_left(frame, rest[0], i, likeness, noise)
        if not jumped and float(shared.max()) < 5 * sigma:
            bar, width = PAIR if rest[1] == 1 else GROUP, BROAD * width
        steps = np.abs(np.diff(rest[0][max(i - 3, 0) : i + 4]))
        drift = DRIFT * shared + (np.maximum(steps[1:], steps[:-1]) if steps.size == 6 else 0.0)
        # the median of n frames has π/2n of the variance of one
        dark = noise.variance(level) * (1 + min(np.pi / 2 / rest[1], 1.0)) + drift**2
    else:
        level, bar = base, LONE
        dark = noise.variance(level)
        if _has_partner(frames, f, i, noise, float(frame[i] - base[2]), width):
            return False
    return _sharpness(frame[near] - level, dark, noise.gain, width) > bar


def _has_left(frame: Floats, rest: Floats, i: int, likeness: float, noise: Noise) -> bool:
    """Return whether the line may have left its place in this frame for pixel i.

    What jumps during the exposure is missing where the line stands in the other frames. It counts as
    missing if half of it may be, within two standard errors.
    """
    p = int(np.argmax(rest))
    if abs(p - i) <= 5:
        return True
    part = slice(max(p - 2, 0), p + 3)
    floor = float(np.percentile(rest, 10))
    expected = float((rest[part] - floor).sum())
    seen = float((frame[part] - floor).sum())
    error = float(np.sqrt(noise.variance(rest[part]).sum())) / max(expected, 1e-9)
    return 1.0 - seen / max(expected, 1e-9) + 2.0 * error > 0.5 * likeness


def _has_partner(frames: Floats, f: int, i: int, noise: Noise, height: float, width: float) -> bool:
    """Return whether another frame has a line of a fifth of this height within a pixel.

    A partner that is itself too sharp for a line is another cosmic ray, not a partner.
    """
    for g in range(len(frames)):
        if g == f:
            continue
        j = i - 1 + int(np.argmax(frames[g, i - 1 : i + 2]))
        if not 2 <= j < frames.shape[1] - 2:
            continue
        level = _local_base(frames[g], j)
        window, dark = frames[g, j - 2 : j + 3] - level, noise.variance(level)
        seen = window[2] > max(0.2 * height, 5 * float(noise.sigma(frames[g, j : j + 1])[0]))
        if seen and _sharpness(window, dark, noise.gain, width) < 16.0:
            return True
    return False


def find_cosmics(
    frames: Floats, width: float = NARROWEST, noise: Noise | None = None
) -> tuple[NDArray[np.bool_], NDArray[np.int64], Noise]:
    """Return the struck pixels, the group of each frame and the noise.

    Parameters
    ----------
    frames : array of shape (frames, pixels), counts
        At least 16 pixels.
    width : float, pixels
        Full width of the spectrometer's response.
    noise : Noise, optional
        Estimated from the frames where not given.

    Returns
    -------
    (mask of shape (frames, pixels), groups of shape (frames,), Noise)
    """
    noise = noise or estimate_noise(frames)
    mask = np.zeros(frames.shape, bool)
    work = frames.astype(float).copy()
    groups = _like_frames(work, noise, width)
    for _ in range(3):
        struck = 0
        for f in range(len(work)):
            rest = _rest(work, groups, f)
            for i in _candidates(work[f], noise):
                if not mask[f, i] and _is_cosmic(work, f, i, noise, rest, width):
                    struck += _strike(work, mask, f, i, noise, rest[0] if rest else None)
        if not struck:
            break
        groups = _like_frames(work, noise, width)
    return mask, groups, noise


def _like_frames(frames: Floats, noise: Noise, width: float) -> NDArray[np.int64]:
    """Return groups of like frames; a strike must not part frames of one broad line."""
    bridged = median_filter(frames, (1, BRIDGE), mode="nearest")
    apart = _parted(frames, bridged, noise, width)
    return merge_broad(bridged, group_frames(frames, noise, width), apart)


def _strike(
    work: Floats, mask: NDArray[np.bool_], f: int, i: int, noise: Noise, expected: Floats | None
) -> int:
    """Mask a strike with the neighbours it spilled into, and bridge them in `work`."""
    base = float(_local_base(work[f], i)[2])
    level = expected if expected is not None else np.full(work.shape[1], base)
    excess = work[f] - level
    hit = [i]
    for step in (-1, 1):
        for j in (i + step, i + 2 * step):
            if not 0 <= j < work.shape[1]:
                break
            spill = excess[j] > 4 * float(noise.sigma(work[f, j : j + 1])[0])
            if not spill or excess[j] < 0.01 * excess[i]:
                break
            hit.append(j)
    mask[f, hit] = True
    good = ~mask[f]
    index = np.arange(work.shape[1])
    work[f, hit] = (
        level[hit] if expected is not None else np.interp(hit, index[good], work[f, good])
    )
    return len(hit)
