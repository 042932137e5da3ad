"""Binary collisions: screened scattering angles and full recoil cascades in a layered target.

In: species, layers, stopping and displacement energies as plain arrays (Å, eV), entry points and a
random generator. Out: the fate and end point of each ion, and the vacancies of its cascade.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

COULOMB = 14.39964
"""e²/4πε₀ in eV Å."""
STACK = 20_000
"""Particles of one cascade that can wait at once; 10 times what 100 keV in gold needs."""
STOPPED, BACKSCATTERED, TRANSMITTED = 0, 1, 2


def screening_length(z1: float, z2: float) -> float:
    """Return the universal (ZBL) screening length, Å: 0.8854·a₀/(Z₁^0.23 + Z₂^0.23).

    Examples
    --------
    >>> round(screening_length(6, 7), 4)
    0.1524
    """
    return float(0.8854 * 0.529177 / (z1**0.23 + z2**0.23))


@njit(cache=False)
def _screening(x: float) -> tuple[float, float]:
    """Universal screening function φ(x) and its derivative."""
    a = 0.18175 * np.exp(-3.1998 * x)
    b = 0.50986 * np.exp(-0.94229 * x)
    c = 0.28022 * np.exp(-0.4029 * x)
    d = 0.028171 * np.exp(-0.20162 * x)
    return a + b + c + d, -(3.1998 * a + 0.94229 * b + 0.4029 * c + 0.20162 * d)


@njit(cache=False)
def magic(epsilon: float, b: float) -> float:
    """Return sin²(θ/2) in the centre of mass from the MAGIC formula with ZBL constants.

    Parameters
    ----------
    epsilon : float
        Reduced energy ε.
    b : float
        Impact parameter over screening length.

    References
    ----------
    Biersack and Haggmark, Nucl. Instrum. Methods 174, 257 (1980); constants of Ziegler, Biersack
    and Littmark (1985): C4 = 14.813 and C5 = 9.3066, in this order.
    """
    # closest approach: Newton on x² − xφ/ε − b² = 0 from a guess beyond the exponential wall
    x = b
    guess = -2.7 * np.log(epsilon * b + 1e-12)
    if guess > b:
        guess = -2.7 * np.log(epsilon * guess)
        x = max(guess, b)
    phi, slope = _screening(x)
    for _ in range(30):
        value = x - b * b / x - phi / epsilon
        step = value / (1.0 + b * b / (x * x) - slope / epsilon)
        x = x - step if step < x else 0.5 * x
        phi, slope = _screening(x)
        if abs(step) < 1e-4 * x:
            break
    potential = phi / x
    gradient = (slope - potential) / x
    rho = -2.0 * (epsilon - potential) / gradient
    root = np.sqrt(epsilon)
    alpha = 1.0 + 0.99229 / root
    beta = (0.011615 + root) / (0.0071222 + root)
    gamma = (14.813 + epsilon) / (9.3066 + epsilon)
    a = 2.0 * alpha * epsilon * b**beta
    g = gamma / (np.sqrt(1.0 + a * a) - a)
    delta = a * (x - b) / (1.0 + g)
    cosine = (b + rho + delta) / (x + rho)
    return float(min(max(1.0 - cosine * cosine, 0.0), 1.0))


@njit(cache=False)
def turn(direction: NDArray[Any], polar_cosine: float, polar_sine: float, azimuth: float) -> None:
    """Turn a unit vector by a polar and an azimuthal angle, in place; regular along the axis too."""
    x, y, z = direction[0], direction[1], direction[2]
    across = np.sqrt(x * x + y * y)
    first, second = np.cos(azimuth), np.sin(azimuth)
    if across < 1e-8:
        direction[0] = polar_sine * first
        direction[1] = polar_sine * second
        direction[2] = polar_cosine if z > 0 else -polar_cosine
        return
    direction[0] = x * polar_cosine + polar_sine * (x * z * first - y * second) / across
    direction[1] = y * polar_cosine + polar_sine * (y * z * first + x * second) / across
    direction[2] = z * polar_cosine - polar_sine * across * first
    norm = 1.0 / np.sqrt(direction[0] ** 2 + direction[1] ** 2 + direction[2] ** 2)
    direction *= norm


@njit(cache=False)
def _layer_of(depth: float, bottoms: NDArray[Any]) -> int:
    layer = 0
    while layer < bottoms.size - 1 and depth >= bottoms[layer]:
        layer += 1
    return layer


@njit(cache=False)
def _stopping(energy: float, coefficient: float, factors: NDArray[Any]) -> float:
    """Electronic stopping in eV/Å; `factors` multiply it at ≤20, 25, 30 and ≥40 keV."""
    if energy <= 20e3:
        scale = factors[0]
    elif energy < 30e3:
        k = 0 if energy < 25e3 else 1
        scale = factors[k] + (factors[k + 1] - factors[k]) * (energy - 20e3 - 5e3 * k) / 5e3
    else:
        scale = factors[2] + (factors[3] - factors[2]) * min((energy - 30e3) / 10e3, 1.0)
    return float(coefficient * scale * np.sqrt(energy))


@njit(cache=False)
def _straggle(
    u: float, mean: float, path: float, energy: float, density: float, spread: NDArray[Any]
) -> float:
    """Return an electronic loss (eV) that fluctuates about its mean: nothing, or one larger portion.

    The variance is Bohr's Ω² of an even law over ±h = ±√(3Ω²L), cut at the mean loss d over the free
    flight L to the next collision that turns or slows the ion noticeably: d²(1 − 2d/3h) where d < h.
    L = 1/(πNp²), p = a/(ξ + √ξ + 0.125 ξ^0.1), ξ² = ε ε_min. Without the cut a slow ion would win
    energy. `spread` holds Ω² (eV²/Å), a (Å), ε per eV and ε_min.

    References
    ----------
    Bohr, K. Dan. Vidensk. Selsk. Mat.-Fys. Medd. 18, 8 (1948); free flight of Ziegler, Biersack and
    Littmark, The Stopping and Range of Ions in Solids (1985), ch. 4.
    """
    if mean <= 0.0:
        return 0.0
    xi = np.sqrt(spread[3] * spread[2] * energy)
    nearest = spread[1] / (xi + np.sqrt(xi) + 0.125 * xi**0.1)
    flight = max(1.0 / (np.pi * nearest * nearest * density), density ** (-1.0 / 3.0))
    loss, half = mean / path * flight, np.sqrt(3.0 * spread[0] * flight)
    variance = spread[0] if loss >= half else loss**2 * (1 - 2 * loss / (3 * half)) / flight
    variance *= path
    # portions stay below a tenth of the energy left: no single electron takes more
    portion = mean + min(variance / mean, 0.1 * energy)
    return portion if u * portion < mean else 0.0


@njit(cache=False)
def _cross_opening(
    place: NDArray[Any], direction: NDArray[Any], top: float, bottom: float, radius: float
) -> None:
    """Move a particle inside the opening of a mask straight on, to its side wall or out of it."""
    path = 1e9
    if direction[2] > 1e-9:
        path = (bottom - place[2]) / direction[2]
    elif direction[2] < -1e-9:
        path = (top - place[2]) / direction[2]
    across = direction[0] ** 2 + direction[1] ** 2
    if across > 1e-14:
        along = place[0] * direction[0] + place[1] * direction[1]
        rest = place[0] ** 2 + place[1] ** 2 - radius**2
        wall = (-along + np.sqrt(max(along * along - across * rest, 0.0))) / across
        path = min(path, wall)
    place += direction * (path + 1e-3)


@njit(cache=False)
def _partner(u: float, shares: NDArray[Any]) -> int:
    species = 0
    while species < shares.size - 1 and u > shares[species]:
        species += 1
    return species


@njit(cache=False)
def transport(  # noqa: C901, PLR0912, PLR0913, PLR0915, PLR0917
    rng: np.random.Generator,
    energy: float,
    entries: NDArray[Any],
    species: tuple[Any, ...],
    pairs: tuple[Any, ...],
    layers: tuple[Any, ...],
    opening: tuple[int, float],
    limits: tuple[float, float, float, bool],
    edges: NDArray[Any],
) -> tuple[Any, ...]:
    """Follow ions and, if asked, every recoil of their cascades until they stop or leave.

    One long loop on purpose: it is the hot kernel, and numba inlines nothing across a recursion.

    Parameters
    ----------
    rng : numpy Generator
        The block's own random stream.
    energy : float, eV
        Energy of each ion at entry, along +z.
    entries : array of shape (n, 2), Å
        Entry points (x, y) on the surface z = 0.
    species : tuple
        Atomic numbers, displacement energies (eV), lattice binding (eV), each of shape (s,); the
        ion is species 0.
    pairs : tuple
        Screening length (Å), ε per eV, largest energy share 4M₁M₂/(M₁+M₂)², mass ratio M₁/M₂,
        each of shape (s, s).
    layers : tuple
        Depth of the bottoms (Å; the last may be inf), atomic density (1/Å³), cumulative composition
        (l, s), stopping coefficient (l, s) in eV^½/Å, stopping factors (l, s, 4), what the
        ion's electronic straggling needs (l, 4), see `_straggle`.
    opening : (int, float)
        Layer that is a mask with a round opening about the z axis (−1: none), and its radius (Å).
    limits : tuple
        Energy at which a particle stops (eV), energy below which a projectile that displaced an atom
        of its own species takes its place (eV; negative: below the displacement energy), depth (Å)
        below which nothing is followed, whether recoils are followed.
    edges : array, Å
        Edges of the depth bins, uniform from 0, in which vacancies are counted.

    Returns
    -------
    tuple
        fate (n,), end point (n, 3) Å, end layer (n,), energy left at exit (n,), vacancies (n, l),
        vacancy depth histogram, energy budget (electronic, nuclear, carried out) in eV.
    """
    number, displacement, binding = species
    screen, reduce, share, ratio = pairs
    bottoms, density, composition, coefficient, factors, spread = layers
    cutoff, replace_below, deepest, cascades = limits
    mask, radius = opening
    n = entries.shape[0]
    fate = np.zeros(n, np.int8)
    ends = np.zeros((n, 3))
    end_layer = np.zeros(n, np.int16)
    left = np.zeros(n)
    vacancies = np.zeros((n, bottoms.size))
    histogram = np.zeros(edges.size - 1)
    budget = np.zeros(3)
    width = edges[1] - edges[0]
    back = bottoms[-1]
    kinds = np.zeros(STACK, np.int64)
    state = np.zeros((STACK, 7))
    place, direction = np.zeros(3), np.zeros(3)
    steps = density ** (-1.0 / 3.0)
    for ion in range(n):
        kinds[0] = 0
        state[0, 0] = energy
        state[0, 1], state[0, 2], state[0, 3] = entries[ion, 0], entries[ion, 1], 1e-6
        state[0, 4], state[0, 5], state[0, 6] = 0.0, 0.0, 1.0
        waiting = 1
        while waiting > 0:
            waiting -= 1
            kind = kinds[waiting]
            e = state[waiting, 0]
            place[:] = state[waiting, 1:4]
            direction[:] = state[waiting, 4:7]
            first = kind == 0
            end = STOPPED
            layer = _layer_of(place[2], bottoms)
            while e > cutoff:
                if layer == mask and place[0] ** 2 + place[1] ** 2 < radius**2:
                    top = bottoms[mask - 1] if mask > 0 else 0.0
                    _cross_opening(place, direction, top, bottoms[mask], radius)
                    if place[2] <= 0.0:
                        end = BACKSCATTERED
                        break
                    layer = _layer_of(place[2], bottoms)
                    continue
                path = steps[layer]
                if first:
                    path *= rng.random()
                    first = False
                loss = path * _stopping(e, coefficient[layer, kind], factors[layer, kind])
                if kind == 0:
                    u = rng.random()
                    loss = _straggle(u, loss, path, e, density[layer], spread[layer])
                loss = min(loss, e)
                e -= loss
                budget[0] += loss
                place += direction * path
                if place[2] <= 0.0:
                    end = BACKSCATTERED
                    break
                if place[2] >= back or place[2] >= deepest:
                    end = TRANSMITTED
                    break
                layer = _layer_of(place[2], bottoms)
                if layer == mask and place[0] ** 2 + place[1] ** 2 < radius**2:
                    continue
                if e <= cutoff:
                    break
                hit = _partner(rng.random(), composition[layer])
                p = steps[layer] * np.sqrt(rng.random() / np.pi)
                s2 = magic(reduce[kind, hit] * e, p / screen[kind, hit])
                given = e * share[kind, hit] * s2
                cosine = 1.0 - 2.0 * s2
                sine = 2.0 * np.sqrt(max(s2 * (1.0 - s2), 0.0))
                azimuth = 2.0 * np.pi * rng.random()
                along = cosine + ratio[kind, hit]
                size = np.sqrt(along * along + sine * sine)
                e -= given
                displaced = given > displacement[hit]
                if cascades and displaced and waiting < STACK - 1:
                    below = displacement[hit] if replace_below < 0 else replace_below
                    swapped = number[kind] == number[hit] and e < below
                    if not swapped:
                        vacancies[ion, layer] += 1.0
                        index = int(place[2] / width)
                        if index < histogram.size:
                            histogram[index] += 1.0
                    kinds[waiting] = hit
                    state[waiting, 0] = given - binding[hit]
                    budget[1] += binding[hit]
                    state[waiting, 1:4] = place
                    # the recoil leaves at (π − θ)/2 on the other side of the plane
                    saved0, saved1, saved2 = direction[0], direction[1], direction[2]
                    turn(direction, np.sqrt(s2), np.sqrt(1.0 - s2), azimuth + np.pi)
                    state[waiting, 4:7] = direction
                    direction[0], direction[1], direction[2] = saved0, saved1, saved2
                    waiting += 1
                else:
                    budget[1] += given
                if size > 1e-12:
                    turn(direction, along / size, sine / size, azimuth)
            if end == STOPPED:
                budget[1] += e
            else:
                budget[2] += e
            if kind == 0:
                fate[ion] = end
                ends[ion] = place
                end_layer[ion] = layer
                left[ion] = e if end != STOPPED else 0.0
    return fate, ends, end_layer, left, vacancies, histogram, budget
