"""Preview an edge with the surrogate, trained on the spot on a simulated set: `simulate --engine surrogate`.

In: a structure and the folder of a training set (spectra.npz, structures.extxyz.gz). Out: one estimate that
says it is a surrogate, with an error that grows with the distance to the set.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr
from ase import Atoms

from matterscope.core.errors import ConfigError
from matterscope.core.estimates import Estimate, Quantity
from matterscope.core.pictures import Panel, Picture, band, line
from matterscope.spectra.sets.trainingsets import load_set, read_structures
from matterscope.spectra.simulators.surrogate import Surrogate, describe, fit_surrogate

if TYPE_CHECKING:
    from matterscope.core.calls import Call, Input
    from matterscope.spectra.settings import SimulateSettings

FAR = 0.9
"""σ in units of the set's own spread from which a structure counts as unlike the set."""


def train_surrogate(folder: Path, element: str, call: Call) -> tuple[Surrogate, str]:
    """Return the surrogate of a training set and the set's sha256."""
    known = load_set(folder)
    if known.element != element:
        raise ConfigError(
            f"the training set holds {known.element} {known.edge}, not {element}", where=str(folder)
        )
    call.progress(1, 3, "describing sites")
    structures = read_structures(folder / "structures.extxyz.gz")
    with np.load(folder / "spectra.npz", allow_pickle=False) as stored:
        sites = stored["site"]
    described = np.array(
        [describe(structures[str(m)], int(s)) for m, s in zip(known.materials, sites, strict=True)]
    )
    low, high = float(known.energy[:, 0].max()), float(known.energy[:, -1].min())
    grid = np.arange(np.ceil(low), high, 0.5)
    mu = np.array([np.interp(grid, e, m) for e, m in zip(known.energy, known.mu, strict=True)])
    call.progress(2, 3, "fitting")
    return fit_surrogate(described, mu, grid), known.digest


def preview(
    given: Input, atoms: Atoms, sites: dict[int, int], settings: SimulateSettings, call: Call
) -> Estimate:
    """Return the site-averaged spectrum that the surrogate expects."""
    if not settings.training:
        raise ConfigError(
            "the surrogate is trained on the spot and needs a set", hint="--training FOLDER, e.g. cu_k_feff"
        )  # fmt: skip
    symbol = str(atoms.get_chemical_symbols()[next(iter(sites))])
    model, digest = train_surrogate(Path(settings.training), symbol, call)
    found, sigma = model.predict(np.array([describe(atoms, s) for s in sites]))
    weights = np.array(list(sites.values()), dtype=float)
    mu = np.average(found, axis=0, weights=weights)
    error = float(np.sqrt(np.average(sigma**2, weights=weights)))
    estimate = Estimate("spectra simulate", given.ref)
    axis = {"energy": ("energy", model.grid, {"units": "eV"})}
    for name, values in (("mu", mu), ("mu_sigma", np.full_like(mu, error))):
        estimate.arrays[name] = xr.DataArray(
            values, dims=("energy",), coords=axis, attrs={"units": "1"}
        )
    half = 0.5 * float(np.median(mu[-len(mu) // 5 :]))
    estimate.quantities["edge_position"] = Quantity(
        float(model.grid[int(np.argmax(mu >= half))]),
        "eV",
        reason="a surrogate of theory, whose absolute energies are off by several eV",
    )
    estimate.flag(
        "surrogate",
        "This spectrum was not simulated but interpolated between simulated ones.",
        "--engine feff10 computes it",
    )
    if error > FAR * model.spread:
        estimate.flag(
            "outside_training", "No site of the training set is like this one.", "--engine feff10"
        )
    estimate.provenance |= {
        "engine": "surrogate",
        "training_data": {"folder": Path(settings.training).name, "sha256": digest},
        "references": ["Laplacian-kernel regression on local descriptors; this project"],
    }
    panel = Panel(
        (band(model.grid, mu - error, mu + error, "±σ"), line(model.grid, mu, "surrogate")),
        "energy (eV)",
        "µ (edge step = 1)",
    )
    estimate.pictures.append(
        Picture("preview", "Surrogate preview", (panel,), "Interpolated, not simulated.")
    )
    return estimate
