"""The verb `mixture`: fractions of references in spectra, or the species behind a series.

In: spectra, with references (``--basis``) or without. Out: with references one estimate per spectrum;
without, one for the series: number of components, species and shares.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from matterscope.core.calls import Call, Input
from matterscope.core.errors import ConfigError
from matterscope.core.estimates import Estimate, InputRef, Interval, Quantity
from matterscope.core.pictures import Panel, Picture, bars, line, mark, points
from matterscope.spectra.measured.mixtures import (
    Components,
    Mixture,
    Problem,
    Resolved,
    check_target,
    count_components,
    fit_mixture,
    resolve,
)
from matterscope.spectra.measured.reduction import point_scatter
from matterscope.spectra.measured.shapes import Shape, named_shapes, shapes_of
from matterscope.spectra.settings import MixtureSettings

Array = NDArray[np.float64]
MOST = 6
"""More species are never resolved unasked: their rotation would be arbitrary."""
REFERENCES = [
    "Malinowski, Factor Analysis in Chemistry, 3rd ed., Wiley (2002)",
    "de Juan, Jaumot and Tauler, Anal. Methods 6, 4964 (2014)",
]


def unmix(inputs: list[Input], settings: MixtureSettings, call: Call) -> list[Estimate]:
    """Fit references to spectra, or resolve a series into species.

    Parameters
    ----------
    inputs : list of Input
        One or more spectra.
    settings : MixtureSettings
        References, window, what may move.
    call : Call
        Random stream of the bootstrap, levels.

    Returns
    -------
    list of Estimate
        With references one per spectrum; without one for the series.
    """
    samples = shapes_of(inputs, settings.normalise)
    basis = named_shapes(settings.basis, settings.normalise)
    grid = _grid([*samples, *basis], samples, settings)
    if basis and not settings.components:
        series = None
        if len(samples) > 2:
            series = count_components(_matrix(samples, grid), _noise(samples, grid))
        return [
            _fractions(sample, basis, grid, settings, call, number, series)
            for number, sample in enumerate(samples)
        ]
    return [_series(samples, basis, grid, settings)]


def _noise(samples: list[Shape], grid: Array) -> float:
    """Return the scatter of one point, from the points as measured."""
    inside = [(s.energy >= grid[0]) & (s.energy <= grid[-1]) for s in samples]
    found = [point_scatter(s.energy[i], s.mu[i]) for s, i in zip(samples, inside, strict=True)]
    return float(np.median(found)) + 1e-9


def _matrix(samples: list[Shape], grid: Array) -> Array:
    return np.stack([s.on(grid) for s in samples])


def _grid(everything: list[Shape], samples: list[Shape], settings: MixtureSettings) -> Array:
    """Return the common energies: the window around the samples' median E½ that all of them cover."""
    centre = float(np.median([s.position for s in samples]))
    far = [s.label for s in everything if abs(s.position - centre) > 30.0]
    if far:
        raise ConfigError(
            "these spectra do not show one edge",
            got=", ".join(far[:4]),
            expected=f"edges within 30 eV of {centre:.1f} eV",
        )
    room = settings.max_shift
    low = max([centre + settings.low, *(s.energy[0] + room for s in everything)])
    high = min([centre + settings.high, *(s.energy[-1] - room for s in everything)])
    near = [s.energy[(s.energy > low) & (s.energy < high)] for s in samples]
    # the coarsest scan sets the step: interpolated points would pass for noiseless ones
    step = max(0.1, *(float(np.median(np.diff(e))) for e in near if e.size > 3), 0.1)
    if high - low < 20 * step:
        raise ConfigError(
            "the spectra share too little of the window",
            got=f"{low:.1f} to {high:.1f} eV",
            expected="at least 20 points",
            hint="--low and --high move the window",
        )
    return np.arange(low, high, step)


# --- with references --------------------------------------------------------------------------


def _fractions(
    sample: Shape,
    basis: list[Shape],
    grid: Array,
    settings: MixtureSettings,
    call: Call,
    number: int,
    series: Components | None,
) -> Estimate:
    problem = Problem(
        grid, [(b.energy, b.mu) for b in basis], settings.max_shift, settings.sum_to_one
    )
    spectrum = sample.on(grid)
    found = fit_mixture(problem, spectrum, call.rng("mixture", number), draws=settings.draws)
    estimate = Estimate("spectra mixture", sample.ref, flags=list(sample.flags))
    estimate.provenance = {"references": REFERENCES, "basis": [b.ref.as_json() for b in basis]}
    estimate.tables["fractions"] = _fraction_table(found, basis, call)
    best = int(np.argmax(found.fractions))
    estimate.quantities["largest_fraction"] = _quantity(found, best, call)
    estimate.quantities["rmse"] = Quantity(found.rmse, "1", reason="a measure of the fit itself")
    estimate.diagnostics |= {
        "largest": basis[best].label,
        "noise": _noise([sample], grid),
        "condition": float(np.linalg.cond(problem.design(found.shifts))),
    }
    if series is not None:
        estimate.quantities["components"] = _components_quantity(series)
    _flag_fit(estimate, found, basis, _noise([sample], grid), settings)
    _arrays(estimate, grid, {"spectrum": spectrum, "fit": found.fit, "residual": found.residual})
    estimate.pictures.append(_fit_picture(sample, basis, grid, spectrum, found))
    return estimate


def _quantity(found: Mixture, index: int, call: Call) -> Quantity:
    draws = found.samples[:, index]
    bands = tuple(
        Interval(level, *(float(v) for v in np.quantile(draws, [0.5 - level / 2, 0.5 + level / 2])))
        for level in call.levels
    )
    return Quantity(float(found.fractions[index]), "1", sigma=float(draws.std()), intervals=bands)


def _fraction_table(found: Mixture, basis: list[Shape], call: Call) -> pd.DataFrame:
    rows = []
    for k, reference in enumerate(basis):
        low, high = np.quantile(found.samples[:, k], [0.05, 0.95])
        rows.append(
            {
                "component": reference.label,
                "fraction": found.fractions[k],
                "fraction_sigma": found.samples[:, k].std(),
                "fraction_low_90": low,
                "fraction_high_90": high,
                "shift": found.shifts[k],
            }
        )
    frame = pd.DataFrame(rows)
    frame.attrs["units"] = {"shift": "eV"}
    return frame


def _flag_fit(
    estimate: Estimate,
    found: Mixture,
    basis: list[Shape],
    noise: float,
    settings: MixtureSettings,
) -> None:
    at_bound = [
        b.label
        for b, s in zip(basis, found.shifts, strict=True)
        if settings.max_shift > 0 and abs(s) > 0.98 * settings.max_shift
    ]
    if at_bound:
        estimate.flag(
            "shift_at_bound",
            f"the shift of {', '.join(at_bound)} is at its bound of {settings.max_shift} eV",
            "check the axes against a foil, or raise --max-shift",
        )
    if found.rmse > max(5 * noise, 0.02):
        estimate.flag(
            "incomplete_basis",
            f"the misfit ({found.rmse:.3f}) is {found.rmse / noise:.0f} times the noise",
            "a species is missing among the references, or the axes and normalisations differ",
        )
    spread = np.ptp(np.quantile(found.samples, [0.05, 0.95], axis=0), axis=0)
    alike = [b.label for b, s in zip(basis, spread, strict=True) if s > 0.5]
    if alike:
        estimate.flag(
            "references_alike",
            f"the fractions of {', '.join(alike)} are not determined: their references are nearly alike",
            "leave one of them out, or widen the window",
        )


def _arrays(estimate: Estimate, grid: Array, curves: dict[str, Array]) -> None:
    coords = {"energy": ("energy", grid, {"units": "eV"})}
    for name, values in curves.items():
        estimate.arrays[name] = xr.DataArray(
            values, dims=("energy",), coords=coords, attrs={"units": "1"}
        )


def _fit_picture(
    sample: Shape, basis: list[Shape], grid: Array, spectrum: Array, found: Mixture
) -> Picture:
    parts = [
        line(grid, f * b.on(grid, s), f"{f:.2f} × {b.label}", f"series{2 + k % 6}")
        for k, (b, f, s) in enumerate(zip(basis, found.fractions, found.shifts, strict=True))
        if f > 1e-3
    ]
    low, high = np.quantile(found.samples, [0.05, 0.95], axis=0)
    x = np.arange(len(basis))
    return Picture(
        "mixture",
        f"{sample.label} as a mixture",
        (
            Panel(
                (
                    *parts,
                    line(grid, spectrum, sample.label, "data"),
                    line(grid, found.fit, "sum", "model"),
                    line(grid, found.residual, "residual", "residual"),
                ),
                "energy (eV)",
                "normalised absorption",
            ),
            Panel(
                (bars(x, found.fractions, "fraction, 90 % interval", y_low=low, y_high=high),),
                "",
                "fraction",
                x_ticks=[b.label for b in basis],
                height=0.6,
            ),
        ),
        f"Root mean square residual {found.rmse:.4f} edge steps.",
        height=5.0,
    )


# --- without references -----------------------------------------------------------------------


def _components_quantity(found: Components) -> Quantity:
    shares = {str(k + 1): float(p) for k, p in enumerate(found.probabilities) if p > 1e-6}
    total = sum(shares.values())
    return Quantity(found.count, "1", probabilities={k: p / total for k, p in shares.items()})


def _series(
    samples: list[Shape], basis: list[Shape], grid: Array, settings: MixtureSettings
) -> Estimate:
    if len(samples) < 3:
        raise ConfigError(
            "a series needs at least three spectra",
            got=len(samples),
            hint="give references with --basis to fit single spectra",
        )
    matrix = _matrix(samples, grid)
    evidence = count_components(matrix, _noise(samples, grid))
    likely = min(evidence.count, int(np.nanargmin(evidence.indicator[:-1])) + 1, MOST)
    count = min(settings.components or likely, len(samples) - 1)
    resolved = resolve(matrix, count)
    estimate = Estimate("spectra mixture", InputRef(samples[0].ref.source, "series", samples[0].ref.sha256))  # fmt: skip
    estimate.provenance = {"references": REFERENCES}
    estimate.quantities["components"] = _components_quantity(evidence)
    estimate.quantities["rmse"] = Quantity(resolved.misfit, "1", reason="a measure of the fit itself")  # fmt: skip
    estimate.tables["components"] = pd.DataFrame(
        {
            "components": np.arange(1, len(samples) + 1),
            "singular_value": evidence.singular_values,
            "indicator": evidence.indicator,
            "probability": evidence.probabilities,
        }
    )
    names = [f"species {k + 1}" for k in range(count)]
    shares = pd.DataFrame(resolved.shares, columns=names)
    shares.insert(0, "spectrum", [s.label for s in samples])
    estimate.tables["shares"] = shares
    if basis:
        estimate.tables["targets"] = _targets(matrix, count, basis, grid, evidence.noise)
    _arrays(estimate, grid, {n.replace(" ", "_"): s for n, s in zip(names, resolved.spectra, strict=True)})  # fmt: skip
    _flag_series(estimate, evidence, resolved)
    estimate.pictures.append(_series_picture(samples, grid, evidence, resolved, names))
    return estimate


def _targets(
    matrix: Array, count: int, basis: list[Shape], grid: Array, noise: float
) -> pd.DataFrame:
    rows = []
    for reference in basis:
        found = check_target(matrix, count, reference.on(grid), noise)
        rows.append(
            {
                "reference": reference.label,
                "misfit": found.misfit,
                "misfit_over_noise": found.ratio,
                "acceptable": found.ratio < 3,
            }
        )
    return pd.DataFrame(rows)


def _flag_series(estimate: Estimate, evidence: Components, resolved: Resolved) -> None:
    if resolved.shares.shape[1] > 1:
        estimate.flag(
            "rotation",
            "species and shares are one of a family of equally good answers",
            "known references (--basis) fix the rotation",
        )
    if not resolved.converged:
        estimate.flag("not_converged", f"no convergence in {resolved.iterations} iterations", "")
    if evidence.count > 0.5 * evidence.singular_values.size or evidence.count > MOST:
        estimate.flag(
            "no_redundancy",
            f"{evidence.count} of {evidence.singular_values.size} components stand above the noise: more than species explain; {resolved.shares.shape[1]} were resolved",
            "shifts, drift and normalisation count as components; --components says how many to resolve",
        )


def _series_picture(
    samples: list[Shape], grid: Array, evidence: Components, resolved: Resolved, names: list[str]
) -> Picture:
    order = np.arange(1, evidence.singular_values.size + 1)
    floor = evidence.noise * (np.sqrt(grid.size) + np.sqrt(len(samples)))
    return Picture(
        "series",
        f"{len(names)} species in {len(samples)} spectra",
        (
            Panel(
                (
                    points(order, evidence.singular_values, "singular values"),
                    mark(y=[floor], label="largest that noise alone would give"),
                ),
                "component",
                "singular value",
                x_range=(0.5, order.size + 0.5),
                y_scale="log",
            ),
            Panel(
                [line(grid, s, n, f"series{k % 8}") for k, (s, n) in enumerate(zip(resolved.spectra, names, strict=True))],
                "energy (eV)",
                "normalised absorption",
            ),
            Panel(
                [points(np.arange(len(samples)), resolved.shares[:, k], n, f"series{k % 8}") for k, n in enumerate(names)],
                "",
                "share",
                x_ticks=[s.label for s in samples] if len(samples) <= 16 else (),
                height=0.7,
            ),
        ),
        "Above the rule a component is more than noise.",
        height=6.4,
    )  # fmt: skip
