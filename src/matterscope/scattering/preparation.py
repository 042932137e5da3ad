"""Preparation: from a raw frame to a pattern that can be inverted, or a refusal.

In: a frame, an optional mask and centre. Out: open pixels, the centre with its error, and notes on
everything that was masked, found or doubted.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage

from matterscope.core.errors import DataError
from matterscope.core.estimates import Flag
from matterscope.scattering.photon_gain import Gain, estimate_gain
from matterscope.scattering.shadows import covered_regions, dead_pixels, hidden_stop
from matterscope.scattering.speckle import local_median

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

RIVAL = 0.6
"""Other maxima of the Friedel symmetry are tried as centres above this share of the best."""
NOISELESS = 1000.0
"""Photons per pixel above which a frame counts as one without noise."""
SIGNIFICANT = 5.0
"""Friedel symmetry must stand out by this many standard deviations of chance (3 in 216 frames without symmetry)."""

FRINGED = 2.8
"""Scatter beyond which it is no chance but the fringes of two to four disks, which are symmetric about many points:
14 without it pass; random speckle reaches 11 in 60 frames, two or three disks 16 at 1 photon and 31 at 10."""


@dataclass
class Prepared:
    """A frame made ready: counts, open pixels, centre candidates, and what was done to it."""

    image: Floats
    open_pixels: Mask
    centre: tuple[float, float]
    centre_found: bool
    candidates: list[tuple[float, float]]
    symmetry: float
    gain: Gain = field(default_factory=Gain)
    flags: list[Flag] = field(default_factory=list)

    @property
    def level(self) -> float:
        """Return the mean counts per open pixel."""
        return float(self.image[self.open_pixels].mean())


def prepare(
    frame: NDArray[np.generic],
    *,
    mask: Mask | None = None,
    centre: tuple[float, float] | None = None,
    name: str = "",
    photons: bool = False,
    gain: float | Gain | None = None,
    read_variance: float = 0.0,
) -> Prepared:
    """Mask what cannot be trusted, find the centre where it is not given, and check the frame.

    Parameters
    ----------
    frame : array of shape (ny, nx), counts
        NaN and infinite pixels are masked; negative ones are kept.
    mask : boolean array, optional
        True where a pixel was measured.
    centre : (float, float), px, optional
        Index (y, x) of q = 0.
    name : str
        Of the frame, for messages.
    photons : bool
        Counts are photons even where a correction made them broken numbers.
    gain : float or Gain, optional
        Counts per photon, told or found from what disks leave over; by default read off the frame where its
        counts are no photons.
    read_variance : float, counts²
        Variance of read-out noise.

    Raises
    ------
    DataError
        If nothing is there to be answered.
    """
    image = np.array(frame, dtype=float)
    open_pixels = np.isfinite(image) if mask is None else np.isfinite(image) & mask
    flags: list[Flag] = []
    _refuse_empty(image, open_pixels, name)
    image[~open_pixels] = 0.0
    hot = _hot(image, open_pixels)
    saturated = _saturated(image, open_pixels)
    hole = covered_regions(image, open_pixels) if mask is None else np.zeros_like(hot)
    for code, found, words in (
        ("hot-pixels", hot, "far above their neighbours"),
        ("saturated-pixels", saturated, "at the largest value of the detector"),
    ):
        if found.any():
            flags.append(listed(code, found, words))
    open_pixels &= ~(hot | saturated | hole)
    negative = image[open_pixels] < 0
    if negative.any():
        flags.append(
            Flag(
                "negative-counts",
                f"{int(negative.sum())} of {int(open_pixels.sum())} open pixels are negative after dark subtraction; they stay in every mean",
                "give the read-out noise with --read-noise",
            )
        )
    _refuse_empty(image, open_pixels, name)
    candidates, symmetry = centre_candidates(image, open_pixels)
    likely = candidates if centre is None else [centre]
    if isinstance(gain, Gain):
        known = gain
        words = f"the counts are no photons: what the disks leave over gives {gain.value:.4g} ± {gain.error:.2g} counts per photon, by which they were divided"
    elif gain is not None:
        known = Gain(gain)
        words = f"counts were divided by the gain given, {gain:.4g} per photon" * (gain != 1.0)
    elif photons:
        known, words = Gain(), ""
    else:
        known, words = _gain(image, open_pixels, likely, read_variance)
    if words:
        image = image / known.value
        # the trust in a pixel's symmetry depends on its photons
        candidates, symmetry = centre_candidates(image, open_pixels)
        flags.append(Flag("not-photons", words, "give frames in photons, or the gain with --gain"))
    unknown = centre is None
    chosen = candidates[0] if centre is None else centre
    if mask is None:
        # with the regions closed so far: a stripe is judged from its beginning
        open_pixels &= ~hidden_stop(image, open_pixels | hole, chosen)
    if (dead := dead_pixels(image, open_pixels, chosen)).any():
        open_pixels &= ~dead
        flags.append(listed("dead-pixels", dead, "dark opposite to bright ones"))
    _check_centre(chosen, open_pixels, symmetry, unknown, name)
    return Prepared(image, open_pixels, chosen, unknown, candidates, symmetry, known, flags)


def listed(code: str, found: Mask, words: str) -> Flag:
    """Return the flag that lists masked pixels."""
    places = ", ".join(f"({y}, {x})" for y, x in np.argwhere(found)[:8])
    more = " …" if found.sum() > 8 else ""
    return Flag(
        code,
        f"{int(found.sum())} pixels {words} were masked: {places}{more}",
        "give a mask with --mask",
    )


def _refuse_empty(image: Floats, open_pixels: Mask, name: str) -> None:
    valid = float(open_pixels.mean())
    values = image[open_pixels]
    if valid < 0.02 or values.size == 0 or np.ptp(values) == 0:
        raise DataError(
            "there is no pattern in this frame",
            where=name,
            got=f"{valid:.1%} valid pixels"
            + (f", all equal to {values[0]:g}" if values.size else ""),
            expected="a frame with counts that vary",
            hint="check the dataset and the mask",
        )


def _hot(image: Floats, open_pixels: Mask) -> Mask:
    around = np.maximum(local_median(np.where(open_pixels, image, 0.0)), 0.0)
    # the brightest true speckle among dim neighbours stays below this by many Poisson deviations
    level = float(image[open_pixels].mean())
    limit = 12.0 * around + 8.0 * np.sqrt(around + 1.0) + 12.0 * max(level, 0.5)
    return np.asarray(open_pixels & (image > limit), dtype=np.bool_)


def _saturated(image: Floats, open_pixels: Mask) -> Mask:
    values = image[open_pixels]
    top = values.max()
    at_top = open_pixels & (image == top)
    # a count that is cut gathers what lay above it; the tail of a pattern only falls
    fewest, share = (4, 0.97) if top > 50 else (8, 0.9)
    near = int((values >= min(share * top, top - 1.0)).sum())
    whole = top > 8 and at_top.sum() >= fewest and near <= 1.5 * at_top.sum()
    return np.asarray(at_top if whole else np.zeros_like(at_top), dtype=np.bool_)


def _gain(
    image: Floats, open_pixels: Mask, centres: list[tuple[float, float]], read_variance: float
) -> tuple[Gain, str]:
    """Return counts per photon, and what is said of it; nothing for whole numbers with photon noise."""
    values = image[open_pixels]
    sample = values[:: max(values.size // 5000, 1)]
    whole = bool(np.allclose(sample, np.rint(sample), atol=1e-6))
    found = estimate_gain(image, open_pixels, centres, read_variance)
    level = float(values.mean())
    if whole and found is not None:
        # whole counts have no read-out noise of their own; photons that vary more are something else
        found = replace(found, read_variance=0.0)
    if whole:
        # what is left of an error of the centre grows with the level
        doubt = 0.3 + 0.003 * level
        if found is None or abs(found.value - 1.0) < max(doubt, 5.0 * found.error):
            return Gain(), ""
        if found.value < 1.0:
            # less noise than photons have: a dead time or a rounding; the photon noise is kept
            return Gain(), ""
    if found is not None and found.value > 0.0 and level < NOISELESS * found.value:
        return found, (
            f"the counts are no photons: their noise between Friedel mates gives {found.value:.4g} ± {found.error:.2g} counts per photon, by which they were divided"
            + f", and a read-out noise of {found.read_variance**0.5:.3g} counts"
            * bool(found.read_variance)
        )
    # hardly any noise: 100 photons per pixel is what the model can bear
    return Gain(level / 100.0), (
        f"the frame shows no photon noise; it was divided by {level / 100.0:.4g}, as if it held 100 photons per pixel"
    )


def centre_candidates(
    image: Floats, open_pixels: Mask, count: int = 6
) -> tuple[list[tuple[float, float]], float]:
    """Return the likeliest centres by Friedel symmetry, and how far the best stands out (in σ).

    The levelled pattern G convolved with itself, Σ_k G(k) G(s − k), peaks at s = 2c.
    """
    weight = open_pixels.astype(float)
    smooth = ndimage.gaussian_filter(image * weight, 4.0) / np.maximum(
        ndimage.gaussian_filter(weight, 4.0), 1e-3
    )
    # weighed by its signal-to-noise; cut only where one pixel would rule, since a cut shifts the mean
    level = np.clip((image - smooth) / (np.maximum(smooth, 0.0) + 0.5), -1.0, 6.0) * weight
    size = [fft.next_fast_len(2 * n, real=True) for n in image.shape]
    both = fft.irfft2(fft.rfft2(level, size) ** 2, size)
    overlap = fft.irfft2(fft.rfft2(level**2, size) ** 2, size)
    # fewer than a quarter of the pixels paired says too little
    paired = fft.irfft2(fft.rfft2(weight, size) ** 2, size)
    usable = paired > 0.25 * paired.max()
    score = np.where(usable, both / np.sqrt(np.maximum(overlap, 1e-12) * 2.0), -np.inf)
    # bright speckles are no independent pixels: chance itself then scatters by more than one
    chance = score[usable] - np.median(score[usable])
    score = score / float(np.clip(1.4826 * np.median(np.abs(chance)), 1.0, FRINGED))
    peaks = (score == ndimage.maximum_filter(score, size=3)) & usable
    places = np.argwhere(peaks)
    order = np.argsort(-score[peaks])[:count]
    order = order[score[peaks][order] >= RIVAL * score[peaks][order[0]]]
    found = [_subpixel(score, places[k]) for k in order]
    return found, float(score[tuple(places[order[0]])])


def _subpixel(score: Floats, place: NDArray[np.intp]) -> tuple[float, float]:
    result = []
    for axis in (0, 1):
        near = []
        for step in (-1, 0, 1):
            at = place.copy()
            at[axis] = np.clip(at[axis] + step, 0, score.shape[axis] - 1)
            near.append(float(score[tuple(at)]))
        low, middle, high = near
        bend = low - 2 * middle + high
        shift = 0.5 * (low - high) / bend if np.isfinite(bend) and bend < 0 else 0.0
        result.append(0.5 * (float(place[axis]) + float(np.clip(shift, -0.5, 0.5))))
    return result[0], result[1]


def _check_centre(
    centre: tuple[float, float], open_pixels: Mask, symmetry: float, found: bool, name: str
) -> None:
    ny, nx = open_pixels.shape
    inside = -0.5 <= centre[0] <= ny - 0.5 and -0.5 <= centre[1] <= nx - 0.5
    if not inside:
        raise DataError(
            "the centre lies outside the frame",
            where=name,
            got=f"({centre[0]:g}, {centre[1]:g})",
            expected=f"inside {ny} × {nx}",
            hint="give --centre-y and --centre-x in pixels from the upper left corner",
        )
    if found and symmetry < SIGNIFICANT:
        raise DataError(
            "no centre of Friedel symmetry stands out of the noise",
            where=name,
            got=f"{symmetry:.1f} standard deviations",
            expected=f"at least {SIGNIFICANT:g}",
            hint="give the centre with --centre-y and --centre-x, or more photons; a centre close to the edge leaves too few pairs, and strong absorption, phase objects and detector curvature break the symmetry",
        )


def unpaired(centre: tuple[float, float], open_pixels: Mask) -> float:
    """Return the share of open pixels whose Friedel mate lies outside the frame or is masked."""
    cy, cx = np.rint(2 * np.array(centre)).astype(int)
    rows, columns = np.nonzero(open_pixels)
    mates = (cy - rows, cx - columns)
    ny, nx = open_pixels.shape
    inside = (mates[0] >= 0) & (mates[0] < ny) & (mates[1] >= 0) & (mates[1] < nx)
    paired = inside.copy()
    paired[inside] = open_pixels[mates[0][inside], mates[1][inside]]
    return float(1.0 - paired.mean())
