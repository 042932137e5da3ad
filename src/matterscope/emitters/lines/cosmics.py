"""Cosmic rays in single- and multi-frame spectra, pixel by pixel; lines that jump are left alone.

In: frames of counts over pixels. Out: a mask of struck pixels, groups of frames with the same
spectrum, the noise model. Frames are grouped by their spectrum first and compared within a group;
a lone candidate must be sharper than the spectrometer can draw any line.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d, median_filter
from scipy.special import erf

Floats = NDArray[np.float64]
CANDIDATE = 6.0
"""Heights above the local base, in standard deviations, from which a pixel is looked at."""
NARROWEST = 1.3
"""Full width (pixels) of the narrowest line a spectrometer draws, where nothing better is known."""


@dataclass(frozen=True)
class Noise:
    """Variance of a pixel: read-out² + counts above the offset × gain."""

    offset: float
    read: float
    gain: float = 1.0

    def sigma(self, counts: Floats) -> Floats:
        """Return the standard deviation at these counts."""
        return np.sqrt(self.read**2 + self.gain * np.maximum(counts - self.offset, 0.0))


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
    significance, smoothed, so that a cosmic ray weighs little and noise less.
    """
    base = np.stack([median_filter(f, 101, mode="nearest") for f in frames])
    floor = np.percentile(frames, 10, axis=1)[:, None]
    shape = np.arcsinh(np.maximum(frames - floor, 0) / noise.sigma(base) / 3)
    shape = gaussian_filter1d(shape, 2.0, axis=1)
    shape = shape - shape.mean(axis=1, keepdims=True)
    shape = shape / np.maximum(np.sqrt((shape**2).sum(axis=1)), 1e-12)[:, None]
    lines = np.array(
        [_line_pixel(f - b, noise.sigma(f), width) for f, b in zip(frames, base, strict=True)]
    )
    groups = -np.ones(len(frames), np.int64)
    for i in range(len(frames)):
        for g in range(groups.max() + 1):
            members = groups == g
            near = np.abs(np.median(lines[members]) - lines[i]) <= 1.0
            if near and (shape[members] @ shape[i]).mean() > 0.9:
                groups[i] = g
                break
        else:
            groups[i] = groups.max() + 1
    return groups


def _line_pixel(above: Floats, sigma: Floats, width: float) -> float:
    """Return the sub-pixel place of the brightest feature that is not too sharp for a line."""
    middle = above[2:-2]
    for i in np.argsort(-middle)[:40] + 2:
        if above[i] < max(above[i - 1], above[i + 1]):
            continue
        if _sharpness(above[i - 2 : i + 3], sigma[i - 2 : i + 3], width) < 16.0:
            near = np.maximum(above[i - 1 : i + 2], 0)
            return float(i + (near[2] - near[0]) / max(near.sum(), 1e-9))
    return float(np.argmax(above))


def merge_broad(frames: Floats, groups: NDArray[np.int64], noise: Noise) -> NDArray[np.int64]:
    """Return the groups after merging frames that show the same broad line.

    The place of a line of many pixels is known only to a part of its width, so that frames of one
    and the same broad line would pass for jumps. Cosmic rays must be bridged beforehand.
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
            if broad and near and shape[i] @ shape[j] > 0.97:
                merged[merged == merged[i]] = merged[j]
                break
    return np.unique(merged, return_inverse=True)[1].astype(np.int64)


def _full_width(smooth: Floats, top: int) -> int:
    left = right = int(top)
    while left > 0 and smooth[left - 1] > 0.5 * smooth[top]:
        left -= 1
    while right < smooth.size - 1 and smooth[right + 1] > 0.5 * smooth[top]:
        right += 1
    return right - left + 1


def _sharpness(window: Floats, sigma: Floats, width: float) -> float:
    """Return how far five pixels about a peak are too sharp for a line of this full width (pixels).

    The least, over sub-pixel positions of the line, of the summed squared deficits of the
    neighbours in standard deviations; three quarters of each expected neighbour are demanded only.
    """
    scale = np.sqrt(2) * width / 2.3548200450309493
    pixel = np.arange(-2, 4) - 0.5
    least = np.inf
    for shift in np.linspace(-0.6, 0.6, 25):
        cumulative = 0.5 * (1 + erf((pixel - shift) / scale))
        profile = np.diff(cumulative)
        expected = 0.75 * window[2] * profile / profile[2]
        error = np.sqrt(sigma**2 + (0.75 * sigma[2] * profile / profile[2]) ** 2)
        deficit = np.maximum((expected - window) / error, 0)
        least = min(least, float(deficit[[0, 1, 3, 4]] @ deficit[[0, 1, 3, 4]]))
    return least


def _local_base(frame: Floats, i: int) -> float:
    near = np.concatenate([frame[max(i - 7, 0) : max(i - 2, 0)], frame[i + 3 : i + 8]])
    return float(np.median(near)) if near.size else float(np.median(frame))


def _candidates(frame: Floats, noise: Noise) -> list[int]:
    base = median_filter(frame, 15, mode="nearest")
    high = frame - base > CANDIDATE * noise.sigma(base)
    peak = frame >= np.maximum(np.roll(frame, 1), np.roll(frame, -1))
    found = np.flatnonzero(high & peak)
    return [int(i) for i in found if 2 <= i < frame.size - 2]


def _rest(frames: Floats, groups: NDArray[np.int64], f: int) -> Floats | None:
    """Return what the other frames of the group say about frame f, or None if there are too few."""
    others = np.flatnonzero((groups == groups[f]) & (np.arange(len(frames)) != f))
    if others.size < 2:
        return None
    middle = np.median(frames[others], axis=0)
    low = np.percentile(middle, 10)
    bright = middle > np.percentile(middle, 80)
    scale = np.median(
        (frames[f] - np.percentile(frames[f], 10))[bright] / np.maximum(middle - low, 1)[bright]
    )
    return np.asarray(np.percentile(frames[f], 10) + scale * (middle - low))


def _is_cosmic(
    frames: Floats, f: int, i: int, noise: Noise, expected: Floats | None, width: float
) -> bool:
    frame = frames[f]
    base = _local_base(frame, i)
    if expected is not None:
        # the same line stands in the other frames: only what exceeds it can be a strike
        excess = frame[i - 2 : i + 3] - expected[i - 2 : i + 3]
        nearby = expected[i - 2 : i + 3].max() - base
        if excess[2] < CANDIDATE * float(noise.sigma(frame[i : i + 1])[0]) + 0.6 * max(nearby, 0):
            return False
        # on a line that the group shares, a drift of it must not pass for a strike
        on_line = nearby > 5 * float(noise.sigma(expected[i : i + 1])[0])
        window, bar = excess, 10.0 if on_line else 0.5
    else:
        window, bar = frame[i - 2 : i + 3] - base, 10.0
        if _has_partner(frames, f, i, noise, float(window[2]), width):
            return False
    sigma = noise.sigma(frame[i - 2 : i + 3])
    return _sharpness(window, sigma, width) > bar


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
        window = frames[g, j - 2 : j + 3] - _local_base(frames[g], j)
        sigma = noise.sigma(frames[g, j - 2 : j + 3])
        if window[2] > max(0.2 * height, 5 * sigma[2]) and _sharpness(window, sigma, width) < 16.0:
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
    groups = group_frames(work, noise, width)
    for _ in range(3):
        struck = 0
        for f in range(len(work)):
            expected = _rest(work, groups, f)
            for i in _candidates(work[f], noise):
                if not mask[f, i] and _is_cosmic(work, f, i, noise, expected, width):
                    struck += _strike(work, mask, f, i, noise, expected)
        if not struck:
            break
        groups = group_frames(work, noise, width)
    return mask, merge_broad(work, groups, noise), noise


def _strike(
    work: Floats, mask: NDArray[np.bool_], f: int, i: int, noise: Noise, expected: Floats | None
) -> int:
    """Mask a strike with the neighbours it spilled into, and bridge them in `work`."""
    base = _local_base(work[f], i)
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
