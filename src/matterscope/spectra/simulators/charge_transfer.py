"""Ligand holes beside the ion: configurations 3dⁿ + 3dⁿ⁺¹L + 3dⁿ⁺²L² of the L2,3 multiplets.

In: an ion, a crystal field, and the energies and hopping of one ligand shell of d symmetry. Out: the same
sticks as the ionic model. H = ⊕_h (H_ion(dⁿ⁺ʰ) + E_h) + Σ V_ij (a†_i l_j + h.c.); E_h = hΔ + h(h−1)/2 U_dd, and with a
2p hole h(Δ + U_dd − U_pd) + h(h−1)/2 U_dd (de Groot and Kotani, Core Level Spectroscopy of Solids, 2008, ch. 4).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from matterscope.core.errors import ConfigError
from matterscope.spectra.simulators import fock
from matterscope.spectra.simulators.multiplet import (
    Field,
    Ion,
    Sticks,
    core_spin_of,
    dipole,
    transitions,
)

FEW = 6
"""3d electrons up to which a second ligand hole would make matrices of several thousand rows."""


@dataclass(frozen=True)
class Ligand:
    """A shell of ten ligand orbitals of the symmetry of 3d, eV.

    Parameters
    ----------
    delta : float
        Δ, from the average of 3dⁿ to that of 3dⁿ⁺¹L.
    u_dd, u_pd : float
        Average repulsion of two 3d electrons, and attraction of a 3d electron by the 2p hole.
    v_eg, v_t2g : float
        Hopping to the ligand orbital of the same symmetry.
    ten_dq : float
        Splitting of the ligand shell, eg above t2g.
    holes : int
        Most ligand holes (1 or 2).
    """

    delta: float
    u_dd: float
    u_pd: float
    v_eg: float
    v_t2g: float
    ten_dq: float = 0.0
    holes: int = 2

    def hopping(self) -> NDArray[np.float64]:
        """Return V_ij over the ten spin-orbitals: V_t2g on t2g, V_eg on eg."""
        upper = Field(1.0).matrix() + 0.4 * np.eye(5)  # projector on eg
        return np.asarray(np.kron(np.eye(2), self.v_eg * upper + self.v_t2g * (np.eye(5) - upper)))


def ligand_of(values: Sequence[float]) -> Ligand | None:
    """Return the ligand shell of DELTA U_DD U_PD V_EG V_T2G [10DQ_L]; None for no values."""
    if not values:
        return None
    if len(values) not in (5, 6) or not np.isfinite(values).all():
        raise ConfigError(
            "a ligand shell has five or six numbers",
            where="--ligand-holes",
            got=" ".join(f"{v:g}" for v in values),
            expected="DELTA U_DD U_PD V_EG V_T2G and, if wanted, the ligand's 10Dq, eV",
        )
    delta, u_dd, u_pd, v_eg, v_t2g, *rest = values
    return Ligand(delta, u_dd, u_pd, v_eg, v_t2g, rest[0] if rest else 0.0)


NICKEL_OXIDE = Ligand(4.7, 7.3, 8.5, 2.06, 1.21, 1.44)
"""NiO (with ionic 10Dq 0.56 eV): Haverkort, Zwierzycki and Andersen, Phys. Rev. B 85, 165113 (2012)."""


def _shell(ion: Ion, electrons: int, field: NDArray[np.number], scale: float) -> sparse.csr_matrix:
    """Return H of 3d with so many electrons, its average taken off: Δ and U carry the averages."""
    orbital = np.kron(np.eye(2), field) + ion.zeta_initial * fock.spin_orbit(2)
    slater = scale * fock.slater(electrons, ion.f2_initial, ion.f4_initial)
    return fock.one_body(electrons, orbital) + centred(slater)


def centred(matrix: sparse.csr_matrix) -> sparse.csr_matrix:
    """Return a Hamiltonian of one configuration minus its average."""
    size = matrix.shape[0]
    return sparse.csr_matrix(matrix - matrix.trace() / size * sparse.eye(size))


def _core(ion: Ion, electrons: int, scale: float) -> sparse.csr_matrix:
    """Return what the 2p hole adds to 3d with so many electrons (hole index first), average taken off."""
    size = len(fock.determinants(electrons))
    spin = ion.zeta_core * fock.hole_operator(fock.spin_orbit(1))
    slater = ion.f2_pd * fock.hole_direct(electrons, 2)
    slater = slater + ion.g1_pd * fock.hole_exchange(electrons, 1)
    slater = slater + ion.g3_pd * fock.hole_exchange(electrons, 3)
    return sparse.csr_matrix(sparse.kron(spin, sparse.eye(size)) + centred(scale * slater))


def _transfer(electrons: int, ligands: int, hopping: NDArray[np.float64]) -> sparse.csr_matrix:
    """Return Σ V_ij a†_i l_j from (3dⁿ, ligands) to (3dⁿ⁺¹, ligands − 1).

    l_j passes the 3d electrons, which stand first: (−1)ⁿ. With one electron more beside the 2p hole the sign
    is the other one, and amplitudes of both configurations interfere in the lines.
    """
    sign = (-1) ** electrons
    create, remove = fock.creation(electrons), fock.creation(ligands - 1)
    rows, columns = create[0].shape[0] * remove[0].shape[1], create[0].shape[1] * remove[0].shape[0]
    total = sparse.csr_matrix((rows, columns))
    for i, j in zip(*np.nonzero(np.abs(hopping) > 1e-12), strict=True):
        total = total + sign * hopping[i, j] * sparse.kron(create[i], remove[j].T)
    return sparse.csr_matrix(total)


def _assemble(
    diagonal: list[sparse.csr_matrix], couplings: list[sparse.csr_matrix]
) -> sparse.csr_matrix:
    grid: list[list[sparse.csr_matrix | None]] = [[None] * len(diagonal) for _ in diagonal]
    for number, block in enumerate(diagonal):
        grid[number][number] = block
    for number, block in enumerate(couplings):
        grid[number + 1][number] = block
        grid[number][number + 1] = block.T.conj()
    return sparse.csr_matrix(sparse.bmat(grid))


def _both(metal: sparse.csr_matrix, ligands: sparse.csr_matrix, energy: float) -> sparse.csr_matrix:
    """Return H_metal ⊗ 1 + 1 ⊗ H_ligands + E."""
    sizes = metal.shape[0], ligands.shape[0]
    return (
        sparse.kron(metal, sparse.eye(sizes[1]))
        + sparse.kron(sparse.eye(sizes[0]), ligands)
        + energy * sparse.eye(sizes[0] * sizes[1])
    )


def ligand_hamiltonians(
    ion: Ion, field: NDArray[np.number], ligand: Ligand, scale: float = 0.8
) -> tuple[sparse.csr_matrix, sparse.csr_matrix]:
    """Return H of all configurations without and with the 2p hole."""
    n, core = ion.electrons, sparse.eye(fock.P_ORBITALS)
    hopping = ligand.hopping()
    first, last, hops, core_hops = [], [], [], []
    for h in range(reach(ion, ligand) + 1):
        filled = fock.D_ORBITALS - h
        split = fock.one_body(filled, np.kron(np.eye(2), Field(ligand.ten_dq).matrix()))
        pairs = 0.5 * h * (h - 1) * ligand.u_dd
        shell = _shell(ion, n + h, field, scale)
        first.append(_both(shell, split, h * ligand.delta + pairs))
        if h:
            hops.append(_transfer(n + h - 1, filled + 1, hopping))
        if n + h + 1 > fock.D_ORBITALS:
            continue
        upper = sparse.kron(core, _shell(ion, n + h + 1, field, scale)) + _core(
            ion, n + h + 1, scale
        )
        last.append(_both(upper, split, h * (ligand.delta + ligand.u_dd - ligand.u_pd) + pairs))
        if h:
            core_hops.append(sparse.kron(core, _transfer(n + h, filled + 1, hopping)))
    return _assemble(first, hops), _assemble(last, core_hops)


def reach(ion: Ion, ligand: Ligand) -> int:
    """Return the most ligand holes that are reckoned with: one for the large spaces up to 3d⁶."""
    if not 1 <= ligand.holes <= 2:
        raise ConfigError("the number of ligand holes must be 1 or 2", got=ligand.holes)
    return min(ligand.holes if ion.electrons > FEW else 1, fock.D_ORBITALS - ion.electrons)


def ligand_sticks(
    ion: Ion,
    field: NDArray[np.number],
    ligand: Ligand,
    *,
    scale: float = 0.8,
    temperature: float = 298.0,
) -> Sticks:
    """Return the lines with ligand holes; their total is 10 − n − ⟨h⟩, the 3d holes of the ground state."""
    initial, final = ligand_hamiltonians(ion, field, ligand, scale)
    operators: list[list[sparse.csr_matrix]] = [[], [], []]
    spins, tail = [], 0
    for h in range(reach(ion, ligand) + 1):
        ligands = sparse.eye(len(fock.determinants(fock.D_ORBITALS - h)))
        if ion.electrons + h + 1 > fock.D_ORBITALS:  # a full 3d shell absorbs nothing
            tail += len(fock.determinants(ion.electrons + h)) * ligands.shape[0]
            continue
        for made, operator in zip(operators, dipole(ion.electrons + h), strict=True):
            made.append(sparse.kron(operator, ligands))
        spins.append(sparse.kron(core_spin_of(ion.electrons + h), ligands))
    lifted = [sparse.csr_matrix(sparse.block_diag(blocks)) for blocks in operators]
    if tail:
        empty = sparse.csr_matrix((lifted[0].shape[0], tail))
        lifted = [sparse.csr_matrix(sparse.hstack([block, empty])) for block in lifted]
    return transitions(
        initial, final, lifted, sparse.csr_matrix(sparse.block_diag(spins)), temperature
    )


def ligand_hole_number(ion: Ion, field: NDArray[np.number], ligand: Ligand) -> float:
    """Return ⟨h⟩ of the ground level: how covalent the ion is."""
    initial, _ = ligand_hamiltonians(ion, field, ligand)
    sizes = [
        len(fock.determinants(ion.electrons + h)) * len(fock.determinants(fock.D_ORBITALS - h))
        for h in range(reach(ion, ligand) + 1)
    ]
    values, vectors = np.linalg.eigh(initial.toarray())
    ground = vectors[:, values < values[0] + 1e-4]
    share = (np.abs(ground) ** 2).mean(axis=1)
    return float(share @ np.repeat(np.arange(len(sizes)), sizes))
