"""Ligand holes against closed forms: the ionic limit, the sum rule, a two-level ion, exact limits."""

from __future__ import annotations

import numpy as np
import pytest

from matterscope.core.errors import ConfigError
from matterscope.spectra.simulators.charge_transfer import (
    NICKEL_OXIDE,
    Ligand,
    ligand_hamiltonians,
    ligand_hole_number,
    ligand_of,
    ligand_sticks,
)
from matterscope.spectra.simulators.multiplet import (
    IONS,
    Field,
    Ion,
    Sticks,
    sticks,
)


def merged(lines: Sticks) -> tuple[np.ndarray, np.ndarray]:
    """Return positions from the first line and strengths, lines within 1 µeV taken together."""
    starts = np.flatnonzero(np.diff(lines.energy, prepend=-np.inf) > 1e-6)
    return lines.energy[starts] - lines.energy[0], np.add.reduceat(lines.isotropic, starts)


@pytest.mark.parametrize("name", ["Ni2+", "Cu2+"])
def test_without_hopping_the_spectrum_is_the_ionic_one(name: str) -> None:
    # averages are taken off here and not there, F of the final state differs: use equal ones
    own = IONS[name]
    ion = Ion(**(vars(own) | {"f2_final": own.f2_initial, "f4_final": own.f4_initial, "zeta_final": own.zeta_initial}))  # fmt: skip
    field = Field(1.3).matrix()
    ionic = sticks(ion, field)
    bare = ligand_sticks(ion, field, Ligand(5.0, 7.0, 8.0, 0.0, 0.0, holes=1))
    assert bare.isotropic.sum() == pytest.approx(10 - ion.electrons)
    for one, other in zip(merged(ionic), merged(bare), strict=True):
        assert np.allclose(one, other, atol=1e-7)


@pytest.mark.parametrize("holes", [1, 2])
def test_the_strength_counts_the_holes_of_the_metal(holes: int) -> None:
    ion, field = IONS["Ni2+"], Field(0.56).matrix()
    ligand = Ligand(4.7, 7.3, 8.5, 2.06, 1.21, holes=holes)
    total = ligand_sticks(ion, field, ligand, temperature=0.0).isotropic.sum()
    assert total == pytest.approx(2 - ligand_hole_number(ion, field, ligand), abs=1e-6)


def test_one_hole_mixes_like_a_two_level_system() -> None:
    hopping, delta, ten_dq = 1.5, 2.0, 1.0
    ion = Ion("Cu", 2, 9, *[0.0] * 9, 13.498, 932.7, (0.3, 0.6))
    ligand = Ligand(delta, 7.0, 8.0, hopping, 0.7, holes=1)
    # a hole in eg costs −6Dq; 3d¹⁰L has none: tan 2θ = 2V / (Δ + 6Dq), weight of 3d¹⁰L is sin²θ
    angle = 0.5 * np.arctan2(2 * hopping, delta + 0.6 * ten_dq)
    found = ligand_hole_number(ion, Field(ten_dq).matrix(), ligand)
    assert found == pytest.approx(np.sin(angle) ** 2, abs=1e-9)


def test_without_repulsion_all_strength_goes_to_the_antibonding_orbital() -> None:
    # independent electrons: the two holes of d⁸ sit in the antibonding eg orbitals of both shells
    hopping, delta, ten_dq = 2.0, 3.0, 1.0
    ion = Ion("Ni", 2, 8, *[0.0] * 9, 0.0, 852.7, (0.3, 0.6))
    lines = ligand_sticks(ion, Field(ten_dq).matrix(), Ligand(delta, 0.0, 0.0, hopping, 0.7))
    middle, half = 0.5 * (0.6 * ten_dq - delta), 0.5 * (0.6 * ten_dq + delta)
    assert np.ptp(lines.energy) == pytest.approx(0.0, abs=1e-9)
    assert lines.energy[0] == pytest.approx(middle + np.hypot(half, hopping))


def test_levels_do_not_depend_on_the_sign_of_the_hopping() -> None:
    ion, field = IONS["Ni2+"], Field(0.56).matrix()
    both = [
        np.linalg.eigvalsh(ligand_hamiltonians(ion, field, Ligand(4.7, 7.3, 8.5, s * 2.06, s * 1.21, holes=1))[0].toarray())
        for s in (1, -1)
    ]  # fmt: skip
    assert np.allclose(*both, atol=1e-9)


def test_nickel_oxide_is_a_triplet_with_a_covalent_part() -> None:
    ion, field = IONS["Ni2+"], Field(0.56).matrix()
    lines = ligand_sticks(ion, field, NICKEL_OXIDE)
    assert lines.degeneracy == 3  # ³A2g, as in the ionic model
    # hopping adds to the splitting: ³T2g lies above the ionic 0.56 eV, near the 1.1 eV of absorption
    assert 0.9 < lines.levels[3] < 1.3
    assert 0.1 < ligand_hole_number(ion, field, NICKEL_OXIDE) < 0.3


def test_charge_transfer_puts_a_satellite_above_l3() -> None:
    ion, field = IONS["Ni2+"], Field(0.56).matrix()
    lines = ligand_sticks(ion, field, NICKEL_OXIDE)
    strongest = lines.energy[int(np.argmax(lines.isotropic))]
    above = (lines.energy > strongest + 4) & (lines.energy < strongest + 10)
    ionic = sticks(ion, Field(1.1).matrix())
    top = ionic.energy[int(np.argmax(ionic.isotropic))]
    none = (ionic.energy > top + 4) & (ionic.energy < top + 10)
    # NiO: a satellite some 5–7 eV above L3, a tenth of it rather than its like
    assert 0.01 < lines.isotropic[above].sum() < 0.3 * lines.isotropic.sum()
    assert ionic.isotropic[none].sum() < 1e-3


@pytest.mark.parametrize("values", [(4.7,), (1.0,) * 7, (4.7, 7.3, float("nan"), 2.0, 1.2)])
def test_a_ligand_shell_of_other_numbers_is_refused(values: tuple[float, ...]) -> None:
    with pytest.raises(ConfigError, match="five or six"):
        ligand_of(values)


def test_three_ligand_holes_are_refused() -> None:
    with pytest.raises(ConfigError, match="ligand holes"):
        ligand_sticks(IONS["Ni2+"], Field(1.0).matrix(), Ligand(4.7, 7.3, 8.5, 2.0, 1.0, holes=3))
