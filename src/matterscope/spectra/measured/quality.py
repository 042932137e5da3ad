"""Quality: which edge a spectrum really shows, and whether its axis and normalisation can be trusted.

In: a spectrum as it was read. Out: element and edge with probabilities, the normalised shape, and a
verdict PASS, WARN or FAIL with coded findings and remedies. `infer` and `check` share this code.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from matterscope.core.estimates import Estimate, Flag, Quantity, gaussian
from matterscope.core.pictures import Panel, Picture, line, mark, span
from matterscope.physics.curves import gaussian_smooth
from matterscope.spectra.measured.alignment import half_step
from matterscope.spectra.measured.naming import as_cut, candidates, claimed
from matterscope.spectra.measured.reduction import (
    Normalised,
    derivative_edge,
    is_derivative,
    locate_rise,
    normalise,
    point_scatter,
)

if TYPE_CHECKING:
    import xarray as xr

Floats = NDArray[np.float64]

SEVERE = {
    "chi_k",
    "no_edge",
    "edge_missing",
    "post_edge_missing",
    "falls_at_edge",
    "edge_unknown",
    "too_few_points",
    "derivative",
}
"""Findings that leave nothing to answer with."""
NOTES = {"project_shift", "axis_given", "already_normalised", "short_range", "axis_kev"}
"""Findings that are told and do not spoil the verdict."""
OFFSETS = (-3.0, 16.0)
"""eV; E½ of compounds lies this far from the tabulated edge."""
REFERENCE_REACH, REFERENCE_TOLERANCE = 30.0, 1.0
"""eV: a reference of another element is not looked at; tables and foils agree within an eV."""
METALS = re.compile(r"\b(foil|metal)\b|foil", re.IGNORECASE)


@dataclass
class Examined:
    """A spectrum after reading its axis, edge and normalisation."""

    label: str
    dataset: Any
    energy: Floats
    raw: Floats
    normalised: Normalised | None = None
    element: str = ""
    edge: str = ""
    table: float = float("nan")
    """Tabulated energy of the edge (eV)."""
    position: float = float("nan")
    """E½ (eV)."""
    noise: float = float("nan")
    """Scatter of one point in units of the edge step."""
    reference_offset: float = float("nan")
    """Steepest rise of the reference behind the sample minus the table (eV)."""
    candidates: pd.DataFrame = field(default_factory=pd.DataFrame)
    flags: list[Flag] = field(default_factory=list)

    def flag(self, code: str, message: str, remedy: str = "") -> None:
        """Add one finding."""
        self.flags.append(Flag(code, message, remedy))

    @property
    def codes(self) -> set[str]:
        """Codes of the findings."""
        return {f.code for f in self.flags}

    @property
    def verdict(self) -> str:
        """PASS, WARN or FAIL."""
        if self.codes & SEVERE:
            return "FAIL"
        return "WARN" if self.codes - NOTES else "PASS"


def is_simulated(dataset: xr.Dataset) -> bool:
    """Say whether a spectrum calls itself a simulation: its absolute energies mean little."""
    return bool(dataset.attrs.get("simulated") or dataset.attrs.get("engine"))


def examine(dataset: xr.Dataset, method: str = "auto") -> Examined:
    """Return everything that can be said about a spectrum before a model sees it."""
    energy = np.asarray(dataset["energy"].values, dtype=float)
    raw = np.asarray(dataset["mu"].values, dtype=float)
    seen = Examined(str(dataset.attrs.get("label") or ""), dataset, energy, raw)
    for note in dataset.attrs.get("warnings") or []:
        seen.flag(str(note["code"]), str(note["message"]), str(note.get("remedy", "")))
    if dataset.attrs.get("refused"):
        if not seen.codes & SEVERE:
            seen.flag("chi_k", str(dataset.attrs["refused"]), "export μ(E) instead")
        return seen
    if raw.ndim != 1 or energy.size < 20 or not np.isfinite(raw).all():
        what = (
            "values that are not finite"
            if raw.ndim == 1 and energy.size >= 20
            else "too few points"
        )
        seen.flag("too_few_points", f"This spectrum has {what} ({energy.size} points).", "")
        return seen
    _find_edge(seen, dataset, method)
    return seen


def _find_edge(seen: Examined, dataset: xr.Dataset, method: str) -> None:
    rise = locate_rise(seen.energy, seen.raw)
    ends = seen.energy[[0, -1]]
    claim = claimed(dataset)
    # a rise that runs into the end of the scan is the foot of an edge that was not reached
    if (claim and claim.energy > ends[1] - 1.0) or rise.position > ends[1] - 3.0:
        name = f"{claim.label} edge is at {claim.energy:.0f} eV" if claim else "no edge was reached"
        seen.flag(
            "edge_missing", f"The scan ends at {ends[1]:.1f} eV, {name}.", "measure beyond the edge"
        )
        return
    if rise.swapped:
        seen.flag("falls_at_edge", "μ falls at the edge: are I0 and It swapped?", "--swap")
        return
    if rise.significance < 4 or rise.height <= 0:
        seen.flag("no_edge", "No absorption edge stands out of the noise.", "check the columns")
        return
    seen.normalised = normalise(
        seen.energy, seen.raw, rise.position,
        normalised=bool(dataset.attrs.get("normalised")), method=method,
    )  # fmt: skip
    if is_derivative(seen.energy, seen.raw, rise.position):
        message = "The signal has a peak and a dip where an edge should rise, and one level before and after: a derivative or a difference, not μ."
        seen.flag("derivative", message, "give μ(E)")
        return
    if seen.normalised.step <= 0:
        seen.flag(
            "no_edge", "The post-edge does not stand above the pre-edge.", "check the columns"
        )
        return
    seen.noise = point_scatter(seen.energy, seen.normalised.mu)
    seen.position = _half_near(seen.normalised, seen.noise)
    if "edge_probability" in dataset.attrs:
        seen.position = float(dataset.attrs["onset"])
        seen.candidates = as_cut(dataset)
    else:
        seen.candidates = candidates(seen.position, dataset)
    _name_edge(seen)
    _judge_reference(seen)
    _judge_range(seen)
    _judge_signal(seen)


def _half_near(shape: Normalised, noise: float) -> float:
    near = shape.energy >= shape.e0 - 25
    # half an eV of smoothing keeps single noisy points from crossing first
    smooth = gaussian_smooth(shape.energy[near], shape.mu[near], 0.5 if noise > 0.005 else 0.0)
    found = half_step(shape.energy[near], smooth, 1.0) if near.sum() > 2 else float("nan")
    return found if np.isfinite(found) else shape.e0


def _name_edge(seen: Examined) -> None:
    if seen.candidates.empty:
        message = f"No element has an edge near {seen.position:.1f} eV."
        seen.flag("edge_unknown", message, "check the units of the axis")
        return
    best = seen.candidates.iloc[0]
    seen.element, seen.edge = str(best["element"]), str(best["edge"])
    seen.table = float(best["energy"])
    offset = seen.position - seen.table
    header = str(seen.dataset.attrs.get("element") or "")
    if header and header != seen.element:
        message = f"The header says {header} {seen.dataset.attrs.get('edge', '')}, the spectrum is {seen.element} {seen.edge} ({best['probability']:.0%})."
        seen.flag("element_conflict", message, "correct the header")
    elif best["probability"] < 0.6:
        message = f"The edge is {seen.element} {seen.edge} with only {best['probability']:.0%}."
        seen.flag("edge_uncertain", message, "name it in the header")
    simulated = is_simulated(seen.dataset)
    if not simulated and not OFFSETS[0] <= offset <= OFFSETS[1]:
        message = f"E½ = {seen.position:.1f} eV lies {offset:+.1f} eV from the tabulated {seen.element} {seen.edge} edge."
        seen.flag(
            "axis_offset", message, "calibrate the axis with a foil; the shift was not applied"
        )
    steep = derivative_edge(seen.energy, seen.raw, seen.normalised.e0) if seen.normalised else 0.0
    if METALS.search(seen.label) and abs(steep - seen.table) > 3.0:
        message = f"A foil's edge should stand at {seen.table:.1f} eV; its steepest rise is at {steep:.1f} eV."
        seen.flag("foil_offset", message, "calibrate the axis")


def _judge_reference(seen: Examined) -> None:
    """Say where the foil behind the sample puts the edge of its element on this axis."""
    if "mu_reference" not in seen.dataset or not np.isfinite(seen.table):
        return
    behind = np.asarray(seen.dataset["mu_reference"].values, dtype=float)
    rise = locate_rise(seen.energy, behind)
    near = np.abs(seen.energy - seen.table) < REFERENCE_REACH
    if rise.significance < 4 or abs(rise.position - seen.table) > REFERENCE_REACH or near.sum() < 8:
        return
    steep = derivative_edge(seen.energy, behind, rise.position)
    seen.reference_offset = steep - seen.table
    if abs(seen.reference_offset) > REFERENCE_TOLERANCE:
        message = (
            f"The reference behind the sample rises {seen.reference_offset:+.1f} eV "
            f"from the tabulated {seen.element} {seen.edge} edge."
        )
        seen.flag(
            "reference_offset", message, "if it is a foil of the element, shift the axis by as much"
        )


def _judge_range(seen: Examined) -> None:
    before, after = seen.position - seen.energy[0], seen.energy[-1] - seen.position
    name = f"{seen.element} {seen.edge}"
    if after < 20:
        message = f"The scan ends {after:.1f} eV above the {name} edge; at least 20 eV are needed."
        seen.flag("post_edge_missing", message, "measure at least 40 eV beyond the edge")
    elif after < 40:
        message = f"Only {after:.0f} eV of post-edge: the level of normalisation is uncertain."
        seen.flag("post_edge_short", message, "measure at least 40 eV beyond the edge")
    if before < 5:
        seen.flag("pre_edge_short", f"The scan begins {before:.1f} eV below the edge.", "")
    if seen.normalised and seen.normalised.method == "already normalised":
        seen.flag(
            "already_normalised", "The spectrum is already edge-normalised; it was kept as it is."
        )


def _judge_signal(seen: Examined) -> None:
    assert seen.normalised is not None
    mu, grid = seen.normalised.mu, seen.energy
    if seen.noise > 0.03:
        seen.flag(
            "noisy", f"The noise of one point is {seen.noise:.1%} of the edge step.", "merge scans"
        )
    # a simulation has no glitches, but points so far apart that a maximum is one of them
    spikes = _glitches(grid, mu, seen.noise) if not is_simulated(seen.dataset) else grid[:0]
    if spikes.size:
        where = ", ".join(f"{grid[i]:.1f}" for i in spikes[:4])
        seen.flag(
            "glitch",
            f"{spikes.size} single-point glitches (at {where} eV).",
            "deglitch, or mask them",
        )
    white = float(mu[(grid > seen.position) & (grid < seen.position + 25)].max(initial=0.0))
    if white > 6:
        message = (
            f"The white line is {white:.1f} edge steps high: the normalisation of a dilute sample."
        )
        seen.flag("normalisation_suspect", message, "area normalisation; check the background")
    tail = mu[grid > grid[-1] - 0.2 * (grid[-1] - seen.position)]
    if tail.size > 3 and abs(np.median(tail)) < 0.15 and seen.normalised.method != "edge":
        message = "The signal returns to zero after the edge: a derivative or a difference, not μ."
        seen.flag("derivative", message, "give μ(E)")
    gaps = np.diff(grid)[(grid[:-1] > seen.position - 5) & (grid[:-1] < seen.position + 25)]
    if gaps.size == 0 or gaps.max(initial=0.0) > 2.5:
        seen.flag(
            "coarse_grid",
            f"The step near the edge is {gaps.max(initial=0.0):.1f} eV.",
            "step ≤ 1 eV",
        )


def _glitches(grid: Floats, mu: Floats, noise: float) -> NDArray[np.int64]:
    """Single points far from both neighbours, which agree with each other."""
    share = (grid[1:-1] - grid[:-2]) / (grid[2:] - grid[:-2])
    miss = mu[1:-1] - (1 - share) * mu[:-2] - share * mu[2:]
    smooth = np.abs(mu[2:] - mu[:-2])
    return (
        np.flatnonzero((np.abs(miss) > max(12 * noise, 0.08)) & (smooth < 0.3 * np.abs(miss))) + 1
    )


def examine_all(datasets: list[xr.Dataset], method: str = "auto") -> list[Examined]:
    """Return the spectra of one file, each judged with its neighbours in the file as evidence."""
    examined = [examine(d, method) for d in datasets]
    counts: dict[tuple[str, str], int] = {}
    for seen in examined:
        if seen.element:
            counts[seen.element, seen.edge] = counts.get((seen.element, seen.edge), 0) + 1
    if counts and max(counts.values()) >= 3:
        common = max(counts, key=lambda pair: counts[pair])
        for seen in examined:
            if seen.element and (seen.element, seen.edge) != common:
                _reconsider(seen, common)
    drifts(examined)
    return examined


def _reconsider(seen: Examined, common: tuple[str, str]) -> None:
    """Weigh the neighbours of a project in: the same edge is ten times likelier than another."""
    frame = seen.candidates
    same = (frame["element"] == common[0]) & (frame["edge"] == common[1])
    frame["probability"] *= np.where(same, 10.0, 1.0)
    frame["probability"] /= frame["probability"].sum()
    seen.candidates = frame.sort_values("probability", ascending=False, ignore_index=True)
    naming = {"element_conflict", "edge_uncertain", "axis_offset", "foil_offset"}
    seen.flags = [f for f in seen.flags if f.code not in naming]
    _name_edge(seen)


def drifts(examined: list[Examined]) -> None:
    """Flag scans of one file that disagree with their repeats or with the axis of the others."""
    named = [s for s in examined if s.element and s.normalised is not None and not s.codes & SEVERE]
    groups: dict[tuple[str, str, str], list[Examined]] = {}
    for seen in named:
        stem = re.sub(r"[._\- ]*(run)?\d+$", "", seen.label)
        groups.setdefault((seen.element, seen.edge, stem), []).append(seen)
    for scans in groups.values():
        if len(scans) > 1:
            _flag_repeats(scans)
    for pair in {(s.element, s.edge) for s in named}:
        _flag_outliers([s for s in named if (s.element, s.edge) == pair])


def _flag_repeats(scans: list[Examined]) -> None:
    first = scans[0]
    grid = first.position + np.arange(-10.0, 30.0, 0.25)
    shapes = np.array([np.interp(grid, s.energy, s.normalised.mu) for s in scans if s.normalised])
    centre = np.median(shapes, axis=0)
    for seen, shape in zip(scans, shapes, strict=True):
        worst = float(np.max(np.abs(shape - centre)))
        if worst > max(0.06, 8 * seen.noise):
            message = f"This scan differs from its {len(scans) - 1} repeats by up to {worst:.2f} edge steps."
            seen.flag(
                "repeat_drift", message, "radiation damage or a changed sample: use the first scans"
            )


def _flag_outliers(scans: list[Examined]) -> None:
    positions = np.array([s.position for s in scans])
    if positions.size < 5:
        return
    _flag_moved(scans)
    centre = np.median(positions)
    spread = 1.4826 * np.median(np.abs(positions - centre))
    for seen, position in zip(scans, positions, strict=True):
        if spread < 0.8 and abs(position - centre) > 2.5 and not METALS.search(seen.label):
            message = f"E½ is {position - centre:+.1f} eV from the median of this file's {seen.element} {seen.edge} spectra."
            seen.flag(
                "axis_outlier",
                message,
                "another oxidation state, or an axis that is off: measure a reference",
            )


def _flag_moved(scans: list[Examined]) -> None:
    """Flag what stands among the others only because its project moved it."""
    moves = np.array([float(s.dataset.attrs.get("energy_shift") or 0.0) for s in scans])
    recorded = np.array([s.position for s in scans]) - moves
    far, odd = recorded - np.median(recorded), moves - np.median(moves)
    for seen, apart, own, move in zip(scans, far, odd, moves, strict=True):
        if min(abs(apart), abs(own), abs(move)) > 2.5 and not METALS.search(seen.label):
            message = f"This spectrum was recorded {apart:+.1f} eV from the others of its file; only the project's shift of {move:+.1f} eV puts it among them."
            seen.flag(
                "axis_moved",
                message,
                "its axis is known as well as that shift: measure a reference on the same axis",
            )


def assess(dataset: xr.Dataset, method: str = "auto") -> Estimate:
    """Return the verdict of one spectrum: PASS, WARN or FAIL with coded findings.

    Parameters
    ----------
    dataset : xarray.Dataset
        A measurement of kind "spectrum".
    method : str
        Normalisation: "auto", "edge", "max" or "none".
    """
    from matterscope.spectra.loss.loss_reduction import is_energy_loss
    from matterscope.spectra.measured.loss_quality import assess_loss

    if is_energy_loss(dataset):
        return assess_loss(dataset)
    if dataset["mu"].ndim > 1:  # a stack is judged by its mean
        dims = dataset["mu"].dims[:-1]
        attrs = dict(dataset.attrs)
        dataset = dataset.mean(dims, keep_attrs=True)
        dataset.attrs = attrs
    return verdict_of(examine(dataset, method))


def verdict_of(seen: Examined) -> Estimate:
    """Return the verdict as an estimate: edge, position, findings, picture."""
    estimate = Estimate("spectra quality", flags=list(seen.flags))
    if np.isfinite(seen.position):
        grid = float(
            np.median(np.abs(np.diff(seen.energy[np.abs(seen.energy - seen.position) < 10])))
        )
        estimate.quantities["edge_position"] = gaussian(seen.position, max(0.3 * grid, 0.02), "eV")
        frame = seen.candidates.head(6)
        chances = {f"{r.element} {r.edge}": float(r.probability) for r in frame.itertuples()}
        if chances:
            rest = max(0.0, 1 - sum(chances.values()))
            estimate.quantities["edge_name"] = Quantity(
                next(iter(chances)), "1", probabilities={**chances, **({"other": rest} if rest > 1e-6 else {})}
            )  # fmt: skip
        estimate.tables["edges"] = frame
    estimate.diagnostics |= {
        "verdict": seen.verdict,
        "label": seen.label,
        "reference_offset_ev": seen.reference_offset,
        "noise_in_edge_steps": seen.noise,
        "edge_step": seen.normalised.step if seen.normalised else None,
        "normalisation": seen.normalised.method if seen.normalised else None,
        "ranges": seen.normalised.record if seen.normalised else {},
    }
    estimate.provenance["references"] = [
        "Newville, Rev. Mineral. Geochem. 78, 33 (2014)",
        "Elam, Ravel and Sieber, Radiat. Phys. Chem. 63, 121 (2002)",
    ]
    estimate.pictures.append(picture_of(seen))
    return estimate


def picture_of(seen: Examined) -> Picture:
    """Return the raw spectrum with its ranges above the normalised edge."""
    raw = [line(seen.energy, seen.raw, "as measured", "data")]
    panels = [Panel(raw, "energy / eV", "μ / raw units", seen.label)]
    if seen.normalised is not None and np.isfinite(seen.position):
        for name in ("pre_edge", "post_edge"):
            low, high = seen.normalised.record.get(name, (0.0, 0.0))
            if high > low:
                raw.insert(
                    0,
                    span(
                        seen.normalised.e0 + low,
                        seen.normalised.e0 + high,
                        label=name.replace("_", "-") + " fit",
                    ),
                )
        near = (seen.energy > seen.position - 25) & (seen.energy < seen.position + 80)
        layers = [
            mark(x=[seen.table], label=f"table {seen.element} {seen.edge}", role="muted"),
            mark(x=[seen.position], label="E½", role="reference"),
            line(seen.energy[near], seen.normalised.mu[near], "normalised", "data"),
        ]
        panels.append(Panel(layers, "energy / eV", "normalised μ"))
    caption = f"{seen.verdict}: {seen.element} {seen.edge}; " + (
        "; ".join(sorted(seen.codes)) or "no findings"
    )
    return Picture(
        "quality",
        f"{seen.label}: raw and normalised",
        panels,
        caption,
        columns=2,
        width=9.0,
        height=3.4,
    )
