"""Turn a core-loss spectrum of any stream into aligned blocks that a fusion model compares.

In: energy and µ of one edge, any axis offset, gain or constant background. Out: blocks on fixed grids
relative to the edge: ``Ni_K`` (−8…+20 eV) and, where the spectrum reaches, ``Ni_K+`` (20…34 eV); one
block for L2,3. Absolute energies are not used: theory does not know them.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

K_NEAR = np.arange(-8.0, 20.01, 0.25)
K_FAR = np.arange(20.5, 34.01, 0.5)
L_SPAN = {"Mn": 20.0, "Co": 23.0, "Ni": 25.5}
"""Length of the L2,3 block in eV, from 3 eV below the alignment point past the L2 maximum."""


def block_grid(block: str) -> Floats:
    """Return the energies (eV) of a block relative to its alignment point."""
    if block.endswith("_L23"):
        return np.arange(-4.0, L_SPAN[block[:2]], 0.2)
    return K_FAR if block.endswith("+") else K_NEAR


def blocks_of(stream: str) -> tuple[str, ...]:
    """Return the names of a stream's blocks."""
    return (stream,) if stream.endswith("_L23") else (stream, f"{stream}+")


def rise(energy: Floats, mu: Floats) -> float:
    """Return where µ first crosses half of its maximum, by linear interpolation (eV).

    Half of the maximum, not of the post-edge level: spectra that end 20 eV above the edge have none.
    """
    level = 0.5 * float(mu.max())
    above = int(np.argmax(mu >= level))
    if above == 0:
        return float(energy[0])
    share = (level - mu[above - 1]) / (mu[above] - mu[above - 1])
    return float(energy[above - 1] + share * (energy[above] - energy[above - 1]))


def early_part(energy: Floats, mu: Floats, share: float = 0.3) -> float:
    """Return the energy below which `share` of the area lies: stable where L3 has several maxima."""
    weight = np.clip(mu, 0.0, None)
    steps = np.diff(energy)
    area = np.concatenate([[0.0], np.cumsum(0.5 * (weight[1:] + weight[:-1]) * steps)])
    return float(np.interp(share * area[-1], area, energy))


def stream_blocks(stream: str, energy: Floats, mu: Floats) -> dict[str, Floats]:
    """Return the blocks of a spectrum; an empty dict where it is too short for any.

    Parameters
    ----------
    stream : str
        ``"O_K"``, ``"Ni_K"``, ``"Ni_L23"`` …
    energy : array of shape (n,), eV
    mu : array of shape (n,)
        Any gain; a constant background is taken off.

    Returns
    -------
    dict of str to array
        K: µ divided by its mean over −8…+20 eV. L2,3: µ divided by its mean over the block.
    """
    low = float(np.mean(np.sort(mu[: max(3, len(mu) // 20)])))
    clean = mu - low
    if stream.endswith("_L23"):
        origin = early_part(energy, clean)
        grid = block_grid(stream)
        if origin + grid[0] < energy[0] - 1.0 or origin + grid[-1] > energy[-1] + 1.0:
            return {}
        shape = np.interp(origin + grid, energy, clean)
        return {stream: shape / max(float(shape.mean()), 1e-12)}
    origin = rise(energy, clean)
    if origin + K_NEAR[-1] > energy[-1] + 0.5 or origin - 3.0 < energy[0]:
        return {}
    near = np.interp(origin + K_NEAR, energy, clean)
    scale = max(float(near.mean()), 1e-12)
    found = {stream: near / scale}
    if origin + K_FAR[-1] <= energy[-1] + 0.5:
        found[f"{stream}+"] = np.interp(origin + K_FAR, energy, clean) / scale
    return found
