"""Turn a core-loss spectrum of any stream into aligned blocks that a fusion model compares.

In: energy and µ of one edge, any axis offset, gain or constant background. Out: blocks on fixed grids
relative to the edge: ``Ni_K`` (−8…+20 eV) and, where the spectrum reaches, ``Ni_K+`` (20…34 eV); one
block for L2,3. Absolute energies are not used: theory does not know them.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from matterscope.physics.edges import separation

Floats = NDArray[np.float64]

STEP_LEAST = 0.04
"""Share of the maximum below which the level behind L2 is the lines' own tail."""
STEP_WIDTH = 1.0
"""eV; half width of the steps."""

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


def without_steps(stream: str, energy: Floats, mu: Floats) -> Floats:
    """Return L2,3 white lines without the steps of the continuum, which multiplets do not have.

    Two steps in the ratio 2 : 1 of the 2p₃/₂ and 2p₁/₂ electrons, at the maxima of the two lines (Pearson,
    Ahn and Fultz, Phys. Rev. B 47, 8471 (1993)), up to the level behind L2. Where that level is below
    `STEP_LEAST` of the maximum, or unseen, nothing is taken away.
    """
    gap = separation(stream.partition("_")[0])
    first = float(energy[int(np.argmax(mu))])
    behind = energy > first + gap + 7.0
    if behind.sum() < 5:
        return mu
    before = energy < first - 6.0
    floor = float(np.median(mu[before])) if before.sum() >= 3 else 0.0
    level = float(np.median(mu[behind])) - floor
    if level < STEP_LEAST * (float(mu.max()) - floor):
        return mu
    rises = [0.5 + np.arctan((energy - at) / STEP_WIDTH) / np.pi for at in (first, first + gap)]
    return np.asarray(mu - level * (2 * rises[0] + rises[1]) / 3)


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
