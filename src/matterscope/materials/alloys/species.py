"""What is known of each species of a halide perovskite, and features of its alloys.

In: names and fractions. Out: a few numbers of every species (radius, electronegativity, ionisation
energy, period, lone pair), and for trees the mean, extremes and spread of them over a site.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from matterscope.materials.alloys.compositions import SITES

Array = NDArray[np.float64]

A_PROPERTIES: dict[str, tuple[float, float]] = {
    # effective radius in Å (Shannon 1976, coordination 12; molecules: Kieslich, Sun and Cheetham,
    # Chem. Sci. 5, 4712 (2014)), and 1 for molecules
    "Li": (0.92, 0), "Na": (1.39, 0), "K": (1.64, 0), "Rb": (1.72, 0), "Cs": (1.88, 0), "Fr": (1.96, 0),
    "Tl": (1.70, 0), "MA": (2.17, 1), "FA": (2.53, 1), "GA": (2.78, 1), "DMA": (2.72, 1), "EA": (2.74, 1),
    "NH4": (1.46, 1),
}  # fmt: skip

B_PROPERTIES: dict[str, tuple[float, float, float, float, float]] = {
    # radius of the ion in Å (Shannon 1976, coordination 6, 2+ unless `compositions.CHARGES` says
    # otherwise; Sn extrapolated), Pauling electronegativity, first ionisation energy in eV, period,
    # 1 for an s² lone pair
    "Be": (0.45, 1.57, 9.32, 2, 0), "Mg": (0.72, 1.31, 7.65, 3, 0), "Ca": (1.00, 1.00, 6.11, 4, 0),
    "Sr": (1.18, 0.95, 5.69, 5, 0), "Ba": (1.35, 0.89, 5.21, 6, 0), "Ti": (0.86, 1.54, 6.83, 4, 0),
    "V": (0.79, 1.63, 6.75, 4, 0), "Cr": (0.80, 1.66, 6.77, 4, 0), "Mn": (0.83, 1.55, 7.43, 4, 0),
    "Fe": (0.78, 1.83, 7.90, 4, 0), "Co": (0.745, 1.88, 7.88, 4, 0), "Ni": (0.69, 1.91, 7.64, 4, 0),
    "Cu": (0.73, 1.90, 7.73, 4, 0), "Zn": (0.74, 1.65, 9.39, 4, 0), "Pd": (0.86, 2.20, 8.34, 5, 0),
    "Cd": (0.95, 1.69, 8.99, 5, 0), "Hg": (1.02, 1.90, 10.44, 6, 0), "Ge": (0.73, 2.01, 7.90, 4, 1),
    "Sn": (1.10, 1.96, 7.34, 5, 1), "Pb": (1.19, 1.87, 7.42, 6, 1), "Eu": (1.17, 1.20, 5.67, 6, 0),
    "Yb": (1.02, 1.10, 6.25, 6, 0), "Sm": (1.19, 1.17, 5.64, 6, 0), "Tm": (1.03, 1.25, 6.18, 6, 0),
    "Dy": (1.07, 1.22, 5.94, 6, 0), "Pt": (0.80, 2.28, 8.96, 6, 0), "Ra": (1.48, 0.90, 5.28, 7, 0),
    "Ag": (1.15, 1.93, 7.58, 5, 0), "Au": (1.37, 2.54, 9.23, 6, 0), "Al": (0.535, 1.61, 5.99, 3, 0),
    "Ga": (0.62, 1.81, 6.00, 4, 0), "In": (0.80, 1.78, 5.79, 5, 0), "Sb": (0.76, 2.05, 8.61, 5, 1),
    "Bi": (1.03, 2.02, 7.29, 6, 1), "Sc": (0.745, 1.36, 6.56, 4, 0), "Y": (0.90, 1.22, 6.22, 5, 0),
    "La": (1.032, 1.10, 5.58, 6, 0), "Ce": (1.01, 1.12, 5.54, 6, 0), "Gd": (0.938, 1.20, 6.15, 6, 0),
    "Li": (0.76, 0.98, 5.39, 2, 0), "Na": (1.02, 0.93, 5.14, 3, 0), "K": (1.38, 0.82, 4.34, 4, 0),
}  # fmt: skip

X_PROPERTIES: dict[str, tuple[float, float]] = {
    # radius of the 1− ion in Å (Shannon 1976, coordination 6; At extrapolated), electronegativity
    "F": (1.33, 3.98), "Cl": (1.81, 3.16), "Br": (1.96, 2.96), "I": (2.20, 2.66), "At": (2.30, 2.20),
}  # fmt: skip

PROPERTIES: dict[str, Mapping[str, tuple[float, ...]]] = {
    "A": A_PROPERTIES,
    "B": B_PROPERTIES,
    "X": X_PROPERTIES,
}


def properties(site: str, species: Sequence[str]) -> Array:
    """Return the properties of the species of a site, one a row."""
    return np.array([PROPERTIES[site][name] for name in species], dtype=float)


def lone_pairs(species: Sequence[str]) -> Array:
    """Return 1 for each B cation with an s² lone pair, else 0."""
    return properties("B", species)[:, 4]


REFERENCE = {
    "A": ("K", "Rb", "Cs", "MA", "FA"),
    "B": ("Ca", "Sr", "Ba", "Ge", "Sn", "Pb"),
    "X": ("Cl", "Br", "I"),
}
"""Species whose mean and spread scale the descriptors, so that a new species moves no other."""


def descriptors(species: Mapping[str, Sequence[str]]) -> tuple[Array, Array, Array]:
    """Return scaled descriptors of the species on A, B and X, divided by √(number of them)."""
    scaled = []
    for site in SITES:
        reference = properties(site, REFERENCE[site])
        values = properties(site, species[site])
        width = reference.std(0) * np.sqrt(reference.shape[1])
        scaled.append((values - reference.mean(0)) / width)
    a, b, x = scaled
    return a, b, x


def site_statistics(fractions: Array, table: Array) -> Array:
    """Return mean, largest, smallest and spread of each property over the species present.

    Parameters
    ----------
    fractions : array of shape (n, k)
    table : array of shape (k, p)

    Returns
    -------
    array of shape (n, 4 p)
    """
    mean = fractions @ table
    highest = np.full(mean.shape, -np.inf)
    lowest = np.full(mean.shape, np.inf)
    for j, row in enumerate(
        table
    ):  # a few species: no array of rows × species × properties is made
        present = fractions[:, j, None] > 0
        np.maximum(highest, row, out=highest, where=present)
        np.minimum(lowest, row, out=lowest, where=present)
    spread = np.sqrt(np.maximum(fractions @ table**2 - mean**2, 0.0))
    return np.column_stack([mean, highest, lowest, spread])


def tree_features(
    fractions: tuple[Array, Array, Array], species: Mapping[str, Sequence[str]]
) -> Array:
    """Return features of alloys for trees: statistics of each site, fractions, and shape factors.

    The tolerance factor is t = (r_A + r_X)/√2 (r_B + r_X), the octahedral factor µ = r_B/r_X
    (Goldschmidt 1926).
    """
    tables = [properties(s, species[s]) for s in SITES]
    parts = [site_statistics(f, t) for f, t in zip(fractions, tables, strict=True)]
    radius_a, radius_b, radius_x = (f @ t[:, 0] for f, t in zip(fractions, tables, strict=True))
    tolerance = (radius_a + radius_x) / (np.sqrt(2.0) * (radius_b + radius_x))
    lone_pair = fractions[1] @ tables[1][:, 4]
    shape = [tolerance, radius_b / radius_x, lone_pair, lone_pair > 0]
    return np.column_stack([*parts, *fractions, *shape]).astype(float)
