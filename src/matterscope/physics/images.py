"""Images of points: robust background, matched filtering, sub-pixel maxima, lattices.

In: images over (y, x) in pixels. Out: backgrounds, significance images, positions (x, y), a lattice.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, maximum_filter
from scipy.spatial import cKDTree
from scipy.special import erf

Floats = NDArray[np.float64]


def pixel_gaussian(shape: tuple[int, int], x: float, y: float, sigma: float) -> Floats:
    """Return a round Gaussian spot of unit peak density integrated over pixels, shape (ny, nx).

    Examples
    --------
    >>> bool(np.isclose(pixel_gaussian((41, 41), 20, 20, 2.0).sum(), 2 * np.pi * 4))
    True
    """

    def along(n: int, centre: float) -> Floats:
        edges = (np.arange(n + 1) - 0.5 - centre) / (np.sqrt(2) * sigma)
        return np.asarray(0.5 * np.diff(erf(edges)) * np.sqrt(2 * np.pi) * sigma)

    return np.outer(along(shape[0], y), along(shape[1], x))


def smooth_background(
    image: Floats, block: int = 12, mask: NDArray[np.bool_] | None = None
) -> Floats:
    """Return a smooth background: clipped block means, median-smoothed and interpolated.

    Parameters
    ----------
    image : array of shape (ny, nx)
        NaN pixels are left out.
    block : int, px
        Size of a block; wider than a spot.
    mask : array of bool, optional
        Pixels to leave out (spots already found).
    """
    ny, nx = image.shape
    by, bx = max(round(ny / block), 1), max(round(nx / block), 1)
    work = image if mask is None else np.where(mask, np.nan, image)
    # blocks of one size: the image is stretched by repeating edge pixels, never by more than a block
    tall, wide = -(-ny // by), -(-nx // bx)
    padded = np.pad(work, ((0, tall * by - ny), (0, wide * bx - nx)), mode="edge")
    blocks = padded.reshape(by, tall, bx, wide).transpose(0, 2, 1, 3).reshape(by, bx, -1)
    means = _clipped_means(blocks)
    if np.isnan(means).any():
        means = np.where(np.isnan(means), np.nanmedian(means), means)
    smooth = gaussian_filter(means, 0.7, mode="nearest")
    centre_y = np.arange(by) * tall + (tall - 1) / 2
    centre_x = np.arange(bx) * wide + (wide - 1) / 2
    along = np.stack([np.interp(np.arange(nx), centre_x, row) for row in smooth])
    return np.stack([np.interp(np.arange(ny), centre_y, column) for column in along.T], axis=1)


def _middle(values: Floats) -> Floats:
    """Return the median over the last axis, NaN left out; NaN where fewer than 8 are left."""
    ordered = np.sort(values, axis=-1)
    number = np.isfinite(ordered).sum(axis=-1)
    low = np.take_along_axis(ordered, np.maximum((number - 1) // 2, 0)[..., None], axis=-1)[..., 0]
    high = np.take_along_axis(
        ordered, np.minimum(number // 2, ordered.shape[-1] - 1)[..., None], axis=-1
    )[..., 0]
    return np.where(number >= 8, 0.5 * (low + high), np.nan)


def _clipped_means(blocks: Floats) -> Floats:
    """Return means over the last axis within four robust deviations of the median."""
    work = blocks
    for _ in range(2):
        middle = _middle(work)[..., None]
        spread = 1.4826 * _middle(np.abs(work - middle))[..., None] + 1e-9
        # symmetric clipping keeps the mean of a Poisson block within a percent
        work = np.where(np.abs(work - middle) < 4.0 * spread, work, np.nan)
    number = np.isfinite(work).sum(axis=-1)
    total = np.nansum(work, axis=-1)
    return np.where(number >= 8, total / np.maximum(number, 1), np.nan)


def matched_significance(residual: Floats, variance: Floats, sigma: float) -> Floats:
    """Return the significance of a round Gaussian spot centred on each pixel.

    z = (g ∗ r)/√(g² ∗ v) with g the spot; g² is a spot of width σ/√2.
    """
    top = gaussian_filter(residual, sigma, mode="constant", truncate=3.5)
    # beyond the edge is nothing, in sum and in variance alike; the filters are normalised to unit sum: ∫g = 2πσ², ∫g² = πσ²
    bottom = gaussian_filter(variance, sigma / np.sqrt(2), mode="constant", truncate=3.5)
    return np.asarray(2 * np.sqrt(np.pi) * sigma * top / np.sqrt(np.maximum(bottom, 1e-12)))


def false_maxima(z: Floats, area: float, sigma: float) -> Floats:
    """Return the expected number of maxima above z in smoothed noise over `area` pixels.

    Euler characteristic of a Gaussian field whose noise was smoothed by a Gaussian of width σ.

    References
    ----------
    Adler, The Geometry of Random Fields (1981), theorem 5.3.1.
    """
    return np.asarray(
        area / (2 * sigma**2) * (2 * np.pi) ** -1.5 * np.maximum(z, 1.0) * np.exp(-0.5 * z * z)
    )


def local_maxima(image: Floats, above: float, distance: int = 2) -> NDArray[np.int64]:
    """Return (row, column) of pixels that are the largest within `distance` and above a height."""
    peak = maximum_filter(image, size=2 * distance + 1, mode="nearest")
    found = (image == peak) & (image > above)
    found[:2], found[-2:], found[:, :2], found[:, -2:] = False, False, False, False
    return np.argwhere(found)


def refine_maxima(image: Floats, peaks: NDArray[np.int64]) -> tuple[Floats, Floats, Floats]:
    """Return sub-pixel positions (x, y), heights, and curvatures (n, 2) of maxima, smallest first.

    A quadratic surface through the 3 × 3 neighbours; the curvatures are −eigenvalues of its Hessian.
    """
    r, c = peaks[:, 0], peaks[:, 1]
    near = np.stack([[image[r + i, c + j] for j in (-1, 0, 1)] for i in (-1, 0, 1)])
    gx = (near[:, 2] - near[:, 0]).mean(axis=0) / 2
    gy = (near[2] - near[0]).mean(axis=0) / 2
    xx = near[1, 2] + near[1, 0] - 2 * near[1, 1]
    yy = near[2, 1] + near[0, 1] - 2 * near[1, 1]
    xy = (near[2, 2] + near[0, 0] - near[2, 0] - near[0, 2]) / 4
    determinant = xx * yy - xy**2
    safe = np.where(np.abs(determinant) > 1e-12, determinant, 1.0)
    dx = np.clip((xy * gy - yy * gx) / safe, -0.7, 0.7)
    dy = np.clip((xy * gx - xx * gy) / safe, -0.7, 0.7)
    root = np.sqrt((xx - yy) ** 2 / 4 + xy**2)
    curvature = np.stack([-(xx + yy) / 2 - root, -(xx + yy) / 2 + root], axis=1)
    height = near[1, 1] + 0.5 * (gx * dx + gy * dy)
    return np.stack([c + dx, r + dy], axis=1), height, curvature


@dataclass(frozen=True)
class Lattice:
    """A lattice of points: origin and two vectors (x, y), px, and how well points sit on it."""

    origin: Floats
    vectors: Floats
    """Shape (2, 2): row k is the k-th vector."""
    share: float
    """Share of the points within the tolerance of a node."""
    scatter: float
    """Root mean square distance of those points from their nodes, one axis, px."""
    covariance: Floats
    """Shape (6, 6): of (origin x, first x, second x, origin y, first y, second y)."""

    def nodes(self, points: Floats) -> NDArray[np.int64]:
        """Return the integer node nearest to each point."""
        return np.asarray(np.rint((points - self.origin) @ np.linalg.inv(self.vectors)), np.int64)

    def place(self, nodes: NDArray[np.int64]) -> Floats:
        """Return the positions of nodes."""
        return np.asarray(self.origin + nodes @ self.vectors)

    @property
    def pitch(self) -> Floats:
        """Return the lengths of the two vectors, px."""
        return np.hypot(self.vectors[:, 0], self.vectors[:, 1])


def find_lattice(points: Floats, tolerance: float = 1.5, least: int = 8) -> Lattice | None:
    """Return the lattice that most points sit on, or None.

    Differences between near neighbours vote for two vectors; the origin that most points agree on
    starts a least-squares fit that is repeated with the points within `tolerance`. A lattice is only
    accepted if it holds far more points than chance would place near its nodes.
    """
    if len(points) < least:
        return None
    best: Lattice | None = None
    for vectors in _vector_candidates(points, tolerance):
        fitted = _fit_lattice(points, vectors, tolerance)
        if fitted is None:
            continue
        # a finer lattice holds more points by chance: what counts is the share above it
        if best is None or _surplus(fitted, tolerance) > _surplus(best, tolerance) + 0.02:
            best = fitted
    if best is None:
        return None
    chance = best.share - _surplus(best, tolerance)
    error = np.sqrt(chance * (1 - chance) / len(points))
    return best if best.share > chance + 5 * error and best.share > 0.3 else None


def _surplus(lattice: Lattice, tolerance: float) -> float:
    """Return the share of points on the lattice beyond what chance would put there."""
    cell = abs(float(np.linalg.det(lattice.vectors)))
    return lattice.share - min(np.pi * tolerance**2 / cell, 1.0)


def _vector_candidates(points: Floats, tolerance: float) -> list[Floats]:
    tree = cKDTree(points)
    nearest = tree.query(points, k=min(5, len(points)))[0][:, 1]
    reach = 4.0 * float(np.median(nearest)) + 4 * tolerance
    pairs = tree.query_pairs(reach, output_type="ndarray")
    if len(pairs) < 4:
        return []
    d = points[pairs[:, 1]] - points[pairs[:, 0]]
    d = np.where(
        (d[:, :1] < -0.5 * tolerance) | ((np.abs(d[:, :1]) <= 0.5 * tolerance) & (d[:, 1:] < 0)),
        -d,
        d,
    )
    votes = np.array([len(v) for v in cKDTree(d).query_ball_point(d, tolerance)])
    length = np.hypot(d[:, 0], d[:, 1])
    chosen: list[Floats] = []
    # strong votes, one a cluster
    for i in np.argsort(-votes):
        if votes[i] < max(4, 0.25 * votes.max()) or len(chosen) >= 14:
            break
        cluster = d[np.hypot(*(d - d[i]).T) < tolerance].mean(axis=0)
        if length[i] > 3 * tolerance and all(
            np.hypot(*(cluster - c)) > 2 * tolerance for c in chosen
        ):
            chosen.append(cluster)
    chosen.sort(key=lambda v: float(np.hypot(*v)))
    found: list[Floats] = []
    for i, a in enumerate(chosen):
        for b in chosen[i + 1 :]:
            sine = abs(a[0] * b[1] - a[1] * b[0]) / np.hypot(*a) / np.hypot(*b)
            if sine > 0.3:
                reduced = reduce_vectors(np.stack([a, b]))
                if all(np.abs(reduced - known).max() > tolerance for known in found):
                    found.append(reduced)
    found.sort(key=lambda v: abs(float(np.linalg.det(v))))
    return found[:25]


def reduce_vectors(vectors: Floats) -> Floats:
    """Return the shortest two vectors of a lattice, the first nearest to +x, turning clockwise in y down.

    Examples
    --------
    >>> reduce_vectors(np.array([[24.0, 24.0], [24.0, 0.0]])).tolist()
    [[24.0, 0.0], [0.0, 24.0]]
    """
    a, b = vectors
    for _ in range(20):
        if a @ a > b @ b:
            a, b = b, a
        steps = np.rint((a @ b) / (a @ a))
        if steps == 0:
            break
        b = b - steps * a
    if abs(a[0]) / np.hypot(*a) < abs(b[0]) / np.hypot(*b) - 1e-9:
        a, b = b, a
    a = a if a[0] > 0 else -a
    b = b if a[0] * b[1] - a[1] * b[0] > 0 else -b
    return np.stack([a, b]) + 0.0


def _fit_lattice(points: Floats, vectors: Floats, tolerance: float) -> Lattice | None:
    inverse = np.linalg.inv(vectors)
    centre = points.mean(axis=0)
    fraction = (points - centre) @ inverse
    # the phase that most points share, on a circle for each vector
    best_phase, most = np.zeros(2), -1
    for start in fraction[:: max(len(fraction) // 40, 1)]:
        off = fraction - start
        off = (off - np.rint(off)) @ vectors
        votes = int((np.hypot(off[:, 0], off[:, 1]) < tolerance).sum())
        if votes > most:
            best_phase, most = start, votes
    origin = centre + best_phase @ vectors
    for round_ in range(6):
        nodes = np.rint((points - origin) @ np.linalg.inv(vectors))
        off = points - origin - nodes @ vectors
        # far from the start the vectors' errors add up: fit from the inside outwards
        limit = tolerance * (1 if round_ > 2 else 1.5)
        near = np.hypot(off[:, 0], off[:, 1]) < limit
        if round_ < 3:
            reach = np.abs(nodes).max(axis=1)
            near &= reach <= np.quantile(reach, [0.35, 0.65, 0.9][round_])
        if near.sum() < 6 or np.ptp(nodes[near], axis=0).min() < 1:
            return None
        basis = np.column_stack([np.ones(near.sum()), nodes[near]])
        solution, *_ = np.linalg.lstsq(basis, points[near], rcond=None)
        origin, vectors = solution[0], solution[1:]
        if abs(float(np.linalg.det(vectors))) < 4 * tolerance**2:
            return None
    off = points - origin - np.rint((points - origin) @ np.linalg.inv(vectors)) @ vectors
    near = np.hypot(off[:, 0], off[:, 1]) < tolerance
    scatter = float(np.sqrt(np.mean(off[near] ** 2)))
    information = np.linalg.pinv(basis.T @ basis) * scatter**2
    covariance = np.kron(np.eye(2), information).astype(np.float64)
    return Lattice(origin, vectors, float(near.mean()), scatter, covariance)
