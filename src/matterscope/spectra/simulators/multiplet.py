"""L2,3 edges of 3d metals by full atomic multiplets in a crystal field: 2p⁶3dⁿ → 2p⁵3dⁿ⁺¹.

In: an ion, a field (10Dq, Ds, Dt or any Hermitian 5×5), scalings, temperature. Out: levels, sticks and
the broadened spectrum. H = Σ ζ l·s + H_CF + ½ Σ ⟨ab|1/r|cd⟩ a†b†dc by dense diagonalisation of the
blocks that the Hamiltonian does not couple. Ionic; ligand holes are added in `charge_transfer`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from matterscope.core.errors import ConfigError
from matterscope.spectra.simulators import fock

BOLTZMANN = 8.617333262e-5
"""eV/K (CODATA 2018, exact)."""


@dataclass(frozen=True)
class Ion:
    """Hartree–Fock parameters of an ion, eV (Cowan; tabulated by Haverkort, cond-mat/0505214)."""

    element: str
    charge: int
    electrons: int
    f2_initial: float
    f4_initial: float
    zeta_initial: float
    f2_final: float
    f4_final: float
    f2_pd: float
    g1_pd: float
    g3_pd: float
    zeta_final: float
    zeta_core: float
    onset: float
    """L3 onset, eV (X-ray tables; EELS onsets lie within 2 eV)."""
    half_widths: tuple[float, float]
    """Core-hole half widths at half maximum of L3 and L2, eV."""


def _ion(element: str, charge: int, n: int, *values: float) -> Ion:
    core = {"Mn": 6.845, "Fe": 8.20, "Co": 9.746, "Ni": 11.506, "Cu": 13.498}[element]
    onset = {"Mn": 638.7, "Fe": 706.8, "Co": 778.1, "Ni": 852.7, "Cu": 932.7}[element]
    width = {
        "Mn": (0.21, 0.75), "Fe": (0.23, 0.77), "Co": (0.25, 0.755),
        "Ni": (0.275, 0.70), "Cu": (0.30, 0.61),
    }[element]  # fmt: skip
    f2, f4, zeta, f2f, f4f, f2p, g1, g3, zeta_final = values
    return Ion(
        element, charge, n, f2, f4, zeta, f2f, f4f, f2p, g1, g3, zeta_final, core, onset, width
    )


# F2dd, F4dd, ζ3d of 3dⁿ; F2dd, F4dd of 2p⁵3dⁿ⁺¹; F2pd, G1pd, G3pd; ζ3d of 2p⁵3dⁿ⁺¹
IONS: dict[str, Ion] = {
    "Mn4+": _ion("Mn", 4, 3, 12.416, 7.820, 0.052, 13.177, 8.299, 7.658, 5.776, 3.288, 0.066),
    "Mn3+": _ion("Mn", 3, 4, 11.415, 7.148, 0.046, 12.210, 7.649, 6.988, 5.179, 2.945, 0.059),
    "Mn2+": _ion("Mn", 2, 5, 10.316, 6.414, 0.040, 11.155, 6.943, 6.321, 4.606, 2.618, 0.053),
    "Fe3+": _ion("Fe", 3, 5, 12.043, 7.535, 0.059, 12.818, 8.023, 7.446, 5.566, 3.166, 0.074),
    "Fe2+": _ion("Fe", 2, 6, 10.966, 6.815, 0.052, 11.779, 7.327, 6.793, 5.004, 2.844, 0.067),
    "Co4+": _ion("Co", 4, 5, 13.639, 8.572, 0.082, 14.373, 9.034, 8.545, 6.529, 3.717, 0.101),
    "Co3+": _ion("Co", 3, 6, 12.663, 7.917, 0.074, 13.422, 8.395, 7.900, 5.951, 3.386, 0.092),
    "Co2+": _ion("Co", 2, 7, 11.605, 7.209, 0.066, 12.396, 7.708, 7.260, 5.397, 3.069, 0.083),
    # EDRIXS prints F4 = 8.399 for the final state of Ni d⁶; F4/F2 ≈ 0.627 elsewhere gives 9.39
    "Ni4+": _ion("Ni", 4, 6, 14.245, 8.944, 0.101, 14.966, 9.390, 8.985, 6.902, 3.930, 0.122),
    "Ni3+": _ion("Ni", 3, 7, 13.277, 8.295, 0.091, 14.022, 8.764, 8.350, 6.332, 3.603, 0.112),
    "Ni2+": _ion("Ni", 2, 8, 12.234, 7.598, 0.083, 0.0, 0.0, 7.721, 5.787, 3.291, 0.102),
    "Cu2+": _ion("Cu", 2, 9, 0.0, 0.0, 0.102, 0.0, 0.0, 8.178, 6.170, 3.511, 0.124),
}
"""A full d shell (final state of d⁹) and a single d hole have no F(dd)."""


@dataclass(frozen=True)
class Field:
    """Crystal field of the d shell, eV.

    O_h: t2g −4Dq, eg +6Dq. D4h adds Ds, Dt: b1g(x²−y²) 6Dq+2Ds−Dt, a1g(z²) 6Dq−2Ds−6Dt,
    b2g(xy) −4Dq+2Ds−Dt, eg(xz, yz) −4Dq−Ds+4Dt.
    """

    ten_dq: float = 1.0
    ds: float = 0.0
    dt: float = 0.0

    def matrix(self) -> NDArray[np.float64]:
        """Return ⟨m|H_CF|m'⟩, shape (5, 5), m = −2 … 2."""
        dq, ds, dt = self.ten_dq / 10, self.ds, self.dt
        x2y2, xy = 6 * dq + 2 * ds - dt, -4 * dq + 2 * ds - dt
        z2, xz = 6 * dq - 2 * ds - 6 * dt, -4 * dq - ds + 4 * dt
        field = np.diag([0.5 * (x2y2 + xy), xz, z2, xz, 0.5 * (x2y2 + xy)])
        field[0, 4] = field[4, 0] = 0.5 * (x2y2 - xy)
        return field


@dataclass(frozen=True)
class Sticks:
    """Levels and lines of one ion.

    Parameters
    ----------
    energy : array of shape (n,), eV
        Line positions E_f − E_i, ascending; zero is set by the atomic average, not by the edge.
    strength : array of shape (3, n)
        Σ over thermal initial states of |⟨f|C¹_q|i⟩|²·5/2, q = −1, 0, 1; the sum is 10 − n.
    core : array of shape (n,)
        Share of j = 3/2 in the 2p hole of each line's final state: 1 is pure L3, 0 pure L2.
    levels : array, eV
        Lowest levels of the initial state above the ground state.
    degeneracy : int
        Of the ground level (within 1 meV/10).
    """

    energy: NDArray[np.float64]
    strength: NDArray[np.float64]
    core: NDArray[np.float64]
    levels: NDArray[np.float64]
    degeneracy: int

    @property
    def isotropic(self) -> NDArray[np.float64]:
        """Return the strength summed over the three polarisations."""
        return np.asarray(self.strength.sum(axis=0))


def _diagonalise(matrix: sparse.csr_matrix) -> tuple[NDArray[np.float64], list[Any]]:
    """Return all eigenvalues, and per block (indices, eigenvalues, eigenvectors)."""
    dense = matrix.tocsr()
    parts = []
    for index in fock.blocks(matrix):
        values, vectors = np.linalg.eigh(dense[index][:, index].toarray())
        parts.append((index, values, vectors))
    return np.concatenate([v for _, v, _ in parts]), parts


def hamiltonians(
    ion: Ion, field: NDArray[np.number], scale: float = 0.8, zeta_scale: float = 1.0
) -> tuple[sparse.csr_matrix, sparse.csr_matrix]:
    """Return H of 3dⁿ and of 2p⁵3dⁿ⁺¹ (hole index first) for a 5×5 crystal field in eV.

    `scale` multiplies F and G (0.8: configuration interaction), `zeta_scale` the 3d spin–orbit constant.
    """
    n = ion.electrons
    spin, field10 = fock.spin_orbit(2), np.kron(np.eye(2), field)
    initial = fock.one_body(n, field10 + zeta_scale * ion.zeta_initial * spin)
    initial = initial + scale * fock.slater(n, ion.f2_initial, ion.f4_initial)
    shell = fock.one_body(n + 1, field10 + zeta_scale * ion.zeta_final * spin)
    shell = shell + scale * fock.slater(n + 1, ion.f2_final, ion.f4_final)
    final = sparse.kron(sparse.eye(fock.P_ORBITALS), shell) + sparse.kron(
        ion.zeta_core * fock.hole_operator(fock.spin_orbit(1)), sparse.eye(shell.shape[0])
    )
    final = final + scale * (
        ion.f2_pd * fock.hole_direct(n + 1, 2)
        + ion.g1_pd * fock.hole_exchange(n + 1, 1)
        + ion.g3_pd * fock.hole_exchange(n + 1, 3)
    )
    return sparse.csr_matrix(initial), sparse.csr_matrix(final)


@lru_cache(maxsize=16)
def dipole(electrons: int) -> tuple[sparse.csr_matrix, ...]:
    """Return C¹_q from 3dⁿ to 2p⁵3dⁿ⁺¹ for q = −1, 0, 1 (times √(5/2): the total is 10 − n)."""
    create = fock.creation(electrons)
    made = []
    for q in (-1, 0, 1):
        block = fock.tensor(1, q, 2, 1) * np.sqrt(2.5)
        rows = [
            sum((float(block[j, i]) * create[j] for j in range(10) if block[j, i]), 0 * create[0])
            for i in range(fock.P_ORBITALS)
        ]
        made.append(sparse.csr_matrix(sparse.vstack(rows)))
    return tuple(made)


def sticks(
    ion: Ion,
    field: NDArray[np.number],
    *,
    scale: float = 0.8,
    zeta_scale: float = 1.0,
    temperature: float = 298.0,
) -> Sticks:
    """Return the lines of an ion: I = Z⁻¹ Σ_i e^{−E_i/kT} Σ_f |⟨f|C¹_q|i⟩|² at E_f − E_i."""
    initial, final = hamiltonians(ion, field, scale, zeta_scale)
    return transitions(
        initial, final, dipole(ion.electrons), core_spin_of(ion.electrons), temperature
    )


def transitions(
    initial: sparse.csr_matrix,
    final: sparse.csr_matrix,
    operators: Sequence[sparse.csr_matrix],
    core_spin: sparse.csr_matrix,
    temperature: float,
) -> Sticks:
    """Return the lines between two Hamiltonians; `core_spin` projects the hole on j = 3/2."""
    if temperature < 0:
        raise ConfigError("temperature must not be negative", got=temperature)
    energies, parts = _diagonalise(initial)
    ground, thermal = float(energies.min()), max(BOLTZMANN * temperature, 1e-7)
    states = [
        (float(value), index, vectors[:, k])
        for index, values, vectors in parts
        for k, value in enumerate(values)
        if value - ground < max(12 * thermal, 1e-6)
    ]
    weight = np.exp(-(np.array([s[0] for s in states]) - ground) / thermal)
    weight /= weight.sum()
    start = np.zeros((initial.shape[0], len(states)), dtype=states[0][2].dtype)
    for k, (_, index, vector) in enumerate(states):
        start[index, k] = vector
    lifted = [operator @ start for operator in operators]
    energy, strength, core = [], [], []
    for index, values, vectors in _diagonalise(final)[1]:
        amplitude = np.array([np.abs(vectors.conj().T @ t[index]) ** 2 for t in lifted]) * weight
        inner = core_spin[index][:, index]
        share = np.einsum("fk,fk->k", vectors.conj(), inner @ vectors).real
        for k, (level, _, _) in enumerate(states):
            seen = amplitude[:, :, k].sum(axis=0) > 1e-9
            energy.append(values[seen] - level)
            strength.append(amplitude[:, seen, k])
            core.append(share[seen])
    order = np.argsort(np.concatenate(energy), kind="stable")
    levels = np.sort(energies) - ground
    return Sticks(
        np.concatenate(energy)[order],
        np.concatenate(strength, axis=1)[:, order],
        np.concatenate(core)[order],
        levels,
        int(np.sum(levels < 1e-4)),
    )


@lru_cache(maxsize=16)
def core_spin_of(electrons: int) -> sparse.csr_matrix:
    """Return the projector on j = 3/2 of the 2p hole: l·s of the hole is −½ there and 1 for j = ½."""
    own = (np.eye(fock.P_ORBITALS) - fock.hole_operator(fock.spin_orbit(1))) / 1.5
    size = len(fock.determinants(electrons + 1))
    return sparse.csr_matrix(sparse.kron(own, sparse.eye(size)))


def lines_to_spectrum(
    energy: NDArray[np.float64],
    lines: Sticks,
    ion: Ion,
    *,
    half_widths: tuple[float, float] | None = None,
    instrument: float = 0.0,
) -> NDArray[np.float64]:
    """Return Σ lines broadened by Lorentzians (L3 and L2 apart) and a Gaussian, in strength per eV.

    Parameters
    ----------
    energy : array of shape (n,), eV
        On the scale of `lines.energy`.
    half_widths : (L3, L2), eV
        Half widths at half maximum; the ion's own when None. A line of mixed core spin gets the
        mean, weighted by its share of either.
    instrument : float, eV
        Standard deviation of the Gaussian; the two make a Voigt profile.
    """
    from scipy.special import voigt_profile

    first, second = half_widths or ion.half_widths
    strength = lines.isotropic
    # lines closer than 1 meV that belong to the same edge carry one profile
    keys = np.stack([np.round(lines.energy, 3), np.round(lines.core, 1)])
    places, which = np.unique(keys, axis=1, return_inverse=True)
    weight = np.bincount(which.ravel(), weights=strength)
    width = second + (first - second) * np.clip(places[1], 0.0, 1.0)
    profile = voigt_profile(energy[:, None] - places[0][None], instrument, width[None])
    return np.asarray(profile @ weight)
