"""Saturation and polarisation of an emitter: counts against power, counts against angle.

In: a table (CSV, xlsx) or a curve. Out: saturated rate, saturation power, background slope;
visibility and angle, each with an interval, over-dispersion taken into account.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from matterscope.core.calls import Call, Input
from matterscope.core.errors import DataError, ReadError
from matterscope.core.estimates import Estimate, Interval, Quantity, gaussian
from matterscope.core.pictures import Panel, Picture, line, mark, points
from matterscope.io import tables
from matterscope.learn.fitting import Fit, Parameter, Values, fit_curve

if TYPE_CHECKING:
    from matterscope.emitters.settings import PolarizationSettings, SaturationSettings

Floats = NDArray[np.float64]
FEWEST_POWERS, ENOUGH_POWERS = 3, 5
_POWER_UNITS = {"w": 1e6, "mw": 1e3, "uw": 1.0, "µw": 1.0, "μw": 1.0, "nw": 1e-3}


def read_table(given: Input) -> pd.DataFrame:
    """Return the numeric table of an input: CSV, TSV, xlsx, or a `curve` in memory."""
    if given.data is not None:
        m = given.data[0] if isinstance(given.data, list) else given.data
        return pd.DataFrame({"x": m["x"].values, "y": m["y"].values})
    path = given.path or Path(given.source)
    raw = tables.read_table(path, header=False, sheet=given.selector).astype(str)
    if raw.attrs.get("decimal") == ",":
        raw = raw.replace(",", ".", regex=True)
    # the names stand in the last row of words above the first row of numbers
    numbers = raw.apply(pd.to_numeric, errors="coerce").notna().sum(axis=1) >= 2
    first = int(np.argmax(numbers.to_numpy()))
    names = [f"column {i + 1}" for i in range(raw.shape[1])]
    if first > 0:
        names = [str(c).strip() for c in raw.iloc[first - 1]]
    table = raw.iloc[first:].copy()
    table.columns = pd.Index(names)
    numeric = table.apply(pd.to_numeric, errors="coerce").dropna(axis=1, how="all").dropna()
    if numeric.shape[1] < 2 or numeric.empty:
        raise ReadError(
            "the table needs two columns of numbers",
            where=str(path),
            got=", ".join(map(str, table.columns)),
            expected="power and counts, or angle and counts",
        )
    return numeric


def pick(
    table: pd.DataFrame, wanted: str, words: tuple[str, ...], fallback: int
) -> tuple[str, Floats]:
    """Return (name, values) of a column: named by the caller, else by its words, else by position.

    Raises
    ------
    DataError
        A named column is absent.
    """
    names = [str(c) for c in table.columns]
    if wanted:
        if wanted not in names:
            raise DataError("no such column", got=wanted, expected=", ".join(names))
        return wanted, table.iloc[:, names.index(wanted)].to_numpy(dtype=float)
    # the measured column stands right of the one that was set
    for i in reversed(range(len(names))):
        if any(w in names[i].lower() for w in words):
            return names[i], table.iloc[:, i].to_numpy(dtype=float)
    return names[fallback], table.iloc[:, fallback].to_numpy(dtype=float)


def _power_scale(name: str) -> float:
    for part in (
        name.lower()
        .replace("(", " ")
        .replace(")", " ")
        .replace("[", " ")
        .replace("]", " ")
        .replace("_", " ")
        .split()
    ):
        if part in _POWER_UNITS:
            return _POWER_UNITS[part]
    return 1.0


def saturation_curve(power: Floats, values: Values) -> Floats:
    """Return I∞·P/(P + Psat) + β·P + d."""
    p = np.asarray(power, dtype=float)
    return np.asarray(
        values["saturated_rate"] * p / (p + values["saturation_power"])
        + values["background_slope"] * p
        + values["offset"]
    )


def infer_saturation(
    inputs: list[Input], settings: SaturationSettings, call: Call
) -> list[Estimate]:
    """Return one estimate per table: saturated rate, saturation power, background."""
    return [_saturation(given, settings, call) for given in inputs]


def _saturation(given: Input, settings: SaturationSettings, call: Call) -> Estimate:
    estimate = Estimate("emitters saturation", given.ref)
    table = read_table(given)
    name, power = pick(table, settings.power, ("power", "µw", "uw", "μw", "mw"), 0)
    _, counts = pick(
        table, settings.counts, ("count", "fluor", "rate", "intens"), table.shape[1] - 1
    )
    power = power * _power_scale(name)
    used = power > 0
    if not used.all():
        estimate.flag(
            "laser-off-row",
            f"{int((~used).sum())} row(s) at zero power were left out: with the laser off the counts are not the curve's offset",
        )
    p, n = power[used], counts[used]
    few = p.size < ENOUGH_POWERS
    if p.size < FEWEST_POWERS:
        raise DataError(
            "a saturation curve needs powers above zero",
            where=given.source,
            got=p.size,
            expected=f"at least {FEWEST_POWERS}, better {ENOUGH_POWERS} and more",
        )
    full, scale = fit_saturation(p, n, settings.fit_offset and not few)
    # a background slope that the data do not ask for only widens the other intervals
    bare, bare_scale = fit_saturation(p, n, settings.fit_offset and not few, slope=False)
    needed = not few and full.profile("background_slope", 0.0) > 0.5 * np.log(p.size)
    fit, scale = (full, scale) if needed else (bare, bare_scale)
    chi = 2.0 * fit.cost / max(fit.dof, 1)
    for key, units in (
        ("saturated_rate", "counts"),
        ("saturation_power", "µW"),
        ("background_slope", "counts/µW"),
        ("offset", "counts"),
    ):
        quantity = fit.quantity(key, call.levels)
        estimate.quantities[key] = Quantity(
            quantity.value, units, quantity.sigma, quantity.intervals, reason=quantity.reason
        )
    if not needed:
        estimate.quantities["background_slope"] = Quantity(
            0.0,
            "counts/µW",
            intervals=tuple(full.limit("background_slope", v) for v in call.levels),
        )
    beyond = p.max() < fit.values["saturation_power"] or "saturation_power" in fit.weak
    if few:
        estimate.flag(
            "few-powers",
            f"{p.size} powers leave no room for an offset or a background: the saturation power is a lower limit",
            f"measure at {ENOUGH_POWERS} powers or more, on both sides of saturation",
        )
    if few or beyond:
        low = fit.limit("saturation_power", 0.95, "lower")
        estimate.quantities["saturation_power"] = Quantity(
            fit.values["saturation_power"],
            "µW",
            intervals=(low,),
            reason="the powers do not reach saturation" if beyond else "too few powers",
        )
    if beyond:
        estimate.flag(
            "below-saturation",
            "the powers do not reach saturation: the saturation power is a lower limit",
            "measure at higher power",
        )
    if scale > 4:
        estimate.flag(
            "overdispersed",
            f"the points scatter {np.sqrt(scale):.1f} times more than Poisson: errors are widened by that factor",
            "state the counting time, or look for drift",
        )
    residual = (n - saturation_curve(p, fit.values)) / n
    estimate.diagnostics = {
        "chi_square_per_dof_poisson": scale,
        "chi_square_per_dof": chi,
        "relative_residual": float(residual.std()),
        "points": int(p.size),
    }
    estimate.provenance = {
        "references": ["Novotny and Hecht, Principles of Nano-Optics, ch. 9"],
        "settings": settings.model_dump(),
    }
    estimate.pictures.append(_saturation_picture(power, counts, used, fit))
    return estimate


def fit_saturation(
    power: Floats, counts: Floats, offset: bool = True, slope: bool = True
) -> tuple[Fit, float]:
    """Return the fit and the over-dispersion (χ²/dof under pure Poisson, at least 1).

    Errors are √(counts·over-dispersion), found from a first fit with Poisson errors.
    """
    top = float(counts.max())
    half = float(np.interp(0.5 * top, np.sort(counts), power[np.argsort(counts)]))
    least, most = 1e-4 * float(power.max()), 1e3 * float(power.max())
    parameters = [
        Parameter("saturated_rate", 1.2 * top, 1e-3 * top, 1e3 * top, "counts", "log"),
        Parameter("saturation_power", float(np.clip(half, least, most)), least, most, "µW", "log"),
        Parameter(
            "background_slope", 0.0, 0.0, 10.0 * top / power.max(), "counts/µW", fixed=not slope
        ),
        Parameter("offset", 0.0, 0.0, top, "counts", fixed=not offset),
    ]

    def expect(values: Values) -> Floats:
        return saturation_curve(power, values)

    first = fit_curve(expect, counts, np.sqrt(np.maximum(counts, 1.0)), parameters)
    scale = max(2.0 * first.cost / max(first.dof, 1), 1.0)
    return fit_curve(expect, counts, np.sqrt(np.maximum(counts, 1.0) * scale), parameters), scale


def _saturation_picture(
    power: Floats, counts: Floats, used: NDArray[np.bool_], fit: Fit
) -> Picture:
    smooth = np.linspace(0.0, float(power.max()) * 1.05, 200)
    values = fit.values
    bare = values | {"background_slope": 0.0, "offset": 0.0}
    layers = [
        points(power[used], counts[used], "measured"),
        line(smooth, saturation_curve(smooth, values), "fit"),
        line(smooth, saturation_curve(smooth, bare), "emitter alone", "series2"),
        mark(x=[values["saturation_power"]], label="saturation power"),
    ]
    if not used.all():
        layers.append(points(power[~used], counts[~used], "laser off, left out", "flagged"))
    return Picture(
        "saturation",
        "Saturation",
        (Panel(layers, "power (µW)", "counts"),),
        "I∞·P/(P + Psat) + βP + d.",
    )


def polarization_curve(angle: Floats, values: Values) -> Floats:
    """Return a + b·cos²(θ − θ0), angles in degrees."""
    return np.asarray(
        values["floor"]
        + values["swing"] * np.cos(np.radians(np.asarray(angle) - values["angle"])) ** 2
    )


def infer_polarization(
    inputs: list[Input], settings: PolarizationSettings, call: Call
) -> list[Estimate]:
    """Return one estimate per table: visibility and angle; misalignment where two columns are given."""
    return [_polarization(given, settings, call) for given in inputs]


def _polarization(given: Input, settings: PolarizationSettings, call: Call) -> Estimate:
    estimate = Estimate("emitters polarization", given.ref)
    table = read_table(given)
    angle_name, angle = pick(table, settings.angle, ("angle", "deg", "theta"), 0)
    names = [str(c) for c in table.columns if str(c) != angle_name]
    wanted = [settings.counts] if settings.counts else names[:2]
    factor = 2.0 if settings.half_wave_plate else 1.0
    fits, layers = [], []
    for i, column in enumerate(wanted):
        _, counts = pick(table, column, (), 0)
        fit, scale = fit_polarization(angle * factor, counts)
        fits.append(fit)
        tag = "" if i == 0 else "_2"
        estimate.quantities[f"visibility{tag}"] = visibility(fit, call)
        estimate.quantities[f"polarization_angle{tag}"] = gaussian(
            fit.values["angle"] % 180.0, fit.sigma("angle"), "deg", call.levels
        )
        estimate.diagnostics[f"chi_square_per_dof_poisson{tag}"] = scale
        smooth = np.linspace(float((angle * factor).min()), float((angle * factor).max()), 361)
        layers += [
            points(angle * factor, counts, column, f"series{i}"),
            line(smooth, polarization_curve(smooth, fit.values), "", f"series{i}"),
        ]
    if len(fits) == 2:
        gap = (fits[1].values["angle"] - fits[0].values["angle"] + 90.0) % 180.0 - 90.0
        error = float(np.hypot(fits[0].sigma("angle"), fits[1].sigma("angle")))
        estimate.quantities["misalignment"] = gaussian(float(gap), error, "deg", call.levels)
    estimate.provenance = {"references": ["Malus's law"], "settings": settings.model_dump()}
    estimate.pictures.append(
        Picture(
            "polarization",
            "Polarisation",
            (Panel(layers, "angle (°)", "counts"),),
            "a + b·cos²(θ − θ0).",
        )
    )
    return estimate


def fit_polarization(angle: Floats, counts: Floats) -> tuple[Fit, float]:
    """Return the fit of a + b·cos²(θ − θ0) and its over-dispersion.

    Raises
    ------
    DataError
        Fewer than five angles.
    """
    if angle.size < 5:
        raise DataError(
            "a polarisation curve needs five angles", got=angle.size, expected="at least 5"
        )
    design = np.column_stack(
        [np.ones(angle.size), np.cos(np.radians(2 * angle)), np.sin(np.radians(2 * angle))]
    )
    mean, c, s = np.linalg.lstsq(design, counts, rcond=None)[0]
    swing = 2.0 * float(np.hypot(c, s))
    top = float(counts.max())
    start = float(np.degrees(np.arctan2(s, c)) / 2.0)
    parameters = [
        Parameter(
            "floor", float(np.clip(mean - swing / 2, 0.0, top)), 0.0, 2.0 * top + 1.0, "counts"
        ),
        Parameter("swing", float(np.clip(swing, 0.0, 2 * top)), 0.0, 4.0 * top + 1.0, "counts"),
        Parameter("angle", start, start - 90.0, start + 90.0, "deg"),
    ]

    def expect(values: Values) -> Floats:
        return polarization_curve(angle, values)

    first = fit_curve(expect, counts, np.sqrt(np.maximum(counts, 1.0)), parameters)
    scale = max(2.0 * first.cost / max(first.dof, 1), 1.0)
    return fit_curve(expect, counts, np.sqrt(np.maximum(counts, 1.0) * scale), parameters), scale


def visibility(fit: Fit, call: Call) -> Quantity:
    """Return V = b/(2a + b) with its interval by the delta rule, cut at 0 and 1."""
    a, b = fit.values["floor"], fit.values["swing"]
    value = b / max(2.0 * a + b, 1e-12)
    slope = np.array([-2.0 * b, 2.0 * a]) / max((2.0 * a + b) ** 2, 1e-12)
    # a floor at its bound has no covariance: take the Hessian as it is
    block = np.linalg.pinv(fit.hessian[:2, :2])
    sigma = float(np.sqrt(max(float(slope @ block @ slope), 0.0)))
    wide = gaussian(value, sigma, "1", call.levels)
    bands = tuple(
        Interval(i.level, max(i.low or 0.0, 0.0), min(i.high or 1.0, 1.0)) for i in wide.intervals
    )
    return Quantity(value, "1", sigma=sigma, intervals=bands)
