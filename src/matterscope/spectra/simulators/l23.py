"""The multiplet engine behind the simulator contract: L2,3 of 3d metals on an absolute grid.

In: a structure and a site, or an ion with its field. Out: µ(E) in strength per eV (area: 10 − n).
The L3 maximum stands at the tabulated onset plus 1.0 eV per charge above 2 (inferred from oxides).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from ase import Atoms
from numpy.typing import NDArray

from matterscope.core.errors import ConfigError
from matterscope.core.files import canonical_json
from matterscope.spectra.simulators.charge_transfer import Ligand, ligand_sticks
from matterscope.spectra.simulators.contract import Task, as_measurement, check_site
from matterscope.spectra.simulators.ligandfield import site_parameters
from matterscope.spectra.simulators.multiplet import (
    IONS,
    Field,
    Ion,
    Sticks,
    lines_to_spectrum,
    sticks,
)

CHEMICAL_SHIFT = 1.0
"""eV per unit of charge; Ni²⁺ to Ni⁴⁺ and Mn³⁺ to Mn⁴⁺ L3 maxima lie 1–2 eV apart in oxides."""
STEP = 0.1
VERSION = "matterscope multiplet 1"


def edge_grid(ion: Ion) -> NDArray[np.float64]:
    """Return the energies (eV) of an element's L2,3 region, the same for all its ions."""
    stop = ion.onset + 1.5 * ion.zeta_core + 14.0
    return np.round(np.arange(ion.onset - 7.0, stop, STEP), 3)


def placed(lines: Sticks, ion: Ion) -> float:
    """Return the shift (eV) that brings the strongest L3 line group to its tabulated place."""
    strength = lines.isotropic * lines.core
    fine = np.arange(lines.energy.min() - 1.0, lines.energy.max() + 1.0, 0.02)
    near = np.abs(fine[:, None] - np.unique(np.round(lines.energy, 2))[None])
    weight = np.bincount(
        np.unique(np.round(lines.energy, 2), return_inverse=True)[1].ravel(), weights=strength
    )
    peak = fine[int(np.argmax(np.exp(-0.5 * (near / 0.3) ** 2) @ weight))]
    return float(ion.onset + CHEMICAL_SHIFT * (ion.charge - 2) - peak)


@dataclass(frozen=True)
class Multiplet:
    """Multiplets, ionic unless `ligand` is given; the field from the structure unless `ion` is given.

    Parameters
    ----------
    scale : float
        Of the Slater integrals (0.8).
    temperature : float, K
    instrument : float, eV
        Standard deviation of the Gaussian.
    ion : str
        ``"Ni2+"``: overrides the valence found in the structure.
    field : Field, optional
        Overrides the field found in the structure.
    ligand : Ligand, optional
        Adds configurations with ligand holes.
    """

    scale: float = 0.8
    temperature: float = 298.0
    instrument: float = 0.2
    ion: str = ""
    field: Field | None = None
    ligand: Ligand | None = None

    @property
    def name(self) -> str:
        """Return the engine's name."""
        return "multiplet"

    @property
    def version(self) -> str:
        """Return the version that stands in hashes."""
        return VERSION

    def supports(self, element: str, edge: str) -> str | None:
        """Return None or the reason."""
        known = sorted({ion.element for ion in IONS.values()})
        if edge != "L23":
            return "it knows L2,3 only (ask for L23)"
        return None if element in known else "it has parameters for " + ", ".join(known)

    def task(self, atoms: Atoms, site: int, edge: str) -> Task:
        """Return the task of a site: ion and field are the payload."""
        element = check_site(self, atoms, site, edge)
        moments = atoms.arrays.get("moments")
        moment = float("nan") if moments is None else float(moments[site])
        found = site_parameters(atoms, site, moment)
        notes = {"site": site, "oxygens": found.oxygens, "bond_valence": found.bond_valence}
        return self._task(element, self.ion or found.ion, self.field or found.field, notes)

    def ion_task(self) -> Task:
        """Return the task of `ion` in `field`, without a structure."""
        if self.ion not in IONS:
            raise ConfigError("unknown ion", got=self.ion or "none", expected=", ".join(IONS))
        return self._task(IONS[self.ion].element, self.ion, self.field or Field(), {})

    def _task(self, element: str, ion: str, field: Field, notes: dict[str, Any]) -> Task:
        if ion not in IONS or IONS[ion].element != element:
            own = [n for n, i in IONS.items() if i.element == element]
            raise ConfigError(f"'{ion}' is no ion of {element}", expected=", ".join(own))
        given: dict[str, Any] = {
            "ten_dq": field.ten_dq,
            "ds": field.ds,
            "dt": field.dt,
            "scale": self.scale,
        }
        settings: dict[str, Any] = {
            "ion": ion,
            "temperature": self.temperature,
            "instrument": self.instrument,
        }
        if self.ligand is not None:
            settings |= {"ligand": vars(self.ligand)}
        payload = canonical_json(given | settings)
        return Task(self.name, self.version, element, "L23", payload, notes | given | {"ion": ion})

    def expect(self, task: Task) -> xr.Dataset:
        """Return the spectrum of a task."""
        given = json.loads(task.payload)
        ion = IONS[given["ion"]]
        field = Field(given["ten_dq"], given["ds"], given["dt"])
        options = {"scale": given["scale"], "temperature": given["temperature"]}
        if "ligand" in given:
            lines = ligand_sticks(ion, field.matrix(), Ligand(**given["ligand"]), **options)
        else:
            lines = sticks(ion, field.matrix(), **options)
        energy = edge_grid(ion)
        mu = lines_to_spectrum(
            energy - placed(lines, ion), lines, ion, instrument=given["instrument"]
        )
        return as_measurement(
            task,
            energy,
            mu,
            normalisation=1.0,
            ground_degeneracy=lines.degeneracy,
            first_excited=float(lines.levels[lines.levels > 1e-4][:1].sum()),
            warnings="" if "ligand" in given else "ionic model: no ligand holes",
        )
