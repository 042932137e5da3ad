"""The phonon sideband from first principles: Huang–Rhys factors of all modes and the lineshape.

In: relaxed ground and excited structures and the force constants of one of them. Out: partial and total
Huang–Rhys factors, Debye–Waller factor, ΔQ, ΔR, the spectral function and the emission lineshape.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import xarray as xr
from ase import Atoms
from numpy.typing import NDArray

from matterscope.core.calls import Call, Input
from matterscope.core.errors import ReadError, SchemaError
from matterscope.core.estimates import Estimate, InputRef, Quantity
from matterscope.core.pictures import Panel, Picture, bars, line, mark
from matterscope.emitters.lines.zero_phonon import KT_PER_K
from matterscope.io.force_constants import is_force_constants, read_force_constants
from matterscope.io.limits import unpacked_text
from matterscope.io.structures import read_structure

if TYPE_CHECKING:
    from matterscope.emitters.settings import LineshapeSettings

Floats = NDArray[np.float64]
HBAR_OMEGA = 0.06465415
"""ħω in eV of an eigenvalue of 1 eV/(Å² amu)."""
HBAR_SQUARED = 4.180159e-3
"""ħ² in eV amu Å²."""
ACOUSTIC = 1e-3
"""Modes below this energy (eV) are translations left over by the acoustic sum rule."""


@dataclass(frozen=True)
class Modes:
    """Phonons at Γ: energies (eV, negative for imaginary), unit vectors of shape (modes, n, 3)."""

    energy: Floats
    vectors: Floats


@dataclass(frozen=True)
class Coupling:
    """Huang–Rhys coupling: per mode S_k and q_k (amu^½ Å), and the whole displacement."""

    modes: Modes
    kept: NDArray[np.bool_]
    q: Floats
    factors: Floats
    delta_q: float
    delta_r: float


def phonons(force_constants: Floats, masses: Floats) -> Modes:
    """Return the modes of D = Φ/√(m m'), symmetrised.

    Parameters
    ----------
    force_constants : array of shape (n, n, 3, 3), eV/Å²
    masses : array of shape (n,), amu
    """
    n = masses.size
    matrix = force_constants / np.sqrt(masses[:, None] * masses[None])[:, :, None, None]
    matrix = matrix.transpose(0, 2, 1, 3).reshape(3 * n, 3 * n)
    values, vectors = np.linalg.eigh(0.5 * (matrix + matrix.T))
    return Modes(
        np.sign(values) * np.sqrt(np.abs(values)) * HBAR_OMEGA, vectors.T.reshape(-1, n, 3)
    )


def displacement(ground: Atoms, excited: Atoms) -> Floats:
    """Return R_excited − R_ground by minimum image, shape (n, 3), Å; refuse other species or cells."""
    if ground.get_chemical_symbols() != excited.get_chemical_symbols():
        raise SchemaError(
            "the two structures hold other atoms, or in another order",
            got=excited.get_chemical_formula(),
            expected=ground.get_chemical_formula(),
            hint="write both from one calculation",
        )
    if not np.allclose(ground.cell.array, excited.cell.array, atol=1e-3):
        raise SchemaError(
            "the two structures have different cells",
            got=excited.cell.lengths(),
            expected=ground.cell.lengths(),
        )
    difference = excited.get_scaled_positions() - ground.get_scaled_positions()
    return np.asarray((difference - np.rint(difference)) @ ground.cell.array)


def couple(modes: Modes, masses: Floats, delta: Floats) -> Coupling:
    """Return partial Huang–Rhys factors S_k = ω_k q_k²/2ħ with q_k = Σ √m e·ΔR.

    References
    ----------
    Alkauskas et al., New J. Phys. 16, 073026 (2014), eqs. 5–7.
    """
    q = np.einsum("kai,ai->k", modes.vectors, np.sqrt(masses)[:, None] * delta)
    kept = modes.energy > ACOUSTIC
    factors = np.where(kept, modes.energy * q**2 / (2 * HBAR_SQUARED), 0.0)
    return Coupling(
        modes,
        kept,
        q,
        factors,
        float(np.sqrt(np.sum(masses[:, None] * delta**2))),
        float(np.sqrt(np.sum(delta**2))),
    )


def spectral_function(coupling: Coupling, energy: Floats, sigma: float) -> Floats:
    """Return S(ħω) = Σ S_k·Gaussian(ħω − ħω_k), 1/eV."""
    modes = coupling.modes.energy[coupling.kept]
    u = (energy[:, None] - modes) / sigma
    return np.asarray(
        (np.exp(-0.5 * u * u) / (sigma * np.sqrt(2 * np.pi))) @ coupling.factors[coupling.kept]
    )


def lineshape(
    energies: Floats,
    factors: Floats,
    temperature: float,
    broadening: float,
    span: float = 1.6,
    points: int = 1 << 15,
) -> tuple[Floats, Floats]:
    """Return A(ε) over ε = E_ZPL − E (eV): FFT of exp(S(t) − S(0))·e^(−γ|t|).

    Parameters
    ----------
    energies, factors : arrays of shape (modes,), eV and 1
    temperature : float, K
    broadening : float, eV
        Half width γ of the zero-phonon line.
    span : float, eV
        ε runs over ±span.

    Returns
    -------
    (ε of shape (points,), A of shape (points,), 1/eV); A sums to one.
    """
    step = 2 * span / points
    # time in ħ/eV
    t = 2 * np.pi * np.fft.fftfreq(points, step)
    occupied = (
        1 / np.expm1(energies / (KT_PER_K * temperature))
        if temperature > 0
        else np.zeros(energies.size)
    )
    # modes are gathered on the grid first: S(t) is then one transform instead of a sum over modes
    index = energies / step
    low = np.floor(index).astype(int)
    share = index - low
    density = np.zeros(points)
    for sign, weight in ((1, factors * (occupied + 1)), (-1, factors * occupied)):
        np.add.at(density, (sign * low) % points, weight * (1 - share))
        np.add.at(density, (sign * (low + 1)) % points, weight * share)
    phase = np.fft.fft(density)
    total = float(density.sum())
    generating = np.exp(phase - total) * np.exp(-broadening * np.abs(t))
    shape = np.fft.ifft(generating).real / step
    order = np.argsort(np.fft.fftfreq(points, 1 / points))
    offset = np.asarray(np.fft.fftfreq(points, 1 / points) * step, dtype=np.float64)
    return offset[order], shape[order]


def analyse_lineshape(
    inputs: list[Input], settings: LineshapeSettings, call: Call
) -> list[Estimate]:
    """Answer the Huang–Rhys coupling of ground structure, excited structure and force constants."""
    ground, excited, constants = _sort_inputs(inputs)
    if len(ground) != constants.shape[0]:
        raise SchemaError(
            "the force constants belong to another number of atoms",
            got=constants.shape[0],
            expected=len(ground),
        )
    masses = ground.get_masses()
    delta = displacement(ground, excited)
    modes = phonons(constants, masses)
    coupling = couple(modes, masses, delta)
    source = inputs[0]
    estimate = Estimate(
        "emitters lineshape", InputRef(source.source, ground.get_chemical_formula(), source.sha256)
    )
    _answer(estimate, coupling, settings)
    _mode_flags(estimate, coupling, constants)
    _spectra(estimate, coupling, settings)
    estimate.provenance = {
        "references": ["Alkauskas et al., New J. Phys. 16, 073026 (2014)"],
        "model": "Huang–Rhys, equal modes, no mixing",
        "settings": settings.model_dump(),
    }
    call.progress(1, 1, "lineshape")
    return [estimate]


def _sort_inputs(inputs: list[Input]) -> tuple[Atoms, Atoms, Floats]:
    """Return ground, excited and force constants, told apart by content; the first structure is the ground state."""
    structures: list[Atoms] = []
    constants = None
    for given in inputs:
        if given.path is None:
            raise ReadError("a lineshape needs files", where=given.source)
        text = unpacked_text(given.path)
        if is_force_constants(text):
            constants = read_force_constants(given.path, text)
        else:
            structures.append(read_structure(given.path, otherwise="vasp"))
    if constants is None or len(structures) != 2:
        raise SchemaError(
            "a lineshape needs the ground structure, the excited structure and FORCE_CONSTANTS, in this order",
            got=f"{len(structures)} structures and {'no ' if constants is None else ''}force constants",
        )
    return structures[0], structures[1], constants


def _answer(estimate: Estimate, coupling: Coupling, settings: LineshapeSettings) -> None:
    total = float(coupling.factors.sum())
    why = "a calculated number: its error is that of the structures and force constants"
    estimate.quantities["huang_rhys"] = Quantity(total, "1", reason=why)
    energy = coupling.modes.energy[coupling.kept]
    factors = coupling.factors[coupling.kept]
    warm = (
        1 / np.tanh(energy / (2 * KT_PER_K * settings.temperature))
        if settings.temperature > 0
        else 1.0
    )
    estimate.quantities["debye_waller"] = Quantity(
        float(np.exp(-np.sum(factors * warm))), "1", reason=why
    )
    estimate.quantities["debye_waller_cold"] = Quantity(float(np.exp(-total)), "1", reason=why)
    estimate.quantities["delta_q"] = Quantity(coupling.delta_q, "1", reason=f"{why}; amu^½ Å")
    estimate.quantities["delta_r"] = Quantity(coupling.delta_r, "Å", reason=why)
    estimate.quantities["relaxation_energy"] = Quantity(
        1e3 * float(factors @ energy), "meV", reason=why
    )
    order = np.argsort(-coupling.factors)[:20]
    squares = np.sum(coupling.modes.vectors[order] ** 2, axis=2)
    table = pd.DataFrame(
        {
            "mode": order,
            "energy": 1e3 * coupling.modes.energy[order],
            "huang_rhys": coupling.factors[order],
            "q": coupling.q[order],
            "atoms": 1 / np.sum(squares**2, axis=1),
        }
    )
    table.attrs["units"] = {
        "mode": "1",
        "energy": "meV",
        "huang_rhys": "1",
        "q": "amu^½ Å",
        "atoms": "1",
    }
    estimate.tables["modes"] = table


def _mode_flags(estimate: Estimate, coupling: Coupling, constants: Floats) -> None:
    energy = coupling.modes.energy
    acoustic = np.argsort(np.abs(energy))[:3]
    imaginary = [1e3 * energy[k] for k in np.flatnonzero(energy < -ACOUSTIC) if k not in acoustic]
    broken = float(np.abs(constants.sum(axis=1)).max())
    estimate.diagnostics |= {
        "acoustic_modes_meV": 1e3 * energy[acoustic],
        "dropped_modes": int((~coupling.kept).sum()),
        "sum_rule_eV_per_A2": broken,
        "acoustic_q": coupling.q[acoustic],
    }
    if broken > 0.01:
        estimate.flag(
            "sum-rule",
            f"the force constants break the acoustic sum rule by {broken:.2g} eV/Å²; {int((~coupling.kept).sum())} modes below 1 meV are left out",
            "a finer calculation of the forces",
        )
    if imaginary:
        estimate.flag(
            "imaginary-modes",
            f"{len(imaginary)} imaginary modes ({', '.join(f'{v:.1f} meV' for v in imaginary[:5])}) are left out",
            "relax the structure further",
        )


def _spectra(estimate: Estimate, coupling: Coupling, settings: LineshapeSettings) -> None:
    energy, factors = coupling.modes.energy[coupling.kept], coupling.factors[coupling.kept]
    axis, shape = lineshape(energy, factors, settings.temperature, 1e-3 * settings.broadening)
    step = axis[1] - axis[0]
    estimate.diagnostics["norm"] = float(shape.sum() * step)
    phonon = np.linspace(0, 1.1 * float(energy.max()), 500)
    density = spectral_function(coupling, phonon, 1e-3 * settings.phonon_broadening)
    estimate.arrays["spectral_function"] = xr.DataArray(
        density,
        dims="phonon",
        coords={"phonon": ("phonon", phonon, {"units": "eV"})},
        attrs={"units": "1"},
    )
    part = (axis > -0.15) & (axis < min(0.8, settings.zpl - 0.05))
    photon = settings.zpl - axis[part][::-1]
    emission = np.maximum(shape[part][::-1], 0) * photon**3
    emission /= emission.sum() * step
    keep = slice(None, None, max(1, photon.size // 3000))
    estimate.arrays["emission"] = xr.DataArray(
        emission[keep],
        dims="energy",
        coords={"energy": ("energy", photon[keep], {"units": "eV"})},
        attrs={"units": "1"},
    )
    top = estimate.tables["modes"].head(8)
    estimate.pictures += [
        Picture(
            "lineshape",
            f"Emission with a Huang–Rhys factor of {float(factors.sum()):.2f}",
            [
                Panel(
                    [
                        line(photon[keep], emission[keep], "E³·A(E_ZPL − E)"),
                        mark(x=[settings.zpl], label="zero-phonon line"),
                    ],
                    "photon energy (eV)",
                    "intensity (1/eV)",
                    y_range=(0, 3.5 * float(np.quantile(emission, 0.985)) or 1),
                )
            ],
            caption=f"Calculated at {settings.temperature:g} K; the zero-phonon line is cut at the top.",
        ),
        Picture(
            "coupling",
            "Which phonons couple",
            [
                Panel(
                    [
                        line(1e3 * phonon, 1e-3 * density, "S(ħω)"),
                        bars(
                            top["energy"],
                            top["huang_rhys"]
                            * float(density.max())
                            * 1e-3
                            / max(float(top["huang_rhys"].max()), 1e-12)
                            * 0.9,
                            "strongest modes",
                            "series1",
                        ),
                    ],
                    "phonon energy (meV)",
                    "S(ħω) (1/meV)",
                )
            ],
            caption="Spectral function of electron–phonon coupling; bars stand at the strongest modes, scaled to the curve.",
        ),
    ]
