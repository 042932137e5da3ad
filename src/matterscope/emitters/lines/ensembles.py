"""Many emitters together: one line, or several; and how the width of a line grows with temperature.

In: centres and widths with errors (a table, answers of `emitters spectrum`, or the spectra). Out: population mean
and intrinsic scatter, sub-populations, outliers; the law of Γ(T) and its residual width.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.optimize import nnls

from matterscope.core.calls import Call, Input
from matterscope.core.errors import SchemaError
from matterscope.core.estimates import Estimate, InputRef, Interval, Quantity, from_samples, refused
from matterscope.core.units import HC
from matterscope.emitters.lines import ensemble_pictures as pictures
from matterscope.emitters.lines.result_tables import gather
from matterscope.emitters.lines.spectra import analyse_spectrum
from matterscope.emitters.lines.zero_phonon import KT_PER_K, thermal_verdict
from matterscope.emitters.settings import SpectrumSettings
from matterscope.emitters.sites.statistics import draw_population, mixture_order

if TYPE_CHECKING:
    from matterscope.emitters.settings import EnsembleSettings, LinewidthSettings

Floats = NDArray[np.float64]
FEWEST_TEMPERATURES = 4
HBAR = 6.582119569e-16
"""eV s."""
SHIFTS = ("constant", "E0 + aT²", "E0 + aT + bT³", "E0 + b/(e^(ħω/kT) − 1)")
"""Laws of the centre; their coefficients may have either sign."""
LAWS = ("constant", "Γ0 + aT + bT³", "Γ0 + aT + bT⁵", "Γ0 + aT + bT⁷", "Γ0 + b/(e^(ħω/kT) − 1)")


def analyse_ensemble(inputs: list[Input], settings: EnsembleSettings, call: Call) -> list[Estimate]:
    """Answer for all emitters of the inputs together: one estimate."""
    spectra = SpectrumSettings(
        temperature=settings.temperature, instrument_width=settings.instrument_width
    )
    table = gather(inputs, lambda given: analyse_spectrum([given], spectra, call))
    source = inputs[0].source if inputs else ""
    estimate = Estimate(
        "emitters ensemble",
        InputRef(source, f"{len(table)} emitters", inputs[0].sha256 if inputs else ""),
    )
    usable = table.dropna(subset=["centre"])
    if len(usable) < 3:
        raise SchemaError(
            "an ensemble needs at least three emitters with a centre", where=source, got=len(usable)
        )
    if usable["centre_sigma"].isna().any():
        estimate.flag(
            "no-errors",
            "centres without an error are taken as exact: the scatter includes the measurement's",
            "give a column centre_sigma",
        )
    rng = call.rng("population")
    values, errors = usable["centre"].to_numpy(), usable["centre_sigma"].fillna(0).to_numpy()
    mean, scatter = draw_population(values, errors, rng)
    q = estimate.quantities
    q["centre_mean"] = from_samples(mean, "eV", call.levels)
    q["centre_scatter"] = _scatter(1e3 * scatter, "meV", call)
    q["wavelength_mean"] = from_samples(HC / mean, "nm", call.levels)
    q["wavelength_scatter"] = _scatter(scatter * HC / mean**2, "nm", call)
    q["emitters"] = Quantity(len(usable), "1", reason="a count")
    _answer_widths(estimate, usable, scatter, settings, call)
    order, scores, parts = mixture_order(values, errors)
    q["sub_populations"] = Quantity(order, "1", probabilities=_weights(scores))
    estimate.tables["sub_populations"] = pd.DataFrame(parts, columns=["share", "centre", "scatter"])
    estimate.tables["sub_populations"].attrs["units"] = {
        "share": "1",
        "centre": "eV",
        "scatter": "eV",
    }
    pulls = _left_out_pulls(values, errors)
    usable = usable.assign(pull=pulls)
    usable.attrs["units"] = {
        "centre": "eV",
        "centre_sigma": "eV",
        "width": "eV",
        "width_sigma": "eV",
        "temperature": "K",
        "pull": "1",
        "name": "1",
    }
    estimate.tables["emitters"] = usable
    strange = usable.loc[np.abs(pulls) > _bar(len(usable)), "name"].tolist()
    if strange:
        estimate.flag(
            "outliers",
            f"apart from the others: {', '.join(strange[:8])}",
            "look at their spectra before averaging",
        )
    if order > 1:
        estimate.flag(
            "sub-populations",
            f"{order} sub-populations explain the centres better than one",
            "report them apart",
        )
    estimate.pictures.append(pictures.ensemble(usable, mean, scatter, parts if order > 1 else None))
    estimate.provenance = {
        "references": ["Gelman et al., Bayesian Data Analysis (2013), ch. 5"],
        "model": "x ~ N(μ, σ² + s²)",
        "settings": settings.model_dump(),
    }
    return [estimate]


def _bar(n: int) -> float:
    """Return the pull beyond which one of n values is an outlier at the 1 % level of the whole."""
    from scipy.stats import norm

    return float(norm.isf(0.005 / n))


def _scatter(draws: Floats, units: str, call: Call) -> Quantity:
    """Return a scatter; an interval that reaches zero is one-sided."""
    median = float(np.median(draws))
    reaches_zero = float(np.mean(draws < 0.12 * np.quantile(draws, 0.95))) > 0.02
    if not reaches_zero:
        return from_samples(draws, units, call.levels)
    bands = [Interval(level, 0.0, float(np.quantile(draws, level))) for level in call.levels]
    return Quantity(median, units, sigma=float(draws.std()), intervals=bands)


def _answer_widths(
    estimate: Estimate, table: pd.DataFrame, scatter: Floats, settings: EnsembleSettings, call: Call
) -> None:
    part = table.dropna(subset=["width"])
    q = estimate.quantities
    if len(part) < 3:
        q["width_mean"] = refused("meV", "fewer than three emitters have a width")
        return
    rng = call.rng("widths")
    mean, spread = draw_population(
        1e3 * part["width"].to_numpy(), 1e3 * part["width_sigma"].fillna(0).to_numpy(), rng
    )
    centre = float(part["centre"].mean())
    q["width_mean"] = from_samples(mean, "meV", call.levels)
    q["width_scatter"] = _scatter(spread, "meV", call)
    q["width_mean_wavelength"] = from_samples(1e-3 * mean * HC / centre**2, "nm", call.levels)
    temperature = settings.temperature or float(part["temperature"].median())
    if np.isfinite(temperature):
        ratio = 1e-3 * mean / (KT_PER_K * temperature)
        q["width_over_kt"] = from_samples(ratio, "1", call.levels)
    n = min(scatter.size, mean.size)
    q["scatter_over_width"] = from_samples(1e3 * scatter[:n] / mean[:n], "1", call.levels)
    visibility = HBAR / (1e-9 * settings.lifetime) / (1e-3 * mean)
    q["two_photon_visibility"] = from_samples(visibility, "1", call.levels)
    same = float(np.mean(1e3 * scatter[:n] < mean[:n]))
    q["spectrally_identical"] = Quantity(
        "yes" if same > 0.95 else "no" if same < 0.05 else "cannot tell",
        "1",
        probabilities={"yes": same, "no": 1 - same},
    )
    estimate.flag(
        "identity",
        f"'identical' means that centres scatter less than one line width; two photons would interfere with a visibility of about {float(np.median(visibility)):.0e} (lifetime {settings.lifetime:g} ns)",
        "indistinguishable photons need a cavity, a filter or a cold, narrow line",
    )


def _weights(scores: list[float]) -> dict[str, float]:
    if not scores:
        return {"1": 1.0}
    weight = np.exp(-0.5 * (np.array(scores) - min(scores)))
    return {str(k + 1): float(w) for k, w in enumerate(weight / weight.sum())}


def _left_out_pulls(values: Floats, errors: Floats) -> Floats:
    """Return how far each value lies from the others, in their scatter."""
    pulls = np.zeros(values.size)
    for i in range(values.size):
        rest = np.delete(values, i)
        weight = 1 / (rest.var(ddof=1) + np.delete(errors, i) ** 2 + 1e-30)
        middle = np.sum(weight * rest) / weight.sum()
        pulls[i] = (values[i] - middle) / np.sqrt(
            rest.var(ddof=1) * (1 + 1 / rest.size) + errors[i] ** 2 + 1e-30
        )
    return pulls


def analyse_linewidth(
    inputs: list[Input], settings: LinewidthSettings, call: Call
) -> list[Estimate]:
    """Answer the law of the width (and shift) against temperature: one estimate for the series."""
    table = gather(inputs).dropna(subset=["width", "temperature"]).sort_values("temperature")
    source = inputs[0].source if inputs else ""
    if table["temperature"].nunique() < FEWEST_TEMPERATURES:
        raise SchemaError(
            "a width against temperature needs at least four temperatures",
            where=source,
            got=int(table["temperature"].nunique()),
            hint="the table needs columns temperature and width",
        )
    estimate = Estimate(
        "emitters linewidth",
        InputRef(source, f"{len(table)} temperatures", inputs[0].sha256 if inputs else ""),
    )
    t, y = table["temperature"].to_numpy(), 1e3 * table["width"].to_numpy()
    s = 1e3 * table["width_sigma"].to_numpy()
    if not np.isfinite(s).all():
        s = np.full(y.size, 0.05 * float(np.median(y)))
        estimate.flag(
            "no-errors", "widths without errors are given 5 % each", "give a column width_sigma"
        )
    fits = [_fit_law(k, t, y, s) for k in range(len(LAWS))]
    scores = [f[1] for f in fits]
    best = int(np.argmin(scores))
    rng = call.rng("linewidth")
    laws = _weights(scores)
    q = estimate.quantities
    q["width_law"] = Quantity(
        LAWS[best], "1", probabilities={LAWS[int(k) - 1]: w for k, w in laws.items()}
    )
    residual, warm = _draw_law(best, t, y, s, rng)
    q["residual_width"] = _scatter(residual, "meV", call)
    q["width_at_295"] = from_samples(warm, "meV", call.levels)
    q["width_over_kt"] = from_samples(1e-3 * warm / (KT_PER_K * 295), "1", call.levels)
    small = float(np.quantile(residual, 0.95)) < 0.2 * float(np.median(warm))
    prefers = best != 0 and scores[0] - scores[best] > 6
    interval = (
        float(np.quantile(1e-3 * warm / (KT_PER_K * 295), 0.025)),
        float(np.quantile(1e-3 * warm / (KT_PER_K * 295), 0.975)),
    )
    verdict, why = thermal_verdict(interval, 99.0, 0.0, series=bool(small and prefers))
    why = f"{why} ({LAWS[best]})" if prefers else why
    q["thermal_verdict"] = Quantity(verdict, "1", reason=why)
    grid = np.linspace(min(t.min(), 4.0), max(t.max(), 300.0), 200)
    curves = {LAWS[k]: _law_basis(k, grid, f[2]) @ f[0] for k, f in enumerate(fits)}
    estimate.tables["laws"] = pd.DataFrame(
        {"law": LAWS, "bic": scores, "probability": list(laws.values())}
    )
    estimate.pictures.append(pictures.linewidth(t, y, s, grid, curves, best))
    _answer_shift(estimate, table, grid, call)
    estimate.provenance = {
        "references": [
            "arXiv 1808.10611",
            "arXiv 1605.04445",
            "Hoese et al., Sci. Adv. 6, eaba6038 (2020)",
        ],
        "model": "laws by BIC",
        "settings": settings.model_dump(),
    }
    return [estimate]


def _law_basis(law: int, t: Floats, phonon: float) -> Floats:
    if law == 0:
        return np.ones((t.size, 1))
    if law == 4:
        return np.stack(
            [
                np.ones(t.size),
                1 / np.expm1(np.maximum(1e-3 * phonon / (KT_PER_K * np.maximum(t, 0.1)), 1e-9)),
            ],
            axis=1,
        )
    return np.stack([np.ones(t.size), t / 100, (t / 100) ** (1 + 2 * law)], axis=1)


def _fit_law(law: int, t: Floats, y: Floats, s: Floats) -> tuple[Floats, float, float]:
    """Return non-negative coefficients, BIC and the phonon energy (meV; the last law only)."""
    best: tuple[Floats, float, float] | None = None
    for phonon in np.geomspace(3, 200, 60) if law == 4 else [0.0]:
        basis = _law_basis(law, t, float(phonon)) / s[:, None]
        coefficients, norm = nnls(basis, y / s)
        parameters = basis.shape[1] + (law == 4)
        score = float(norm**2 + parameters * np.log(t.size))
        if best is None or score < best[1]:
            best = (coefficients, score, float(phonon))
    assert best is not None
    return best


def _draw_law(
    law: int, t: Floats, y: Floats, s: Floats, rng: np.random.Generator, n: int = 400
) -> tuple[Floats, Floats]:
    """Return draws of the residual width at T = 0 and of the width at 295 K, by parametric bootstrap."""
    coefficients, _, phonon = _fit_law(law, t, y, s)
    expected = _law_basis(law, t, phonon) @ coefficients
    misfit = max(1.0, float(np.sum(((y - expected) / s) ** 2) / max(t.size - coefficients.size, 1)))
    cold, warm = np.empty(n), np.empty(n)
    for k in range(n):
        again, _, energy = _fit_law(
            law, t, expected + np.sqrt(misfit) * s * rng.standard_normal(t.size), s
        )
        cold[k] = again[0]
        warm[k] = float((_law_basis(law, np.array([295.0]), energy) @ again)[0])
    return cold, warm


def _answer_shift(estimate: Estimate, table: pd.DataFrame, grid: Floats, call: Call) -> None:
    """Add the law of the centre and how far it moves between T → 0 and 295 K."""
    part = table.dropna(subset=["centre", "centre_sigma"])
    if part["temperature"].nunique() < FEWEST_TEMPERATURES:
        return
    t, y, s = (part[c].to_numpy() for c in ("temperature", "centre", "centre_sigma"))
    y, s = 1e3 * y, 1e3 * np.maximum(s, 1e-9)
    fits = [_fit_shift(k, t, y, s) for k in range(len(SHIFTS))]
    scores = [f[2] for f in fits]
    best = int(np.argmin(scores))
    laws = _weights(scores)
    q = estimate.quantities
    q["shift_law"] = Quantity(
        SHIFTS[best], "1", probabilities={SHIFTS[int(k) - 1]: w for k, w in laws.items()}
    )
    found, covariance, _, phonon = fits[best]
    ends = _shift_basis(best, np.array([0.0, 295.0]), phonon)
    draws = call.rng("shift").multivariate_normal(found, covariance, 2000) @ ends.T
    q["centre_cold"] = from_samples(1e-3 * draws[:, 0], "eV", call.levels)
    q["shift_at_295"] = (
        from_samples(draws[:, 1] - draws[:, 0], "meV", call.levels)
        if best
        else refused("meV", "no law of the shift is better than none")
    )
    curves = {SHIFTS[k]: _shift_basis(k, grid, f[3]) @ f[0] - found[0] for k, f in enumerate(fits)}
    estimate.pictures.append(pictures.shift(t, y - found[0], s, grid, curves, best))


def _shift_basis(law: int, t: Floats, phonon: float) -> Floats:
    """Return the columns of a law of the centre; the first is its value for T → 0."""
    if law == 0:
        return np.ones((t.size, 1))
    if law == 1:
        return np.stack([np.ones(t.size), (t / 100) ** 2], axis=1)
    return _law_basis(1 if law == 2 else 4, t, phonon)


def _fit_shift(law: int, t: Floats, y: Floats, s: Floats) -> tuple[Floats, Floats, float, float]:
    """Return coefficients (meV), their covariance widened by χ², BIC and the phonon energy (meV)."""
    best: tuple[Floats, Floats, float, float] | None = None
    for phonon in np.geomspace(3, 200, 60) if law == 3 else [0.0]:
        basis = _shift_basis(law, t, float(phonon)) / s[:, None]
        found, *_ = np.linalg.lstsq(basis, y / s, rcond=None)
        cost = float(np.sum((basis @ found - y / s) ** 2))
        score = cost + (basis.shape[1] + (law == 3)) * float(np.log(t.size))
        if best is None or score < best[2]:
            wider = max(1.0, cost / max(t.size - basis.shape[1], 1))
            covariance = np.asarray(wider * np.linalg.pinv(basis.T @ basis), np.float64)
            best = (np.asarray(found, np.float64), covariance, score, float(phonon))
    assert best is not None
    return best
