"""Which defect is it? A calibrated ranking over a library, with "none of these" as an answer.

In: any of ZPL, Huang–Rhys factor, lifetime, visibility, misalignment, with errors; a library. Out: the
probability of each row, of each defect, and of none; and the measurement that would tell most.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import logsumexp

from matterscope.core.calls import Call, Input
from matterscope.core.errors import ConfigError, SchemaError
from matterscope.core.estimates import Estimate, InputRef, Interval, Quantity
from matterscope.core.files import sha256_of
from matterscope.core.pictures import Panel, Picture, bars, line, mark, points
from matterscope.emitters.lines.result_tables import answers, subject
from matterscope.io.defect_libraries import COLUMNS, read_library
from matterscope.io.tables import read_table

if TYPE_CHECKING:
    from matterscope.emitters.settings import IdentifySettings

Floats = NDArray[np.float64]
AXES = ("zpl", "huang_rhys", "lifetime", "visibility", "misalignment")
LOGARITHMIC = ("huang_rhys", "lifetime")
SMALLEST_FACTOR = 1e-3
"""Huang–Rhys factor below which none is told apart."""
"""Compared in ln: lifetimes run from 1 ns to 1e13 ns (dark transitions)."""


@dataclass(frozen=True)
class Library:
    """The sound rows on the axes of comparison, shape (rows, axes); NaN where nothing is known."""

    rows: pd.DataFrame
    values: Floats
    bandwidths: Floats
    """Widths of the kernels behind "none of these", shape (axes, kernels)."""
    weights: Floats
    """Weight of each kernel, shape (axes, kernels); they sum to 1 along each axis."""


def make_library(rows: pd.DataFrame) -> Library:
    """Return the rows on their axes, with the population's kernels by leaving defects out."""
    values = np.column_stack([_axis(rows[a].to_numpy(dtype=float), a) for a in AXES])
    defect = rows["defect"].to_numpy()
    kernels = [_kernels(v, defect) for v in values.T]
    return Library(rows, values, *(np.stack(k) for k in zip(*kernels, strict=True)))


def _axis(values: Floats, name: str) -> Floats:
    return np.log(np.maximum(values, 1e-6)) if name in LOGARITHMIC else values


def _kernels(values: Floats, defect: NDArray[np.object_]) -> tuple[Floats, Floats]:
    """Return kernel widths along one axis and the weights that best predict a defect from all others.

    Some axes are smooth and others stand in peaks (visibilities near 0 and 1), often both: the kernel
    is a mixture of Gaussians of many widths, its weights by expectation–maximisation of the
    left-out likelihood, which has one maximum.
    """
    known = np.isfinite(values)
    x, names = values[known], defect[known]
    scale = float(x.std()) if x.size > 3 and x.std() > 0 else 1.0
    widths = scale * np.geomspace(0.02, 2.0, 9)
    if x.size < 10:
        return widths, np.eye(widths.size)[-2]
    other = names[:, None] != names[None]
    off = np.square(x[:, None] - x[None])
    left_out = np.stack(
        [(np.exp(-0.5 * off / w**2) * other).sum(axis=1) / w / other.sum(axis=1) for w in widths]
    )
    weights = np.full(widths.size, 1 / widths.size)
    for _ in range(200):
        parts = weights[:, None] * left_out + 1e-300
        weights = (parts / parts.sum(axis=0)).mean(axis=1)
    return widths, weights


def row_likelihoods(library: Library, measured: Floats, errors: Floats) -> Floats:
    """Return ln p(measured | row), shape (rows,); an unknown value of a row is marginalised.

    Parameters
    ----------
    measured : array of shape (axes,)
        On the axes of comparison; NaN where not measured.
    errors : array of shape (axes,)
        Theory and measurement errors together.
    """
    one = np.ones(1)
    return _likelihoods(library.values, measured, [(np.atleast_1d(e), one) for e in errors])


def _likelihoods(values: Floats, measured: Floats, kernels: list[tuple[Floats, Floats]]) -> Floats:
    """Return ln p(measured | row) for a kernel of widths and weights along each axis."""
    total = np.zeros(len(values))
    for k in np.flatnonzero(np.isfinite(measured)):
        column, (widths, weights) = values[:, k], kernels[k]
        known = np.isfinite(column)
        logs = np.empty(column.size)
        off = ((measured[k] - column[known, None]) / widths) ** 2
        logs[known] = logsumexp(-0.5 * off, b=weights / widths, axis=1)
        # a row without this value could have any that the population has
        marginal = logsumexp(logs[known]) - np.log(max(known.sum(), 1)) if known.any() else 0.0
        logs[~known] = marginal
        total += logs
    return total


def none_likelihood(
    library: Library, measured: Floats, errors: Floats, keep: NDArray[np.bool_] | None = None
) -> float:
    """Return ln p(measured | a defect that is not in the library).

    Such a defect is drawn from the population that the library samples, smoothed by the kernels with
    which the library predicts defects that were left out of it.
    """
    wide = np.hypot(errors[:, None], library.bandwidths)
    kernels = list(zip(wide, library.weights, strict=True))
    logs = _likelihoods(library.values if keep is None else library.values[keep], measured, kernels)
    return float(logsumexp(logs) - np.log(logs.size))


def posterior(
    library: Library,
    measured: Floats,
    errors: Floats,
    prior_none: float,
    keep: NDArray[np.bool_] | None = None,
) -> tuple[Floats, float]:
    """Return the probability of each row and of none of them; all rows are equally likely before.

    Examples
    --------
    >>> frame = pd.DataFrame({"defect": ["a", "b"], "zpl": [2.0, 3.0], "huang_rhys": np.nan,
    ...     "lifetime": np.nan, "visibility": np.nan, "misalignment": np.nan})
    >>> shares, none = posterior(make_library(frame), np.array([2.0, *[np.nan] * 4]), np.full(5, 0.1), 0.2)
    >>> bool(shares[0] > shares[1]), bool(np.isclose(shares.sum() + none, 1))
    (True, True)
    """
    rows = row_likelihoods(library, measured, errors)
    if keep is not None:
        rows = np.where(keep, rows, -np.inf)
    count = len(rows) if keep is None else int(keep.sum())
    logs = np.append(
        rows + np.log1p(-prior_none) - np.log(count),
        none_likelihood(library, measured, errors, keep) + np.log(prior_none),
    )
    shares = np.exp(logs - logsumexp(logs))
    return shares[:-1], float(shares[-1])


def identify_emitter(inputs: list[Input], settings: IdentifySettings, call: Call) -> list[Estimate]:
    """Rank the defects of a library for one emitter (or one per stored answer)."""
    if not settings.library:
        raise ConfigError(
            "a library of defects is needed",
            hint="--library hbn_defects.db (matterscope data list names where to get it)",
        )
    path = Path(settings.library)
    rows = read_library(path)
    sound = rows[rows["fault"] == ""].reset_index(drop=True)
    if len(sound) < 2:
        raise SchemaError("the library has no sound rows", where=str(path))
    library = make_library(sound)
    cases, names = [], []
    if not inputs:
        cases, names = [_from_settings(settings)], [InputRef("evidence", "", "")]
    for given in inputs:
        if given.path is None:
            continue
        for k, answer in enumerate(answers(given.path)):
            cases.append(_from_answer(answer, settings))
            names.append(InputRef(given.source, subject(answer) or str(k), given.sha256))
    found = []
    for case, ref in zip(cases, names, strict=True):
        estimate = _rank(case, library, settings, call, ref)
        _library_flags(estimate, rows, path)
        found.append(estimate)
    return found


@dataclass(frozen=True)
class Evidence:
    """What is known of one emitter, on the axes of comparison, with all errors."""

    measured: Floats
    errors: Floats


def _from_settings(settings: IdentifySettings) -> Evidence:
    given = {
        "zpl": (settings.zpl, settings.zpl_sigma, settings.zpl_theory),
        "huang_rhys": (
            settings.huang_rhys
            if settings.huang_rhys is not None
            else _factor(settings.debye_waller),
            settings.huang_rhys_sigma,
            settings.huang_rhys_theory,
        ),
        "lifetime": (settings.lifetime, settings.lifetime_sigma, settings.lifetime_theory),
        "visibility": (settings.visibility, settings.visibility_sigma, settings.visibility_theory),
        "misalignment": (
            settings.misalignment,
            settings.misalignment_sigma,
            settings.misalignment_theory,
        ),
    }
    return _evidence(given)


def _factor(debye_waller: float | None) -> float | None:
    return None if debye_waller is None else max(-float(np.log(debye_waller)), SMALLEST_FACTOR)


def _evidence(given: dict[str, tuple[float | None, float, float]]) -> Evidence:
    measured, errors = np.full(len(AXES), np.nan), np.ones(len(AXES))
    for k, axis in enumerate(AXES):
        value, sigma, theory = given[axis]
        if value is None:
            continue
        if axis in LOGARITHMIC:
            if value <= 0:
                raise ConfigError(f"{axis} must be positive", got=value)
            measured[k], errors[k] = np.log(value), np.hypot(sigma / value, theory)
        else:
            measured[k], errors[k] = value, np.hypot(sigma, theory)
    if not np.isfinite(measured).any():
        raise ConfigError(
            "nothing is known of this emitter",
            expected="at least one of zpl, huang_rhys, debye_waller, lifetime, visibility, misalignment",
        )
    return Evidence(measured, errors)


def _from_answer(answer: dict[str, object], settings: IdentifySettings) -> Evidence:
    """Return the evidence of a stored answer; the settings fill what it does not hold."""
    quantities = answer["quantities"]
    assert isinstance(quantities, dict)

    def read(name: str, default: float | None, sigma: float) -> tuple[float | None, float]:
        entry = quantities.get(name) or {}
        if entry.get("value") is None or isinstance(entry["value"], str):
            return default, sigma
        return float(entry["value"]), float(entry.get("sigma") or sigma)

    zpl = read("zpl_energy", settings.zpl, settings.zpl_sigma)
    factor = read("huang_rhys", settings.huang_rhys, settings.huang_rhys_sigma)
    if factor[0] is not None and factor[0] < SMALLEST_FACTOR:
        # a spectrum in which no sideband is seen states 0: no evidence on a logarithmic scale
        factor = (None, factor[1])
    lifetime = read("lifetime", settings.lifetime, settings.lifetime_sigma)
    visibility = read("polarization_visibility", settings.visibility, settings.visibility_sigma)
    turn = read("polarization_misalignment", settings.misalignment, settings.misalignment_sigma)
    return _evidence(
        {
            "zpl": (*zpl, settings.zpl_theory),
            "huang_rhys": (*factor, settings.huang_rhys_theory),
            "lifetime": (*lifetime, settings.lifetime_theory),
            "visibility": (*visibility, settings.visibility_theory),
            "misalignment": (*turn, settings.misalignment_theory),
        }
    )


def _rank(
    case: Evidence, library: Library, settings: IdentifySettings, call: Call, ref: InputRef
) -> Estimate:
    shares, none = posterior(library, case.measured, case.errors, settings.prior_none)
    estimate = Estimate("emitters identify", ref)
    rows = library.rows.assign(probability=shares).sort_values(
        "probability", ascending=False, ignore_index=True
    )
    table = rows[["label", *COLUMNS, "probability"]].head(40)
    if settings.levels:
        table = _join_levels(table, Path(settings.levels))
    table.attrs["units"] = {"zpl": "eV", "lifetime": "ns", "misalignment": "deg"} | dict.fromkeys(
        ("label", "host", "defect", "charge", "spin", "huang_rhys", "visibility", "probability"),
        "1",
    )
    estimate.tables["ranking"] = table
    by_defect = rows.groupby("defect")["probability"].sum().sort_values(ascending=False)
    estimate.tables["defects"] = by_defect.head(40).reset_index()
    lead = by_defect.head(8)
    named = {str(k): float(v) for k, v in lead.items()} | {"none of these": none}
    named["others"] = max(0.0, 1.0 - sum(named.values()))
    best = max((k for k in named if k != "others"), key=lambda k: named[k])
    estimate.quantities["identity"] = Quantity(best, "1", probabilities=named)
    estimate.quantities["none_of_these"] = Quantity(none, "1", reason="itself a probability")
    full = np.append(shares, none)
    effective = float(np.exp(-np.sum(full * np.log(np.maximum(full, 1e-300)))))
    estimate.quantities["effective_candidates"] = Quantity(
        effective,
        "1",
        intervals=[Interval(level, 1.0, float(_credible(full, level))) for level in call.levels],
    )
    nexts = _next_measurement(library, case, full, settings, call)
    estimate.tables["next_measurement"] = nexts
    used = [AXES[k] for k in np.flatnonzero(np.isfinite(case.measured))]
    estimate.diagnostics |= {
        "evidence": used,
        "kernel_width": dict(
            zip(AXES, (library.bandwidths * library.weights).sum(axis=1), strict=True)
        ),
    }
    if effective > 5:
        estimate.flag(
            "broad",
            f"the evidence ({', '.join(used)}) leaves about {effective:.0f} candidates: no single name follows from it",
            f"measure the {nexts['measurement'].iloc[0]}" if len(nexts) else "",
        )
    if none > 0.5:
        estimate.flag(
            "none-of-these",
            f"with probability {none:.2f} the library does not hold this defect",
            "extend the library",
        )
    estimate.pictures.append(_picture(table, none, case, library))
    estimate.provenance = {
        "references": [
            "Cholsuk et al., J. Phys. Chem. C 128, 12716 (2024)",
            "Cholsuk et al., Nanoscale (2023), d3nr01511d",
        ],
        "model": "Bayes over rows with theory errors",
        "settings": settings.model_dump(),
    }
    return estimate


def _credible(shares: Floats, level: float) -> int:
    """Return the number of candidates that hold this share of the probability."""
    return int(np.searchsorted(np.cumsum(np.sort(shares)[::-1]), level) + 1)


def _next_measurement(
    library: Library, case: Evidence, shares: Floats, settings: IdentifySettings, call: Call
) -> pd.DataFrame:
    """Return how many candidates each further measurement would leave, on average."""
    rng = call.rng("next measurement")
    theory = np.array(
        [
            settings.zpl_theory,
            settings.huang_rhys_theory,
            settings.lifetime_theory,
            settings.visibility_theory,
            settings.misalignment_theory,
        ]
    )
    names = dict(
        zip(
            AXES,
            (
                "zero-phonon line",
                "Huang–Rhys factor",
                "lifetime",
                "polarisation visibility",
                "polarisation misalignment",
            ),
            strict=True,
        )
    )
    rows = []
    prior = shares[:-1] / max(shares[:-1].sum(), 1e-300)
    before = float(np.exp(-np.sum(prior * np.log(np.maximum(prior, 1e-300)))))
    for k, axis in enumerate(AXES):
        column = library.values[:, k]
        known = np.isfinite(column)
        if np.isfinite(case.measured[k]) or known.sum() < 5 or prior[known].sum() < 0.05:
            continue
        left = []
        for row in rng.choice(np.flatnonzero(known), 60, p=prior[known] / prior[known].sum()):
            one = np.full(len(AXES), np.nan)
            one[k] = column[row] + theory[k] * rng.standard_normal()
            logs = row_likelihoods(library, one, theory) + np.log(np.maximum(prior, 1e-300))
            after = np.exp(logs - logsumexp(logs))
            left.append(np.exp(-np.sum(after * np.log(np.maximum(after, 1e-300)))))
        rows.append((names[axis], before, float(np.mean(left)), float(known.mean())))
    frame = pd.DataFrame(
        rows,
        columns=["measurement", "candidates_now", "candidates_after", "share_of_library_known"],
    )
    return frame.sort_values("candidates_after", ignore_index=True)


def _join_levels(table: pd.DataFrame, path: Path) -> pd.DataFrame:
    """Return the ranking with the charge-transition levels of the same defect, where a table has them."""
    levels = read_table(path)
    name = next((c for c in levels.columns if str(c).lower() in {"defect", "label", "name"}), None)
    value = next((c for c in levels.columns if "level" in str(c).lower()), None)
    if name is None or value is None:
        raise SchemaError(
            "the table of levels needs a column for the defect and one for the level",
            where=str(path),
            got=list(levels.columns),
        )
    change = next(
        (c for c in levels.columns if "transition" in str(c).lower() and c != value), None
    )
    text = levels.assign(
        _t=[
            f"{t} {v:.2f} eV".strip()
            for t, v in zip(
                levels[change] if change else [""] * len(levels), levels[value], strict=True
            )
        ]
    )
    joined = text.groupby(name)["_t"].apply("; ".join)
    return table.assign(levels=[joined.get(d, "") for d in table["defect"]])


def _library_flags(estimate: Estimate, rows: pd.DataFrame, path: Path) -> None:
    bad = rows[rows["fault"] != ""]
    estimate.diagnostics["library"] = {
        "name": path.name,
        "sha256": sha256_of(path),
        "rows": len(rows),
        "excluded": len(bad),
    }
    if len(bad):
        some = "; ".join(f"{r.label}: {r.fault}" for r in bad.head(5).itertuples())
        estimate.flag(
            "library-faults",
            f"{len(bad)} of {len(rows)} rows are left out as faulty: {some}",
            "mend the library",
        )
    estimate.flag(
        "theory",
        "energies of one defect differ by 0.2–0.3 eV between methods and by a median of 0.5 eV between monolayer and bulk",
        "see the theory errors among the settings",
    )


def _picture(table: pd.DataFrame, none: float, case: Evidence, library: Library) -> Picture:
    top = table.head(10)
    names = [*top["label"], "none of these"]
    values = np.append(top["probability"], none)
    panels = [
        Panel(
            [bars(np.arange(len(names)), values, "")],
            "",
            "probability",
            x_ticks=names,
            y_range=(0, max(0.05, 1.15 * float(values.max()))),
        )
    ]
    if np.isfinite(case.measured[0]):
        zpl = library.rows["zpl"].to_numpy()
        grid = np.linspace(max(zpl.min(), 0.2), min(zpl.max(), 6.0), 400)
        density = np.exp(-0.5 * ((grid[:, None] - zpl) / max(case.errors[0], 0.03)) ** 2).sum(
            axis=1
        )
        panels.append(
            Panel(
                [
                    line(grid, density / density.max(), "library"),
                    mark(x=[case.measured[0]], label="measured"),
                    points(
                        top["zpl"],
                        top["probability"] / max(float(top["probability"].max()), 1e-12),
                        "leaders",
                        "flagged",
                    ),
                ],
                "zero-phonon line (eV)",
                "relative",
            )
        )
    return Picture(
        "identity",
        "Which defect?",
        panels,
        caption="Above: the most probable rows and the share of defects that the library does not hold. Below: where the line falls among all calculated ones.",
        height=5.4,
        width=8.0,
    )
