"""Labels of layered oxides from their structure: contents, charge, bonds, defects.

In: a plan, the structure and its moments. Out: plain numbers, each defined here once.
Nickel's charge: moment bands Ni⁴⁺ < 0.5 ≤ Ni³⁺ ≤ 1.25 < Ni²⁺ µB (CHGNet r2SCAN), against the charge balance.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from matterscope.physics.structures import first_shell
from matterscope.spectra.sets.structures import DOPANTS, METALS, Plan


def nickel_charge(moments: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return 4, 3 or 2 for each nickel moment (µB); NaN stays NaN.

    Examples
    --------
    >>> nickel_charge(np.array([0.1, 0.9, 1.5])).tolist()
    [4.0, 3.0, 2.0]
    """
    charge = np.where(moments < 0.5, 4.0, np.where(moments <= 1.25, 3.0, 2.0))
    return np.where(np.isfinite(moments), charge, np.nan)


def balanced_charge(counts: dict[str, int]) -> float:
    """Return q_Ni = (2 n_O − n_Li − 4 n_Mn − 3 n_Co − 3 n_Al − 2 n_Mg) / n_Ni for Mn⁴⁺ and Co³⁺.

    Examples
    --------
    >>> round(balanced_charge({"Li": 10, "Ni": 6, "Mn": 2, "Co": 2, "O": 20}), 3)
    2.667
    """
    charge = 2 * counts["O"] - counts["Li"] - 4 * counts["Mn"] - 3 * counts["Co"]
    charge -= 3 * counts.get("Al", 0) + 2 * counts.get("Mg", 0)
    return charge / counts["Ni"]


def structure_labels(
    plan: Plan, atoms: Atoms, moments: NDArray[np.float64], layer: NDArray[np.int64]
) -> dict[str, Any]:
    """Return what the models are trained on; contents are per transition metal."""
    counts = {symbol: int(np.sum(atoms.numbers == z)) for symbol, z in METALS.items()}
    counts |= {"Li": int(np.sum(atoms.numbers == 3)), "O": int(np.sum(atoms.numbers == 8))}
    if plan.dopants:
        counts[plan.dopant] = int(np.sum(atoms.numbers == DOPANTS[plan.dopant]))
    labels: dict[str, Any] = {
        f"{name}_content": counts[symbol] / plan.units
        for name, symbol in (
            ("lithium", "Li"),
            ("nickel", "Ni"),
            ("manganese", "Mn"),
            ("cobalt", "Co"),
        )
    }
    nickel = np.flatnonzero(atoms.numbers == METALS["Ni"])
    shells = [first_shell(atoms, int(site)) for site in nickel]
    labels |= {
        "oxygen_vacancy": int(plan.vacancies > 0),
        "antisite": int(plan.antisites > 0),
        "vacancies": plan.vacancies,
        "antisites": int(np.sum((layer == 1) & (atoms.numbers == METALS["Ni"]))),
        "bond_length": float(np.mean([s.bond_length for s in shells])),
        "coordination_number": float(np.mean([s.coordination_number for s in shells])),
        "nickel_oxidation_state": float(np.mean(nickel_charge(moments[nickel]))),
        "balanced_charge": balanced_charge(counts),
        "volume": float(atoms.get_volume() / plan.units),
    }
    if plan.dopants:
        labels["dopant_content"] = counts[plan.dopant] / plan.units
    return labels
