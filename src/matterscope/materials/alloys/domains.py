"""Where an alloy model does not know: species, pairs and mixtures that no training row holds.

In: a model and compounds. Out: plain sentences that name the cause.
"""

from __future__ import annotations

from itertools import product

import numpy as np
from numpy.typing import NDArray

from matterscope.materials.alloys.compositions import SITES
from matterscope.materials.alloys.models import AlloyModel
from matterscope.materials.alloys.spaces import Space

Array = NDArray[np.float64]


def seen_species(model: AlloyModel) -> dict[str, set[str]]:
    """Return the species that training rows hold, by site (a model may know more by descriptor)."""
    return {
        s: {
            n
            for n, used in zip(model.species[s], np.atleast_1d((f > 0).any(0)), strict=True)
            if used
        }
        for s, f in zip(SITES, model.fractions, strict=True)
    }


def seen_pairs(model: AlloyModel) -> NDArray[np.bool_]:
    """Return which (A, X) pairs training rows hold, shape (n_A, n_X)."""
    a, x = (model.fractions[0] > 0).astype(float), (model.fractions[2] > 0).astype(float)
    return np.asarray(np.einsum("ni,nk->ik", a, x) > 0)


def mixed_in_training(model: AlloyModel) -> set[str]:
    """Return the sites that some training row mixes."""
    return {s for stack in model.models.values() for s in stack.mixed}


def domain_notes(model: AlloyModel, fractions: tuple[Array, Array, Array]) -> list[str]:
    """Return for each compound what is outside the training table; empty when nothing is."""
    mixed, pairs, seen = mixed_in_training(model), seen_pairs(model), seen_species(model)
    notes: list[str] = []
    for a, b, x in zip(*fractions, strict=True):
        words = []
        for site, row in zip(SITES, (a, b, x), strict=True):
            names = [n for n, v in zip(model.species[site], row, strict=True) if v > 0]
            words += [f"{n} never seen on {site}" for n in names if n not in seen[site]]
            if len(names) > 1 and site not in mixed:
                words.append(f"no training compound mixes the {site} site")
        words += [
            f"no training compound holds {model.species['A'][i]} with {model.species['X'][k]}"
            for i, k in product(np.flatnonzero(a > 0), np.flatnonzero(x > 0))
            if not pairs[i, k]
        ]
        notes.append("; ".join(words))
    return notes


def out_of_domain(model: AlloyModel, space: Space) -> list[tuple[str, str, str]]:
    """Return flags for a whole search."""
    flags = []
    mixed = mixed_in_training(model)
    for site, grid in zip(SITES, space.grids, strict=True):
        if grid.steps > 1 and site not in mixed:
            flags.append(
                (
                    f"site-{site.lower()}-not-mixed",
                    f"no training compound mixes the {site} site: its mixtures are Vegard means, "
                    "with the bowing seen elsewhere as uncertainty",
                    f"compute a few compounds that mix {site}; materials suggest names them",
                )
            )
    return flags
