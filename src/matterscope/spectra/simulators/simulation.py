"""Simulate an edge from a structure: every absorber, the average on absolute energies, the picture.

In: a structure file (or an ion with its field), an edge, an engine. Out: one estimate with µ(E), the
sites' spectra, and an HDF5 file that reads back as a measurement.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from ase import Atoms
from ase.data import atomic_numbers
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline

from matterscope.core.calls import Call, Input
from matterscope.core.errors import ConfigError, ReadError
from matterscope.core.estimates import Estimate, InputRef, Quantity
from matterscope.core.files import sha256_of
from matterscope.core.pictures import Panel, Picture, line, mark
from matterscope.core.schema import measurement
from matterscope.io.measurement import write
from matterscope.io.structures import read_structure
from matterscope.physics.structures import first_shell, site_classes
from matterscope.spectra.settings import SimulateSettings
from matterscope.spectra.simulators.broadening import gaussian_broaden
from matterscope.spectra.simulators.charge_transfer import ligand_of
from matterscope.spectra.simulators.contract import OWN, Simulator, Task, as_measurement
from matterscope.spectra.simulators.feff import NOTICE, Feff
from matterscope.spectra.simulators.l23 import Multiplet
from matterscope.spectra.simulators.ligandfield import REFERENCES
from matterscope.spectra.simulators.multiplet import Field
from matterscope.spectra.simulators.previews import preview

ABSOLUTE = "absolute energies of theory are off by up to 8 eV; shapes and differences are meant"
PLACED = "placed by the table of edges (L3 maximum, 1 eV later per charge above 2+), not computed; shapes are meant"
FINE = 0.2
"""eV; step of an average over sites whose own axes are coarser."""
REFERENCES_FEFF = "J. J. Kas, F. D. Vila, C. D. Pemmaraju, T. S. Tan, J. J. Rehr, J. Synchrotron Rad. 28, 1801 (2021) (FEFF10)"
REFERENCES_MULTIPLET = "F. de Groot and A. Kotani, Core Level Spectroscopy of Solids (2008); M. W. Haverkort, cond-mat/0505214 (Slater integrals)"


def engine_for(settings: SimulateSettings) -> Feff | Multiplet:
    """Return the engine that the settings name."""
    if settings.engine == "multiplet" or (settings.engine == "auto" and _shell(settings) == "L23"):
        field = None
        if settings.ten_dq is not None:
            field = Field(settings.ten_dq, settings.ds, settings.dt)
        elif settings.ion in REFERENCES and not settings.edge:
            field = Field(REFERENCES[settings.ion][0], settings.ds, settings.dt)
        return Multiplet(
            scale=settings.slater_scale,
            temperature=settings.temperature,
            instrument=settings.instrument,
            ion=settings.ion,
            field=field,
            ligand=ligand_of(settings.ligand_holes),
        )
    return Feff(
        quality=settings.quality,
        radius=settings.radius,
        extra_width=settings.extra_width,
        disorder=settings.disorder,
        scf_radius=settings.scf_radius,
        k_max=settings.k_max,
        executable=(settings.executable or "feff") if settings.engine == "feff" else "",
        time_limit=settings.site_limit,
    )


def _shell(settings: SimulateSettings) -> str:
    return settings.edge.partition(":")[2] or ("L23" if settings.ion else "K")


def absorber(atoms: Atoms, edge: str) -> tuple[str, str]:
    """Return element and edge of ``Ni:K``; without an element the heaviest one present is taken."""
    element, _, shell = edge.rpartition(":") if ":" in edge else ("", "", edge)
    present = set(atoms.get_chemical_symbols())
    if not element:
        element = max(present, key=lambda s: atomic_numbers[s])
    if element not in present:
        raise ConfigError(
            f"there is no {element} in the structure", got=edge, expected=", ".join(sorted(present))
        )
    return element, shell or "K"


def chosen_sites(atoms: Atoms, element: str, which: str) -> dict[int, int]:
    """Return site → number of sites it stands for: ``all``, ``unique`` or a 0-based number."""
    if which == "unique":
        return {f: len(m) for f, m in site_classes(atoms, atomic_numbers[element]).items()}
    sites = [int(i) for i in np.flatnonzero(atoms.numbers == atomic_numbers[element])]
    if which == "all":
        return dict.fromkeys(sites, 1)
    if not which.isdigit() or int(which) not in sites:
        raise ConfigError(
            f"site is no {element} of the structure", got=which, expected="all, unique, or one of "
            + ", ".join(map(str, sites[:20])),
        )  # fmt: skip
    return {int(which): 1}


ENGINES: dict[str, type[Feff] | type[Multiplet]] = {"feff": Feff, "multiplet": Multiplet}


def absorber_unit(item: dict[str, Any], rng: np.random.Generator) -> dict[str, Any]:
    """Compute one absorber; deterministic, nothing is drawn from `rng`."""
    settings = dict(item["settings"])
    if settings.get("field"):
        settings["field"] = Field(**settings["field"])
    engine: Simulator = ENGINES[item["engine"]](**settings)
    found = engine.expect(Task(**item["task"]))
    attrs = {k: v for k, v in found.attrs.items() if k not in (*OWN, "cpu_s")}
    return {"energy": found.energy.values, "mu": found.mu.values, "attrs": attrs}


def site_average(
    spectra: list[xr.Dataset], weights: list[int]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return energy (eV) and Σ w µ / Σ w on absolute energies.

    FEFF divides each site by its own µ(edge + 50 eV): that constant is multiplied back before the
    average, and the average divided by the mean constant. Axes of uneven steps are interpolated by
    cubic splines, and held below their first energy.
    """
    axes = [np.asarray(s.energy.values, dtype=float) for s in spectra]
    low, high = min(float(e[0]) for e in axes), float(axes[0][-1])
    steps = float(np.diff(axes[0]).max())
    # FEFF's points thin out above the edge: lines through them would cut the maxima
    energy = np.arange(low, high + 1e-9, FINE) if steps > FINE else axes[0]
    total, norm = np.zeros(len(energy)), 0.0
    for spectrum, axis, weight in zip(spectra, axes, weights, strict=True):
        constant = float(spectrum.attrs.get("normalisation", 1.0))
        curve = CubicSpline(axis, spectrum.mu.values)
        total += weight * constant * curve(np.clip(energy, axis[0], axis[-1]))
        norm += weight * constant
    return energy, total / norm


def simulate_edge(inputs: list[Input], settings: SimulateSettings, call: Call) -> list[Estimate]:
    """Simulate one edge of one structure: `spectra simulate`."""
    engine = engine_for(settings)
    if not inputs or inputs[0].path is None:
        if not (isinstance(engine, Multiplet) and settings.ion):
            raise ReadError(
                "a structure is needed", expected="a CIF, POSCAR or extended XYZ file",
                hint="without a structure: --engine multiplet --ion Ni2+ --ten-dq 1.1",
            )  # fmt: skip
        task = engine.ion_task()
        return [_estimate(InputRef(settings.ion), settings, [engine.expect(task)], [1], call)]
    given = inputs[0]
    assert given.path is not None
    atoms = read_structure(given.path)
    element, shell = absorber(atoms, settings.edge or "K")
    sites = chosen_sites(atoms, element, settings.site)
    if settings.engine == "surrogate":
        return [preview(given, atoms, sites, settings, call)]
    tasks = [engine.task(atoms, site, shell) for site in sites]
    unique = {t.key: t for t in tasks}
    kind = "multiplet" if isinstance(engine, Multiplet) else "feff"
    items = [
        {"engine": kind, "settings": asdict(engine), "task": asdict(t)} for t in unique.values()
    ]
    made = dict(zip(unique, call.map(absorber_unit, items, "absorbers"), strict=True))
    spectra = [
        as_measurement(
            t, made[t.key]["energy"], made[t.key]["mu"], **made[t.key]["attrs"] | t.notes
        )
        for t in tasks
    ]
    estimate = _estimate(given.ref, settings, spectra, list(sites.values()), call)
    shells = [first_shell(atoms, site) for site in sites]
    table = estimate.tables["sites"]
    table["coordination_number"] = [s.coordination_number for s in shells]
    table["bond_length"] = [s.bond_length for s in shells]
    table.attrs["units"] |= {"coordination_number": "1", "bond_length": "Å"}
    return [estimate]


def _estimate(
    ref: InputRef,
    settings: SimulateSettings,
    spectra: list[xr.Dataset],
    weights: list[int],
    call: Call,
) -> Estimate:
    energy, mu = site_average(spectra, weights)
    first = spectra[0].attrs
    if first["engine"] != "multiplet" and settings.instrument > 0:
        mu = gaussian_broaden(energy, mu, settings.instrument)
    estimate = Estimate("spectra simulate", ref)
    edge = f"{first['element']} {first['edge']}"
    estimate.quantities["edge_position"] = Quantity(
        half_rise(energy, mu, first["edge"]),
        "eV",
        reason=PLACED if first["engine"] == "multiplet" else ABSOLUTE,
    )
    estimate.arrays["mu"] = xr.DataArray(
        mu,
        dims=("energy",),
        coords={"energy": ("energy", energy, {"units": "eV"})},
        attrs={"units": "1"},
    )
    estimate.tables["sites"] = _sites(spectra, weights)
    for spectrum in spectra:
        if spectrum.attrs.get("scf_converged") == "no":
            estimate.flag(
                "not-converged",
                "the potential of a site did not converge in 30 iterations; the spectrum is that of the last",
                "--scf-radius changes the cluster; --quality quick leaves self-consistency out",
            )
    if first["engine"] == "multiplet" and not settings.ligand_holes:
        estimate.flag(
            "ionic-model",
            "the multiplets are ionic: no ligand holes, which covalent Ni³⁺ and Ni⁴⁺ need",
            "compare line positions, not heights, for these ions; or add ligand holes (--ligand-holes)",
        )
    if first["engine"] != "multiplet" and first["edge"] != "K":
        estimate.flag(
            "edge-unproved",
            "L edges by multiple scattering were held against one measured edge only (Pt L3, r 0.89: no white line)",
            "compare with a measured standard before using heights",
        )
    if first["engine"] != "multiplet" and settings.quality == "quick":
        estimate.flag(
            "no-self-consistency",
            "quick mode overlaps atomic potentials; r against measured spectra falls from 0.99 to 0.85–0.98",
            "--quality scf",
        )
    estimate.provenance = {
        "engine": first["engine"],
        "engine_version": first["engine_version"],
        "tasks": sorted({s.attrs["task"] for s in spectra}),
        "references": [REFERENCES_MULTIPLET if first["engine"] == "multiplet" else REFERENCES_FEFF],
        "notice": "" if first["engine"] == "multiplet" else NOTICE,
    }
    estimate.diagnostics["artifacts"] = _artifacts(energy, mu, spectra, ref, call)
    estimate.pictures.append(_picture(edge, energy, mu, spectra, weights))
    return estimate


def half_rise(energy: NDArray[np.float64], mu: NDArray[np.float64], edge: str) -> float:
    """Return the first crossing of half the post-edge level (of half the maximum for white lines)."""
    level = 0.5 * (float(mu.max()) if edge == "L23" else float(np.median(mu[-len(mu) // 5 :])))
    above = int(np.argmax(mu >= level))
    if above == 0:
        return float(energy[0])
    share = (level - mu[above - 1]) / (mu[above] - mu[above - 1])
    return float(energy[above - 1] + share * (energy[above] - energy[above - 1]))


def _sites(spectra: list[xr.Dataset], weights: list[int]) -> pd.DataFrame:
    keys = (
        "site",
        "ion",
        "ten_dq",
        "ds",
        "dt",
        *(("normalisation",) if spectra[0].attrs["engine"] != "multiplet" else ()),
        "core_hole_width",
        "scf_converged",
    )
    rows = [
        {"weight": w, "edge_position": half_rise(s.energy.values, s.mu.values, s.attrs["edge"])}
        | {k: s.attrs[k] for k in keys if k in s.attrs}
        for s, w in zip(spectra, weights, strict=True)
    ]
    table = pd.DataFrame(rows)
    units = {"edge_position": "eV", "ten_dq": "eV", "ds": "eV", "dt": "eV", "core_hole_width": "eV"}
    table.attrs["units"] = {c: units.get(c, "1") for c in table.columns}
    return table


def _artifacts(
    energy: NDArray[np.float64],
    mu: NDArray[np.float64],
    spectra: list[xr.Dataset],
    ref: InputRef,
    call: Call,
) -> list[dict[str, str]]:
    """Write the average, and beside it the single sites: whoever compares means the average."""
    first = spectra[0].attrs
    stem = f"{first['element']}_{first['edge']}"
    average = measurement(
        "spectrum",
        {"energy": (energy, "eV")},
        {"mu": (("energy",), mu, "1")},
        source={"selector": "average"},
        element=first["element"],
        edge=first["edge"],
        label=f"{ref.source} {first['element']} {first['edge']}",
        engine=first["engine"],
        engine_version=first["engine_version"],
        simulated="true",
    )
    written = []
    for name, members in ((f"{stem}.h5", [average]), (f"{stem}_sites.h5", spectra)):
        if name.endswith("_sites.h5") and len(spectra) == 1:
            continue
        path = call.artifact(name)
        write(members, path)
        written.append({"path": name, "sha256": sha256_of(path)})
    return written


def _picture(
    edge: str,
    energy: NDArray[np.float64],
    mu: NDArray[np.float64],
    spectra: list[xr.Dataset],
    weights: list[int],
) -> Picture:
    layers, several = [], len(spectra) > 1
    if several:
        layers += [line(s.energy.values, s.mu.values, role="muted") for s in spectra[:40]]
    layers.append(line(energy, mu, f"average of {sum(weights)} sites" if several else edge))
    layers.append(mark(x=[half_rise(energy, mu, spectra[0].attrs["edge"])], label="half rise"))
    return Picture(
        "simulated",
        f"Simulated {edge}",
        (
            Panel(
                tuple(layers),
                "energy (eV)",
                "µ (edge step = 1)" if "L23" not in edge else "µ (1/eV)",
            ),
        ),
        ("Grey lines are single absorbers. " if several else "")
        + (
            "The energy axis is placed by the table of edges, not computed."
            if spectra[0].attrs["engine"] == "multiplet"
            else "Theory's absolute energy scale is uncertain by several eV."
        ),
    )
