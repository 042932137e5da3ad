"""`materials slme`: the best a solar absorber can do, from its absorption spectrum or its gap alone.

In: CSV with energy and α (or ε₁, ε₂) columns, or gaps. Out: SLME, J–V, J_sc, V_oc, fill factor for every
thickness and temperature, with the Shockley–Queisser limit beside them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from matterscope.core.calls import Call, Input
from matterscope.core.errors import ConfigError, SchemaError
from matterscope.core.estimates import Estimate, InputRef, Quantity
from matterscope.core.pictures import Panel, Picture, line, mark, points
from matterscope.materials.alloys.tables import cells_of
from matterscope.materials.settings import SlmeSettings
from matterscope.materials.solar.photovoltaics import (
    CellLimits,
    absorptance_limits,
    absorption_from_dielectric,
    current_voltage,
    detailed_balance,
    photons_above,
)

Array = NDArray[np.float64]

NO_SIGMA = "a limit computed from the given spectrum, which carries no uncertainty"
REFERENCES = ["Yu and Zunger, Phys. Rev. Lett. 108, 068701 (2012)", "ASTM G173-03", "Shockley and Queisser, J. Appl. Phys. 32, 510 (1961)"]  # fmt: skip
TO_PER_CM = {"1/cm": 1.0, "1/m": 0.01, "1/µm": 1e4, "1/nm": 1e7}
LARGEST_ALPHA, SMALLEST_ALPHA = 5e6, 1e3
"""1/cm: the largest α below 4.4 eV of any semiconductor lies between."""
TOP_ENERGY = 4.4
MOST_UNSEEN = 0.02
"""Share of the photons above the gap for which the last α may be held."""
ABOVE_ONSET, LARGEST_NEAR_ONSET = 0.3, 5e5
"""eV and 1/cm: direct semiconductors have 5e3 … 1e5 there, so that a unit a hundred times off shows even
where absorption stays weak up to 4.4 eV."""
NEGATIVE_ALLOWED = -1.0


@dataclass(frozen=True)
class Spectrum:
    """One absorption spectrum: energy in eV ascending, α in 1/cm, and what the file says of its gap."""

    name: str
    energy: Array
    alpha: Array
    gap: float | None
    direct: float | None
    unseen: float = 0.0
    """Share of the sun's photons above the gap that lies beyond the last energy, where α is held."""


def limit_efficiency(inputs: list[Input], settings: SlmeSettings, call: Call) -> list[Estimate]:
    """Return one estimate for each spectrum, or for each gap given with ``sq``."""
    answers = [_gap_alone(gap, settings) for gap in settings.sq]
    for given in inputs:
        answers += [
            _one_spectrum(given, spectrum, settings, note)
            for spectrum, note in spectra_of(given, settings)
        ]
    if not answers:
        raise ConfigError(
            "materials slme needs a spectrum or a gap", hint="give a file, or --sq GAP in eV"
        )
    return answers


# --- input ------------------------------------------------------------------------------------
def spectra_of(given: Input, settings: SlmeSettings) -> list[tuple[Spectrum, str]]:
    """Return the spectra of a file, each with a note on the units assumed."""
    read = cells_of(given)
    cells = read.rows
    try:
        [float(c) for c in cells[0]]
        named = [n for n in re.split(r"[,;\t]|\s+(?![(\[])", read.comment) if n]
        numbered = ["energy", *(f"c{i}" for i in range(1, len(cells[0])))]
        head, body = named if len(named) == len(cells[0]) else numbered, cells
    except ValueError:
        head, body = cells[0], cells[1:]
    try:
        table = np.array([[float(c) for c in row] for row in body])
    except ValueError as error:
        raise SchemaError("a cell is not a number", where=given.source, got=str(error)) from None
    if table.ndim != 2 or table.shape[1] < 2 or len(table) < 3:
        raise SchemaError(
            "this is not a spectrum",
            where=given.source,
            got=f"{table.shape}",
            expected="an energy column and at least one column of α",
        )
    energy = table[:, 0]
    if "nm" in head[0].lower() or "wavelength" in head[0].lower():
        from matterscope.core.units import HC

        energy, table = HC / energy[::-1], table[::-1]
    if (np.diff(energy) <= 0).any():
        index = int(np.flatnonzero(np.diff(energy) <= 0)[0]) + 1
        raise SchemaError(
            "the energies must increase",
            where=f"{given.source}, row {index + 1}",
            got=f"{energy[index - 1]:g} then {energy[index]:g} eV",
            expected="ascending energies",
            hint="sort the file by energy",
        )
    lower = [h.lower() for h in head]
    if {"eps1", "eps2"} <= set(lower):
        alpha = absorption_from_dielectric(
            energy, table[:, lower.index("eps1")], table[:, lower.index("eps2")]
        )
        return [(_checked(given, "alpha", energy, alpha, head[-1], settings), "α from ε₁ and ε₂")]
    found = []
    for column in range(1, table.shape[1]):
        alpha, note = _per_cm(given, table[:, column], energy, head[column], settings)
        found.append((_checked(given, head[column], energy, alpha, head[column], settings), note))
    return found


def _per_cm(
    given: Input, alpha: Array, energy: Array, head: str, settings: SlmeSettings
) -> tuple[Array, str]:
    written = re.search(r"(1/(?:cm|m|µm|um|nm)|cm-1|m-1|cm\^-1|cm⁻¹|m⁻¹)", head)
    if settings.alpha_unit != "auto":
        return alpha * TO_PER_CM[settings.alpha_unit], f"α in {settings.alpha_unit}, as told"
    if written:
        word = written.group(1).replace("um", "µm")
        unit = word if word in TO_PER_CM else ("1/cm" if word.startswith("cm") else "1/m")
        return alpha * TO_PER_CM[unit], f"α in {unit}, from the column's name"
    top, near = largest_and_near_onset(energy, alpha)
    if not (SMALLEST_ALPHA <= top <= LARGEST_ALPHA and near <= LARGEST_NEAR_ONSET):
        other = "1/µm" if top < SMALLEST_ALPHA else "1/m"
        raise SchemaError(
            f"α up to {top:.3g} and {near:.3g} at {ABOVE_ONSET} eV above its onset does not look like 1/cm",
            where=f"{given.source}, column {head}",
            got=f"{top:.3g} 1/cm if the unit is 1/cm, {top * TO_PER_CM[other]:.3g} 1/cm if it is {other}",
            expected=f"{SMALLEST_ALPHA:.0e} … {LARGEST_ALPHA:.0e} 1/cm at its largest, at most {LARGEST_NEAR_ONSET:.0e} near the onset",
            hint="say which with --alpha-unit",
        )
    return alpha, "α taken as 1/cm"


def largest_and_near_onset(energy: Array, alpha: Array) -> tuple[float, float]:
    """Return the largest α below 4.4 eV, and α 0.3 eV above the energy where it reaches a hundredth of that."""
    top = float(alpha[energy <= TOP_ENERGY].max(initial=0.0))
    risen = np.flatnonzero(alpha >= 0.01 * top)
    if top <= 0 or not len(risen):
        return top, 0.0
    return top, float(np.interp(energy[risen[0]] + ABOVE_ONSET, energy, alpha))


def _checked(
    given: Input, name: str, energy: Array, alpha: Array, head: str, settings: SlmeSettings
) -> Spectrum:
    if not np.isfinite(alpha).all():
        raise SchemaError("α is not finite", where=f"{given.source}, column {name}")
    if alpha.min() < NEGATIVE_ALLOWED:
        raise SchemaError(
            "α is negative",
            where=f"{given.source}, column {name}",
            got=f"{alpha.min():.3g} 1/cm",
            expected="≥ 0 (noise down to −1 is set to 0)",
        )
    alpha = np.maximum(alpha, 0.0)
    numbers = {k: float(v) for k, v in re.findall(r"(gap|direct)\s*=\s*([\d.]+)", head)}
    gap = settings.gap if settings.gap is not None else numbers.get("gap")
    direct = settings.direct_gap if settings.direct_gap is not None else numbers.get("direct")
    onset = gap if gap is not None else direct
    unseen = photons_above(float(energy[-1]), onset or 0.0) if energy[-1] < TOP_ENERGY else 0.0
    if onset is not None and onset > 0 and (energy[0] > onset or unseen > MOST_UNSEEN):
        low, high = (onset, energy[0]) if energy[0] > onset else (energy[-1], TOP_ENERGY)
        raise SchemaError(
            "α does not cover the gap to 4.4 eV",
            where=f"{given.source}, column {name}",
            got=f"{energy[0]:.3g} … {energy[-1]:.3g} eV",
            expected=f"{onset:.3g} … {TOP_ENERGY} eV",
            hint=f"{low:.3g} … {high:.3g} eV is missing",
        )
    return Spectrum(name, energy, alpha, gap, direct, unseen)


# --- answers ----------------------------------------------------------------------------------
def _gap_alone(gap: float, settings: SlmeSettings) -> Estimate:
    answer = Estimate("materials slme", InputRef("gap", f"{gap:g} eV"))
    limit = detailed_balance(gap, settings.temperature[0])
    _put(answer, limit, 0)
    answer.quantities["shockley_queisser_limit"] = answer.quantities.pop("slme")
    answer.pictures.append(
        _balance_picture({f"{gap:g} eV": (gap, float(limit.efficiency[0]))}, settings)
    )
    _common(answer, settings)
    if gap <= 0:
        answer.flag("no-gap", "a gap ≤ 0 cannot make a voltage: the efficiency is 0")
    return answer


def _one_spectrum(given: Input, s: Spectrum, settings: SlmeSettings, note: str) -> Estimate:
    answer = Estimate(
        "materials slme",
        InputRef(given.source, given.selector or s.name, given.sha256),
        diagnostics={"units": note},
    )
    gap, direct = _gaps(s, answer)
    if s.unseen > 0:
        answer.flag(
            "alpha-held",
            f"α ends at {s.energy[-1]:.2f} eV; its last value is held for the {s.unseen:.2%} of the photons above the gap that lie beyond",
            "compute α up to 4.4 eV",
        )
    thickness, kelvin = np.array(settings.thickness), np.array(settings.temperature)
    limits = absorptance_limits(s.energy, s.alpha, gap, direct, thickness, kelvin)
    balance = detailed_balance(gap, float(kelvin[0]))
    middle = int(np.argmin(np.abs(thickness - settings.thickness[0])))
    _put(answer, limits, (0, middle, 0))
    answer.quantities["shockley_queisser_limit"] = Quantity(
        float(balance.efficiency[0]), "1", reason=NO_SIGMA
    )
    answer.quantities["band_gap"] = Quantity(gap, "eV", reason="given, not estimated")
    rows = [
        {
            "thickness": length,
            "temperature": t,
            "slme": limits.efficiency[0, i, j],
            "short_circuit_current": limits.current[0, i, j] / 10,
            "open_circuit_voltage": limits.voltage[0, i, j],
            "fill_factor": limits.fill_factor[0, i, j],
        }
        for i, length in enumerate(thickness)
        for j, t in enumerate(kelvin)
    ]
    frame = pd.DataFrame(rows)
    frame.attrs["units"] = {
        "thickness": "µm", "temperature": "K", "slme": "1", "short_circuit_current": "mA/cm²",
        "open_circuit_voltage": "V", "fill_factor": "1",
    }  # fmt: skip
    answer.tables["limits"] = frame
    answer.pictures += [
        _thickness_picture(s, gap, direct, balance, settings),
        _voltage_picture(limits, (0, middle, 0), settings),
    ]
    _common(answer, settings)
    return answer


def _gaps(s: Spectrum, answer: Estimate) -> tuple[float, float]:
    gap = s.gap if s.gap is not None else s.direct
    if gap is None:
        above = np.flatnonzero(s.alpha > 1e-3 * s.alpha.max())
        gap = float(s.energy[above[0]]) if len(above) else 0.0
        answer.flag(
            "gap-from-onset",
            f"no gap was given: {gap:.3f} eV is where α first exceeds a thousandth of its largest value",
            "give --gap and --direct-gap",
        )
    direct = s.direct if s.direct is not None else gap
    if direct < gap:
        raise ConfigError(
            "the direct-allowed gap cannot lie below the fundamental gap",
            got=f"{direct:g} < {gap:g} eV",
        )
    if gap <= 0:
        answer.flag("no-gap", "a gap ≤ 0 cannot make a voltage: the efficiency is 0")
    return float(gap), float(direct)


def _put(answer: Estimate, limits: CellLimits, index: int | tuple[int, ...]) -> None:
    values = {
        "slme": (limits.efficiency[index], "1"),
        "short_circuit_current": (limits.current[index] / 10, "mA/cm²"),
        "open_circuit_voltage": (limits.voltage[index], "V"),
        "fill_factor": (limits.fill_factor[index], "1"),
    }
    for name, (value, units) in values.items():
        answer.quantities[name] = Quantity(float(value), units, reason=NO_SIGMA)


def _common(answer: Estimate, settings: SlmeSettings) -> None:
    answer.provenance["references"] = REFERENCES
    answer.diagnostics["temperature_K"] = list(settings.temperature)


# --- pictures ---------------------------------------------------------------------------------
def _thickness_picture(
    s: Spectrum, gap: float, direct: float, balance: CellLimits, settings: SlmeSettings
) -> Picture:
    lengths = np.geomspace(0.02, 100.0, 60)
    kelvin = settings.temperature[0]
    curve = absorptance_limits(s.energy, s.alpha, gap, direct, lengths, kelvin).efficiency[0, :, 0]
    panel = Panel(
        [
            line(lengths, 100 * curve, f"SLME, {kelvin:g} K"),
            mark(
                y=[100 * float(balance.efficiency[0])], label="Shockley–Queisser", role="reference"
            ),
        ],
        x_label="thickness (µm)",
        y_label="efficiency (%)",
        x_scale="log",
    )
    return Picture(
        "thickness", f"Efficiency against thickness, {s.name}", [panel],
        f"Gap {gap:.3g} eV, direct-allowed {direct:.3g} eV; the line is the limit of a perfect step absorber.",
    )  # fmt: skip


def _voltage_picture(limits: CellLimits, index: tuple[int, ...], settings: SlmeSettings) -> Picture:
    one = CellLimits(*(np.atleast_1d(getattr(limits, n)[index]) for n in ("efficiency", "current", "voltage", "fill_factor", "dark_current")))  # fmt: skip
    voltage, current = current_voltage(one, settings.temperature[0])
    power = voltage * current
    best = int(power.argmax())
    panel = Panel(
        [
            line(voltage, current / 10, "J–V"),
            points([voltage[best]], [current[best] / 10], "maximum power", "flagged"),
        ],
        x_label="voltage (V)",
        y_label="current density (mA/cm²)",
    )
    return Picture(
        "current_voltage", f"J–V at {settings.thickness[0]:g} µm", [panel],
        f"Fill factor {float(one.fill_factor[0]):.3f}, efficiency {100 * float(one.efficiency[0]):.2f} %.",
    )  # fmt: skip


def _balance_picture(marks: dict[str, tuple[float, float]], settings: SlmeSettings) -> Picture:
    gaps = np.arange(0.5, 3.01, 0.01)
    curve = detailed_balance(gaps, settings.temperature[0])
    places = list(marks.values())
    panel = Panel(
        [
            line(gaps, 100 * curve.efficiency, f"Shockley–Queisser, {settings.temperature[0]:g} K"),
            points(
                [p[0] for p in places], [100 * p[1] for p in places], ", ".join(marks), "flagged"
            ),
        ],
        x_label="gap (eV)",
        y_label="efficiency (%)",
    )
    return Picture(
        "detailed_balance",
        "Detailed balance",
        [panel],
        "Efficiency of a step absorber under AM1.5G.",
    )
