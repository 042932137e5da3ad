"""Say whether a fusion model has any business with a spectrum, and if not, where and why it differs.

In: blocks of a sample and a fusion model. Out: the blocks that may be used; for the others the energies that
no simulated spectrum reaches, and whether a wider instrument would explain them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from matterscope.core.estimates import Estimate
from matterscope.core.pictures import Panel, Picture, band, line, span
from matterscope.spectra.fusion.streams import block_grid, early_part, rise
from matterscope.spectra.fusion.training import NUISANCE, FusionModel, nearest
from matterscope.spectra.simulators.broadening import gaussian_broaden

Floats = NDArray[np.float64]

STRETCH = 1.5
"""A block is used up to this multiple of its 99 % limits; from 1 on its answer is flagged."""
SHARES = (0.0, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0)
WIDTHS = np.arange(0.0, 3.01, 0.5)
"""Extra Gaussian standard deviations (eV) that are tried on the simulation."""


@dataclass(frozen=True)
class Misfit:
    """Where a block leaves the training population.

    Parameters
    ----------
    low, high : float, eV
        Energies from the edge between which it is farthest outside.
    excess : float
        Largest distance from the population there, in units of the block's mean; negative below it.
    width : float, eV
        Extra width of the simulation that comes nearest.
    left : float
        Root mean square distance to the nearest simulated spectrum with that width, over that without.
    """

    low: float
    high: float
    excess: float
    width: float
    left: float


def distances(fusion: FusionModel, block: str, values: Floats) -> tuple[float, float]:
    """Return residual and nearest distance of a block in units of their 99 % limits."""
    basis, limits = fusion.bases[block], fusion.limits[block]
    residual = float(basis.residual(values)) / limits[0]
    apart = nearest(basis.scores(values)[None], fusion.scores[block])[0] / limits[1]
    return residual, float(apart)


def population(fusion: FusionModel, block: str) -> Floats:
    """Return the training spectra of a block (n, m), clean ones first, from their components."""
    basis = fusion.bases[block]
    return np.asarray(basis.mean + (fusion.scores[block] * basis.scale) @ basis.axes)


def misfit(fusion: FusionModel, block: str, values: Floats) -> Misfit:
    """Return where a block lies outside the population, and what extra width would do."""
    grid, cloud = block_grid(block), population(fusion, block)
    low, high = np.quantile(cloud, [0.005, 0.995], axis=0)
    beyond = values - np.clip(values, low, high)
    worst = int(np.argmax(np.abs(beyond)))
    # the stretch around the worst point that leaves on the same side by at least half as much
    same = beyond * np.sign(beyond[worst]) >= 0.5 * abs(beyond[worst])
    first = worst - int(np.argmin(same[worst::-1])) + 1 if not same[: worst + 1].all() else 0
    last = worst + int(np.argmin(same[worst:])) - 1 if not same[worst:].all() else len(grid) - 1
    clean = cloud[: len(cloud) // 2]
    apart = []
    for width in WIDTHS:
        wide = np.array([_seen_through(block, grid, row, float(width)) for row in clean[::2]])
        apart.append(float(np.sqrt(((wide - values) ** 2).mean(axis=1)).min()))
    best = int(np.argmin(apart))
    return Misfit(
        float(grid[first]),
        float(grid[last]),
        float(beyond[worst]),
        float(WIDTHS[best]),
        apart[best] / max(apart[0], 1e-12),
    )


def _seen_through(block: str, grid: Floats, shape: Floats, width: float) -> Floats:
    """Return a block through a wider instrument, aligned and scaled again as a measured one would be."""
    wide = gaussian_broaden(grid, shape, width)
    if block.endswith("+"):  # aligned and scaled by what lies before it
        return wide
    find = early_part if block.endswith("_L23") else rise
    moved = np.interp(grid + find(grid, wide) - find(grid, shape), grid, wide)
    return np.asarray(moved * (shape.mean() / moved.mean()))


def apparent_width(fusion: FusionModel, block: str, values: Floats) -> float:
    """Return the extra width with which a simulated spectrum comes nearest, in units of the widest copy trained on."""
    grid, cloud = block_grid(block), population(fusion, block)
    clean = cloud[: len(cloud) // 2 : 3]
    trained = NUISANCE["L23" if block.endswith("_L23") else "K"]
    apart = [
        min(
            float(((_seen_through(block, grid, row, share * trained) - values) ** 2).sum())
            for row in clean
        )
        for share in SHARES
    ]
    return float(SHARES[int(np.argmin(apart))])


def title(block: str) -> str:
    """Return the name of a block for a reader: ``"Ni K (20–34 eV)"``."""
    return block.replace("_", " ").replace("L23", "L2,3").replace("+", " (20–34 eV)")


def _tell_outside(estimate: Estimate, block: str, worst: float, found: Misfit) -> None:
    side = "above" if found.excess > 0 else "below"
    cause = (
        f"A wider instrument would explain it (extra width {found.width:.1f} eV leaves {found.left:.0%} of the misfit)."
        if found.left < 0.5
        else f"No instrument width explains it (the best, {found.width:.1f} eV, leaves {found.left:.0%} of the misfit): "
        "the simulation lacks something there."
    )
    estimate.flag(
        "outside_training",
        f"{title(block)} lies outside every simulated spectrum ({worst:.1f} times the limit) and was not used: from "
        f"{found.low:+.1f} to {found.high:+.1f} eV of the edge it stands up to {abs(found.excess):.2f} of its mean {side} them. {cause}",
        "compare with your own simulation (spectra compare), train on your own family, or add another edge",
    )


def usable_blocks(
    estimate: Estimate, fusion: FusionModel, blocks: dict[str, Floats]
) -> dict[str, Floats]:
    """Return the blocks inside the training population; flag the border and what lies outside."""
    used: dict[str, Floats] = {}
    wide: list[str] = []
    table: dict[str, list[float]] = {}
    outside: dict[str, dict[str, float]] = {}
    for block, values in blocks.items():
        residual, apart = distances(fusion, block, values)
        table[block] = [residual, apart]
        worst = max(residual, apart)
        if worst > STRETCH:
            found = misfit(fusion, block, values)
            outside[block] = vars(found)
            _tell_outside(estimate, block, worst, found)
            continue
        if worst > 1.0:
            estimate.flag(
                "near_border",
                f"{title(block)} lies at the border of the training population ({worst:.1f} times its limit).",
                "read the intervals as too narrow",
            )
        used[block] = values
        if not block.endswith("+") and apparent_width(fusion, block, values) > 1.0:
            wide.append(block)
    if wide:
        estimate.flag(
            "instrument_wide",
            f"{', '.join(map(title, wide))} looks broader than any copy that the model was trained on.",
            "read the intervals as too narrow, that of nickel's charge above all; measure with better resolution",
        )
    estimate.diagnostics |= {"domain": table, "misfit": outside}
    return used


def overlays(estimate: Estimate, fusion: FusionModel, blocks: dict[str, Floats]) -> list[Picture]:
    """Return the picture of all blocks before the population, with what lies outside shaded."""
    outside = estimate.diagnostics.get("misfit", {})
    panels = []
    for number, (block, values) in enumerate(sorted(blocks.items())):
        grid, cloud = block_grid(block), population(fusion, block)
        low, high = np.quantile(cloud, 0.05, axis=0), np.quantile(cloud, 0.95, axis=0)
        layers = [
            band(grid, low, high, "" if number else "90 % of the training set"),
            line(grid, fusion.bases[block].mean, "" if number else "mean", "reference"),
            line(grid, values, "" if number else "this spectrum", "data"),
        ]
        if block in outside:
            ends = outside[block]["low"], outside[block]["high"]
            layers.insert(0, span(*ends, label="no simulation reaches it", role="flagged"))
        panels.append(Panel(layers, "energy from the edge (eV)", "µ / mean", title(block)))
    if not panels:
        return []
    return [
        Picture(
            "population",
            "Spectra against the training population",
            tuple(panels),
            "Outside the band the model is asked about something it has not seen.",
            columns=min(3, len(panels)),
            width=10.0,
            height=3.0 * (1 + (len(panels) - 1) // 3),
        )
    ]
