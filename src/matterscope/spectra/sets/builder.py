"""Build a labelled set of spectra: enumerate, relax, distort, label, simulate; resumable.

In: a recipe (TOML) and a seed. Out: one folder with a JSON file a structure, a cache of site spectra
named by content, and a digest. One structure is one unit of work: a pure function of plan and recipe.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from ase import Atoms
from ase.data import atomic_numbers
from numpy.typing import NDArray

from matterscope.core.calls import Call, Input
from matterscope.core.errors import ConfigError, MatterscopeError
from matterscope.core.estimates import Estimate, Quantity
from matterscope.core.files import canonical_json, write_text
from matterscope.core.pictures import Panel, Picture, points
from matterscope.physics.structures import as_record, first_shell, from_record, structure_digest
from matterscope.spectra.sets.exporting import export_training
from matterscope.spectra.sets.prototypes import (
    PrototypePlan,
    enumerate_prototype,
    fill_prototype,
    prototype_labels,
)
from matterscope.spectra.sets.recipes import DistortRecipe, Recipe, read_recipe
from matterscope.spectra.sets.relaxation import potential_version, relax
from matterscope.spectra.sets.structures import (
    Plan,
    doped,
    enumerate_layered,
    make_structure,
)
from matterscope.spectra.settings import BuildSettings
from matterscope.spectra.simulators.contract import cached
from matterscope.spectra.simulators.feff import Feff

CHGNET = "B. Deng et al., Nat. Mach. Intell. 5, 1031 (2023) (CHGNet)"
ANIONS = (7, 8, 9, 15, 16, 17, 33, 34, 35, 52, 53)


def plans(recipe: Recipe, seed: int) -> list[Plan] | list[PrototypePlan]:
    """Return the plans of a recipe; a longer set begins with the shorter one."""
    from matterscope.core.random import generator

    if recipe.prototype is not None:
        rng = generator(seed, "prototype structures")
        return enumerate_prototype(recipe.prototype, recipe.count, recipe.children, rng)
    found = enumerate_layered(recipe.count, recipe.children, generator(seed, "nmc structures"))
    given = recipe.dopants
    return [doped(plan, given.elements, given.share, given.most) for plan in found]


def start_structure(plan: Plan | PrototypePlan, recipe: Recipe) -> Atoms:
    """Return the unrelaxed structure of a plan."""
    if isinstance(plan, Plan):
        return make_structure(plan)
    assert recipe.prototype is not None
    return fill_prototype(recipe.prototype, plan)


def relaxed_structure(plan: Plan | PrototypePlan, recipe: Recipe, folder: Path) -> dict[str, Any]:
    """Return the relaxed structure of a plan as a record; computed once per content."""
    start = start_structure(plan, recipe)
    given = recipe.relax
    text = canonical_json(
        [structure_digest(start), potential_version(given.potential), given.steps, given.force]
    )
    key = hashlib.sha256(text.encode()).hexdigest()
    path = folder / "relaxed" / f"{key}.json"
    if path.exists():
        stored: dict[str, Any] = json.loads(path.read_text())
        return stored
    found = relax(start, steps=given.steps, force=given.force, potential=given.potential)
    record = as_record(found.atoms) | {
        **({"layer": start.arrays["layer"].tolist()} if "layer" in start.arrays else {}),
        "moments": found.moments.tolist(),
        "force": found.force,
        "steps": found.steps,
        "potential": found.potential,
        "key": key,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, canonical_json(record))
    return record


def distort(atoms: Atoms, recipe: DistortRecipe, seed: int) -> Atoms:
    """Return the structure under a random strain with random displacements, seeded by its plan."""
    rng = np.random.default_rng([seed, 1])
    strain = rng.normal(0.0, recipe.shear, (3, 3))
    strain = (strain + strain.T) / 2 + np.eye(3) * rng.uniform(-recipe.strain, recipe.strain)
    changed = atoms.copy()
    changed.set_cell(atoms.cell.array @ (np.eye(3) + strain), scale_atoms=True)
    changed.positions += rng.normal(0.0, recipe.displacement, changed.positions.shape)
    changed.positions[:] = np.round(changed.positions, 6)
    return changed


def surroundings(atoms: Atoms, moments: NDArray[np.float64], element: int) -> NDArray[np.float64]:
    """Return descriptors (sites, 9) of an element's sites: nearest distances, their kinds, moment.

    For cations: the six shortest distances to anions (Å); for anions: to any cation, with the number
    of lithium and of metal neighbours. The moment (µB) is scaled to weigh like 0.1 Å.
    """
    rows = []
    for site in np.flatnonzero(atoms.numbers == element):
        shell = first_shell(atoms, int(site), ratio=1.6, reach=3.0)
        anion = np.isin(shell.numbers, ANIONS)
        bonds = shell.distances[~anion] if element in ANIONS else shell.distances[anion]
        bonds = np.concatenate([bonds, np.full(6, 3.0)])[:6]
        kinds = (0.1 * np.sum(shell.numbers == 3), 0.1 * np.sum(shell.numbers > 20))
        moment = moments[site] if np.isfinite(moments[site]) else 0.0
        rows.append([*bonds, *kinds, 0.1 * moment])
    return np.array(rows)


def representative_sites(
    atoms: Atoms, moments: NDArray[np.float64], element: int, count: int
) -> list[tuple[int, float]]:
    """Return up to `count` sites of an element with the share of sites that each stands for.

    The first is the most typical, each further one the most unlike those before; every site counts
    for the chosen one it resembles most. A smaller `count` gives a leading part of the same list.
    """
    sites = np.flatnonzero(atoms.numbers == element)
    if not len(sites):
        return []
    rows = surroundings(atoms, moments, element)
    apart = np.linalg.norm(rows[:, None] - rows[None], axis=2)
    chosen = [int(np.argmin(np.round(apart.sum(axis=1), 9)))]
    while len(chosen) < min(count, len(sites)):
        chosen.append(int(np.argmax(np.round(apart[:, chosen].min(axis=1), 9))))
    nearest = np.argmin(apart[:, chosen], axis=1)
    shares = np.bincount(nearest, minlength=len(chosen)) / len(sites)
    return [(int(sites[c]), float(w)) for c, w in zip(chosen, shares, strict=True)]


def structure_unit(item: dict[str, Any], rng: np.random.Generator) -> dict[str, Any]:
    """Make one structure with its labels and site spectra; failures are listed with their reason.

    `item` holds ``plan``, ``recipe`` and ``folder``. `rng` is not drawn from: the plan carries its own
    seeds, so a structure is the same in every set that contains it.
    """
    folder, recipe = Path(item["folder"]), Recipe.model_validate(item["recipe"])
    kind = Plan if recipe.prototype is None else PrototypePlan
    plan = kind.from_record(item["plan"])
    record: dict[str, Any] = {"plan": plan.as_record(), "failures": [], "spectra": []}
    try:
        relaxed = relaxed_structure(plan, recipe, folder)
    except (MatterscopeError, RuntimeError, ValueError) as error:
        record["failures"].append(f"relaxation: {error}")
        return record
    atoms = distort(from_record(relaxed), recipe.distort, plan.seed)
    moments = np.array(relaxed["moments"], dtype=float)
    layers = {"layer": relaxed["layer"]} if "layer" in relaxed else {}
    record["structure"] = as_record(atoms) | layers | {"moments": moments.tolist()}
    record["force"] = relaxed["force"]
    record["labels"] = _labels(plan, recipe, atoms, moments, np.array(relaxed.get("layer", [])))
    engine = Feff(**recipe.feff.model_dump())
    for element, count in sorted(recipe.sites.items()):
        for site, share in representative_sites(atoms, moments, atomic_numbers[element], count):
            _simulate(engine, atoms, site, share, folder, record)
    record["digest"] = hashlib.sha256(canonical_json(record).encode()).hexdigest()
    target = folder / "structures" / f"{plan.index:05d}.json"
    target.parent.mkdir(parents=True, exist_ok=True)
    write_text(target, canonical_json(record))
    return {k: record[k] for k in ("plan", "labels", "digest", "failures")}


def _labels(
    plan: Plan | PrototypePlan,
    recipe: Recipe,
    atoms: Atoms,
    moments: NDArray[np.float64],
    layer: NDArray[np.int64],
) -> dict[str, Any]:
    from matterscope.spectra.sets.labels_nmc import structure_labels

    if isinstance(plan, Plan):
        return structure_labels(plan, atoms, moments, layer)
    assert recipe.prototype is not None
    return prototype_labels(recipe.prototype, plan, atoms, tuple(recipe.sites))


def _simulate(
    engine: Feff, atoms: Atoms, site: int, share: float, folder: Path, record: dict[str, Any]
) -> None:
    element = str(atoms.get_chemical_symbols()[site])
    try:
        task = engine.task(atoms, site, "K")
        cached(engine, task, folder / "sites")
    except MatterscopeError as error:
        record["failures"].append(f"{element} site {site}: {error}")
        return
    record["spectra"].append(
        {"element": element, "edge": "K", "site": site, "share": share, "task": task.key}
    )


def build_set(inputs: list[Input], settings: BuildSettings, call: Call) -> list[Estimate]:
    """Build the set of a recipe into a folder, or say what it would cost: `spectra build`."""
    estimates = []
    for given in inputs:
        if given.path is None:
            raise ConfigError("a recipe file is needed", where=given.source)
        recipe = read_recipe(given.path)
        if settings.count:
            recipe = recipe.model_copy(update={"count": settings.count})
        planned = plans(recipe, call.seed)
        estimate = Estimate("spectra build", given.ref)
        estimate.diagnostics["cost"] = cost(recipe)
        if settings.plan_only:
            estimate.tables["plans"] = pd.json_normalize([p.as_record() for p in planned], sep=" ")
            estimate.tables["plans"].attrs["units"] = {}
            _count(estimate, "structures", len(planned), "planned, nothing was computed")
            expected = cost(recipe)
            _count(estimate, "spectra", int(expected["spectra"]), "K edges of single sites")
            for name, key, units in (("cpu_time", "cpu_hours", "h"), ("disk", "disk_mb", "MB")):
                estimate.quantities[name] = Quantity(
                    expected[key], units, reason="expected from measured costs of a unit"
                )
        else:
            _build(estimate, recipe, planned, settings, call)
        estimate.provenance["recipe"] = recipe.model_dump()
        estimate.provenance["references"] = [
            *(["arXiv 2501.08919"] if recipe.prototype is None else []),
            *([CHGNET] if recipe.relax.potential != "none" else []),
            "J. J. Kas et al., J. Synchrotron Rad. 28, 1801 (2021) (FEFF10)",
        ]
        estimates.append(estimate)
    return estimates


def _build(
    estimate: Estimate,
    recipe: Recipe,
    planned: list[Plan] | list[PrototypePlan],
    settings: BuildSettings,
    call: Call,
) -> None:
    folder = Path(settings.folder).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    shared = {"recipe": recipe.model_dump(), "folder": str(folder)}
    made = call.map(
        structure_unit, [shared | {"plan": p.as_record()} for p in planned], "structures"
    )
    failures = [f"structure {m['plan']['index']}: {f}" for m in made for f in m["failures"]]
    rows = [
        {k: m["plan"][k] for k in ("index", "parent", "family")} | m["labels"]
        for m in made
        if "labels" in m
    ]
    table = pd.DataFrame(rows)
    if "dopant_content" in table:
        table["dopant_content"] = table["dopant_content"].fillna(0.0)
    table.attrs["units"] = {c: "Å" for c in table if c.startswith("bond_length")} | {"volume": "Å³"}
    estimate.tables["labels"] = table
    _count(estimate, "structures", len(rows), "counted")
    _count(estimate, "failed_units", len(failures), "counted")
    digest = hashlib.sha256("".join(m.get("digest", "") for m in made).encode()).hexdigest()
    estimate.diagnostics |= {"failures": failures, "digest": digest, "folder": str(folder)}
    if failures:
        estimate.flag(
            "failed-units",
            f"{len(failures)} units failed; the first: {failures[0]}",
            "run the same command again to try them once more",
        )
    if rows and recipe.prototype is None:
        estimate.pictures.append(_labels_picture(table))
    elif rows:
        estimate.pictures.append(_contents_picture(table, recipe))
        sets = export_training(folder)
        estimate.diagnostics["training_sets"] = {
            name: str(path.relative_to(folder)) for name, path in sets.items()
        }


def cost(recipe: Recipe) -> dict[str, float]:
    """Return structures, spectra, CPU hours and disk (MB) of a recipe, from measured unit costs."""
    spectra = recipe.count * sum(recipe.sites.values())
    seconds = 1.5 if recipe.feff.quality == "quick" else 20.0
    relaxing = 0.35 * recipe.relax.steps if recipe.relax.potential != "none" else 0.0
    return {
        "structures": recipe.count,
        "spectra": spectra,
        "cpu_hours": round((spectra * seconds + recipe.count * relaxing) / 3600, 2),
        "disk_mb": round(spectra * 0.005 + recipe.count * 0.02, 1),
    }


def _count(estimate: Estimate, name: str, value: int, reason: str) -> None:
    estimate.quantities[name] = Quantity(value, "1", reason=reason)


def _labels_picture(table: pd.DataFrame) -> Picture:
    kinds = (
        ("pristine", "data"),
        ("vacancy", "series0"),
        ("antisite", "series1"),
        ("both", "series2"),
    )
    code = table["oxygen_vacancy"] + 2 * table["antisite"]
    layers = [
        points(
            table.loc[code == k, "lithium_content"],
            table.loc[code == k, "nickel_oxidation_state"],
            name,
            role,
        )
        for k, (name, role) in enumerate(kinds)
        if (code == k).any()
    ]
    panel = Panel(tuple(layers), "lithium per metal", "mean nickel charge (moments)")
    return Picture(
        "labels",
        "What the set spans",
        (panel,),
        "Each point is one relaxed structure; the charge falls with lithium as charge balance asks.",
    )


def _contents_picture(table: pd.DataFrame, recipe: Recipe) -> Picture:
    """Draw mean bond lengths of the simulated elements against the content that varies most."""
    contents = [c for c in table if c.startswith("content_")]
    varied = max(contents, key=lambda c: float(table[c].std() or 0.0))
    layers = [
        points(table[varied], table[f"bond_length_{e}"], e, f"series{k % 8}")
        for k, e in enumerate(recipe.sites)
    ]
    name = varied.removeprefix("content_")
    panel = Panel(tuple(layers), f"{name} per formula unit", "mean first-shell distance (Å)")
    return Picture("labels", "What the set spans", (panel,), "Each point is one structure.")
