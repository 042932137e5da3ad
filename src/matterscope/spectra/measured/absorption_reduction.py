"""From raw absorption scans to one normalised spectrum: axis, glitches, merging, self-absorption, bins.

In: scans of one edge, and a foil on the same axis if there is one. Out: an estimate with the reduced
spectrum, its uncertainty from repeats, and every step with its numbers.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from matterscope.core.calls import Call
from matterscope.core.errors import DataError
from matterscope.core.estimates import Estimate, InputRef, Quantity, gaussian
from matterscope.core.pictures import Layer, Panel, Picture, band, line, mark, points
from matterscope.physics.edges import edge as table_edge
from matterscope.spectra.measured.alignment import half_step
from matterscope.spectra.measured.quality import Examined, examine
from matterscope.spectra.measured.reduction import derivative_edge, point_scatter
from matterscope.spectra.settings import ReduceSettings

Array = NDArray[np.float64]
DRIFT = 0.06
"""Edge steps; repeats that differ by more than this have changed, whatever the mean says."""
REFERENCES = [
    "Newville, Rev. Mineral. Geochem. 78, 33 (2014)",
    "Tröger et al., Phys. Rev. B 46, 3283 (1992)",
]


@dataclass
class Scan:
    """One scan on its way: axis, normalised absorption, and what was done to it."""

    label: str
    ref: InputRef
    energy: Array
    mu: Array
    sigma: Array | None = None
    position: float = float("nan")
    element: str = ""
    edge: str = ""
    steps: list[dict[str, Any]] = field(default_factory=list)
    seen: Examined | None = None

    def step(self, name: str, **facts: Any) -> None:
        """Record a step with its numbers."""
        self.steps.append({"step": name, **facts})


def prepare(spectrum: xr.Dataset, ref: InputRef, settings: ReduceSettings, shift: float) -> Scan:
    """Return one scan: shifted to the foil, glitches mended, normalised.

    Parameters
    ----------
    spectrum : Dataset
        Kind "spectrum", one axis.
    ref : InputRef
        Where it came from.
    settings : ReduceSettings
        What is done.
    shift : float, eV
        Added to the axis; 0 without a foil.
    """
    scan = Scan(
        str(spectrum.attrs.get("label") or ref.selector or ref.source),
        ref,
        spectrum["energy"].values.astype(float) + shift,
        spectrum["mu"].values.astype(float),
    )
    if shift:
        scan.step("calibrate", shift_ev=shift)
    if settings.deglitch:
        scan.mu, glitches = deglitch(scan.energy, scan.mu)
        scan.step("deglitch", energies_ev=glitches.tolist())
    moved = spectrum.assign_coords(energy=("energy", scan.energy, {"units": "eV"}))
    moved["mu"] = ("energy", scan.mu, {"units": spectrum["mu"].attrs["units"]})
    moved.attrs = dict(spectrum.attrs)
    seen = examine(moved, settings.normalise)
    scan.seen = seen
    scan.element, scan.edge, scan.position = seen.element, seen.edge, seen.position
    if seen.normalised is not None:
        scan.energy, scan.mu = seen.normalised.energy, seen.normalised.mu
        scan.step(
            "normalise",
            method=seen.normalised.method,
            edge_step=seen.normalised.step,
            **seen.normalised.record,
        )
    if settings.self_absorption:
        scan.mu = without_self_absorption(scan.mu, settings.self_absorption)
        scan.step("self-absorption", strength=settings.self_absorption)
    return scan


def foil_shift(foil: xr.Dataset) -> tuple[float, str]:
    """Return what must be added to an axis so that the foil's edge is where the table has it.

    The edge of a metal foil is its steepest rise by convention, so this is the one place where the
    derivative is asked.

    Parameters
    ----------
    foil : Dataset
        A metal foil measured on the same axis.
    """
    seen = examine(foil)
    if seen.normalised is None or not seen.element:
        raise DataError(
            "no edge was recognised in the foil", where=seen.label, hint="check the file"
        )
    entry = table_edge(seen.element, seen.edge)
    found = derivative_edge(seen.normalised.energy, seen.normalised.mu, seen.normalised.e0)
    return float(entry.energy - found), entry.label


def deglitch(energy: Array, mu: Array, *, threshold: float = 8.0) -> tuple[Array, Array]:
    """Replace isolated points by the line through their neighbours.

    Parameters
    ----------
    energy, mu : arrays of shape (n,), eV and any unit
        One scan.
    threshold : float
        In standard deviations of a point about its neighbours.

    Returns
    -------
    mu : array of shape (n,)
        Mended copy.
    energies : array, eV
        Of the points that were replaced.

    Examples
    --------
    >>> e = np.arange(50.0)
    >>> y = np.sin(e / 9) + 1e-3 * (-1) ** np.arange(50); y[20] += 1
    >>> deglitch(e, y)[1].tolist()
    [20.0]
    """
    mended = mu.copy()
    scatter = max(point_scatter(energy, mu), 1e-12 * float(np.abs(mu).max() + 1e-300))
    hits: list[int] = []
    for i in range(2, mu.size - 2):
        left, right = mended[i - 1], mu[i + 1]
        between = left + (right - left) * (energy[i] - energy[i - 1]) / (energy[i + 1] - energy[i - 1])  # fmt: skip
        alone = abs(mu[i] - between)
        # a real feature is followed by its neighbours: they too leave the line through theirs
        smooth = abs(right - left) + abs(mu[i + 2] - mended[i - 2])
        if alone > threshold * scatter and alone > 1.5 * smooth:
            mended[i] = between
            hits.append(i)
    return mended, energy[hits]


def without_self_absorption(mu: Array, strength: float) -> Array:
    """Return the normalised fluorescence of a thick sample, freed from self-absorption.

    Parameters
    ----------
    mu : array of shape (n,), 1
        Normalised as measured, m.
    strength : float, in [0, 1)
        s = step of the absorber over the rest of the absorption, in and out of the sample.

    Notes
    -----
    m = x(1 + s)/(1 + s x), hence x = m/(1 + s − s m) (Tröger et al. 1992, thick limit). Pre-edge 0 and
    post-edge 1 stay where they are; white lines grow.

    Examples
    --------
    >>> without_self_absorption(np.array([0.0, 1.0, 1.2]), 0.5).round(3).tolist()
    [0.0, 1.0, 1.333]
    """
    rest = 1 + strength - strength * mu
    if np.any(rest <= 0):
        raise DataError(
            "the white line is higher than this self-absorption allows",
            got=f"{float(mu.max()):.2f}",
            expected=f"below {1 + 1 / strength:.2f}",
            hint="a smaller --self-absorption",
        )
    return np.asarray(mu / rest)


def merge(scans: list[Scan]) -> tuple[Scan, list[str], Array]:
    """Return the mean of repeated scans without the outliers, its error, and who was left out.

    Parameters
    ----------
    scans : list of Scan
        Of one edge; the grid of the first is kept where all overlap.

    Returns
    -------
    (Scan, list of str, array of shape (scans,))
        Merged scan, labels of the outliers, and each scan's largest distance from the median, in
        edge steps near the edge.
    """
    names = {(s.element, s.edge) for s in scans}
    if len(names) > 1:
        raise DataError(
            "scans of different edges cannot be merged",
            got=", ".join(sorted(f"{a} {b}" for a, b in names)),
        )
    low = max(s.energy[0] for s in scans)
    high = min(s.energy[-1] for s in scans)
    grid = scans[0].energy[(scans[0].energy >= low) & (scans[0].energy <= high)]
    if grid.size < 20:
        raise DataError("the scans do not overlap", got=f"{low:.1f} to {high:.1f} eV")
    stack = np.stack([np.interp(grid, s.energy, s.mu) for s in scans])
    near = np.abs(grid - float(np.nanmedian([s.position for s in scans]))) < 40
    centre = np.median(stack, axis=0)
    distance = np.sqrt(np.mean((stack - centre)[:, near] ** 2, axis=1))
    usual = float(np.median(distance))
    # two scans cannot say which of them is odd
    odd = (distance > 4 * usual + 0.005) if len(scans) > 2 else np.zeros(len(scans), bool)
    kept = stack[~odd]
    error = kept.std(axis=0, ddof=1) / np.sqrt(len(kept)) if len(kept) > 1 else None
    first = scans[0]
    merged = Scan(
        f"{first.label} and {len(kept) - 1} more", first.ref, grid, kept.mean(axis=0), error,
        half_step(grid, kept.mean(axis=0)), first.element, first.edge, list(first.steps), first.seen,
    )  # fmt: skip
    left_out = [s.label for s, bad in zip(scans, odd, strict=True) if bad]
    worst = np.abs(stack - centre)[:, near].max(axis=1)
    merged.step(
        "merge",
        scans=[s.label for s in scans],
        left_out=left_out,
        largest_difference=dict(zip([s.label for s in scans], worst.tolist(), strict=True)),
        noise=float(
            np.median(
                [s.seen.noise for s in scans if s.seen and np.isfinite(s.seen.noise)] or [0.0]
            )
        ),
    )
    return merged, left_out, distance


def rebin(energy: Array, mu: Array, sigma: Array | None, step: float) -> tuple[Array, Array, Array | None]:  # fmt: skip
    """Return means over bins of one width; empty bins are left out.

    Parameters
    ----------
    energy, mu, sigma : arrays of shape (n,), eV and 1
        The spectrum; `sigma` may be None.
    step : float, eV
        Width of a bin.

    Examples
    --------
    >>> e, m, s = rebin(np.arange(6.0), np.arange(6.0), np.ones(6), 2.0)
    >>> e.tolist(), s.round(3).tolist()
    ([0.5, 2.5, 4.5], [0.707, 0.707, 0.707])
    """
    index = np.floor((energy - energy[0]) / step + 1e-9).astype(int)
    count = np.bincount(index)
    filled = count > 0

    def mean(values: Array) -> Array:
        return np.asarray(np.bincount(index, values)[filled] / count[filled])

    error = None
    if sigma is not None:
        error = np.asarray(np.sqrt(np.bincount(index, sigma**2)[filled]) / count[filled])
    return mean(energy), mean(mu), error


def finish(scan: Scan, settings: ReduceSettings) -> Scan:
    """Rebin where asked; the last step."""
    if settings.rebin > 0:
        scan.energy, scan.mu, scan.sigma = rebin(scan.energy, scan.mu, scan.sigma, settings.rebin)
        scan.step("rebin", width_ev=settings.rebin)
    return scan


def answer(scan: Scan, raw: list[Scan], left_out: list[str], call: Call) -> Estimate:
    """Return the estimate of a reduced spectrum.

    Parameters
    ----------
    scan : Scan
        Reduced.
    raw : list of Scan
        What it was merged from.
    left_out : list of str
        Labels of the outliers.
    call : Call
        Levels.
    """
    flags = list(scan.seen.flags) if scan.seen is not None else []
    estimate = Estimate("spectra reduce", scan.ref, flags=flags)
    estimate.provenance = {"references": list(REFERENCES), "technique": "XAS"}
    if np.isfinite(scan.position):
        grid = float(np.median(np.diff(scan.energy[np.abs(scan.energy - scan.position) < 10])))
        estimate.quantities["edge_position"] = gaussian(scan.position, max(0.3 * grid, 0.02), "eV", call.levels)  # fmt: skip
    if scan.element:
        estimate.diagnostics["edge"] = f"{scan.element} {scan.edge}"
    estimate.quantities["scans_used"] = Quantity(len(raw) - len(left_out), "1", reason="a count")
    estimate.diagnostics |= {"steps": scan.steps, "left_out": left_out}
    if left_out:
        estimate.flag(
            "outlier_scans",
            f"left out of the mean: {', '.join(left_out)}",
            "look at them: radiation damage and beam loss look alike",
        )
    _flag_drift(estimate, scan, left_out)
    coords = {"energy": ("energy", scan.energy, {"units": "eV"})}
    arrays = {"spectrum": scan.mu} | ({} if scan.sigma is None else {"spectrum_sigma": scan.sigma})
    for name, values in arrays.items():
        estimate.arrays[name] = xr.DataArray(
            values, dims=("energy",), coords=coords, attrs={"units": "1"}
        )
    estimate.pictures.append(_picture(scan, raw, left_out))
    return estimate


def _flag_drift(estimate: Estimate, scan: Scan, left_out: list[str]) -> None:
    merged = next((s for s in scan.steps if s["step"] == "merge"), None)
    if merged is None:
        return
    found = {k: v for k, v in merged["largest_difference"].items() if k not in left_out}
    # the largest of a hundred points of noise lies three standard deviations out; twice that is none
    limit = max(DRIFT, 6.0 * merged["noise"])
    moved = [name for name, value in found.items() if value > limit]
    if moved:
        estimate.flag(
            "repeat_drift",
            f"{', '.join(moved)} differ(s) from the median of the repeats by up to "
            f"{max(found[n] for n in moved):.2f} edge steps",
            "radiation damage or a changed sample: use the first scans only",
        )


def _picture(scan: Scan, raw: list[Scan], left_out: list[str]) -> Picture:
    layers: list[Layer] = [
        line(s.energy, s.mu, f"left out: {s.label}" if s.label in left_out else "", "flagged" if s.label in left_out else "muted")
        for s in raw
        if len(raw) > 1
    ]  # fmt: skip
    if scan.sigma is not None:
        layers.append(band(scan.energy, scan.mu - 2 * scan.sigma, scan.mu + 2 * scan.sigma, "± 2 standard errors"))  # fmt: skip
    layers.append(line(scan.energy, scan.mu, scan.label, "data"))
    glitches = [e for s in scan.steps if s["step"] == "deglitch" for e in s["energies_ev"]]
    if glitches:
        layers.append(points(glitches, np.interp(glitches, scan.energy, scan.mu), "mended points", "flagged"))  # fmt: skip
    layers.append(mark(x=[scan.position], label="E½"))
    near = (scan.position - 60, scan.position + 120)
    inside = (float(max(near[0], scan.energy[0])), float(min(near[1], scan.energy[-1])))
    return Picture(
        "reduced",
        f"{scan.label}, reduced",
        (Panel(layers, "energy (eV)", "normalised absorption", x_range=inside if inside[1] > inside[0] else None),),
        f"{len(raw)} scan(s); steps: {', '.join(s['step'] for s in scan.steps) or 'none'}.",
    )  # fmt: skip
