"""Name the edges of an energy-loss spectrum whose axis may be wrong, and repair the axis.

In: a raw spectrum (energy in eV, counts). Out: named edges with probabilities, and the axis
E_true = E + c0 + c1 u + c2 u², u = (E − E_mid)/300 eV, with its covariance.
The L2 − L3 separation names a 3d element where its position cannot; the order of the edges does the rest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from matterscope.core.errors import DataError
from matterscope.physics.edges import WHITE_LINES, loss_onset, separation

Array = NDArray[np.float64]

SPAN = 300.0
"""Length (eV) over which a typical distortion is stated."""
AXIS_PRIOR = np.array([20.0, 15.0, 10.0])
"""Standard deviations (eV) of c0, c1, c2 before anything was seen: published axes are off by 10–20 eV
and by a few per cent; a shift of 60 eV is still found, at three of these."""
ONSET_SPREAD = 1.5
"""Chemical shift of an onset against the table, eV: onsets lie within about 2 eV."""
DELAYED_SPREAD = 4.0
"""The same for L2,3 of Al … S, which rise slowly and move by several eV in oxides."""
SEPARATION_SPREAD = 0.4
"""Multiplet effects on the distance of the two white lines, eV."""
SINGLE_EDGES = (
    *((element, "K") for element in ("B", "C", "N", "O", "F")),
    *((element, "L3") for element in ("Al", "Si", "P", "S")),
)
"""Edges without a resolved pair of white lines: nothing but their place tells them."""
STRUCTURE = 40.0
"""Near-edge maxima of a single edge are expected up to this far (eV) above the first."""
CLUTTER_CAP = 8.0
FAINT = 1.5
"""Significance at which a maximum may still be the weaker of two white lines."""
PRE_EDGE = 15.0
"""An edge needs this much spectrum (eV) before it; detectors roll on at their first channels."""
BEAM = 80


@dataclass(frozen=True)
class Peak:
    """A maximum above the smooth course of the spectrum.

    Parameters
    ----------
    position, onset : float, eV
        Maximum, and steepest rise before it, on the axis as recorded.
    height : float, counts
        Above the smooth course.
    significance : float
        Height over its own noise.
    sigma : float, eV
        Standard uncertainty of position and onset.
    """

    position: float
    onset: float
    height: float
    significance: float
    sigma: float


@dataclass(frozen=True)
class NamedEdge:
    """One edge of an interpretation: the peaks that make it and the table's values."""

    element: str
    name: str
    first: int
    second: int | None
    reference: float
    separation: float | None
    penalty: float = 0.0

    @property
    def label(self) -> str:
        """Return ``"Mn L3"``."""
        return f"{self.element} {self.name}"


@dataclass(frozen=True)
class Axis:
    """A repaired axis: E_true = E + c0 + c1 u + c2 u², u = (E − middle)/300 eV.

    Parameters
    ----------
    coefficients : array of shape (degree + 1,), eV
        c0, c1, c2.
    covariance : array of shape (degree + 1, degree + 1), eV²
        Of the coefficients.
    middle : float, eV
        E_mid.
    """

    coefficients: Array
    covariance: Array
    middle: float

    def __call__(self, energy: Array) -> Array:
        """Return E_true (eV) of recorded energies (eV)."""
        return energy + self._basis(energy) @ self.coefficients

    def sigma(self, energy: Array) -> Array:
        """Return the standard uncertainty (eV) of E_true."""
        basis = self._basis(energy)
        return np.asarray(np.sqrt(np.einsum("...i,ij,...j->...", basis, self.covariance, basis)))

    def _basis(self, energy: Array) -> Array:
        return basis((np.asarray(energy, float) - self.middle) / SPAN, self.coefficients.size)

    @property
    def polynomial(self) -> Array:
        """Return c0, c1, c2 of E_true = c0 + c1 E + c2 E² (eV, 1, 1/eV)."""
        shifted = np.polynomial.Polynomial(self.coefficients)
        u = np.polynomial.Polynomial([-self.middle / SPAN, 1 / SPAN])
        total = np.polynomial.Polynomial([0.0, 1.0]) + shifted(u)
        return np.pad(total.coef, (0, 3 - total.coef.size))


@dataclass(frozen=True)
class Interpretation:
    """Named edges with the repaired axis and how sure both are.

    Parameters
    ----------
    peaks : list of Peak
        All that were found.
    edges : list of NamedEdge
        Ascending in energy; empty when nothing could be named.
    probabilities : list of float
        For each edge, the share of all interpretations (by evidence) that name it so.
    axis : Axis or None
        None when no edge was named.
    residuals : array of shape (len(edges),), eV
        Repaired onset minus the table's.
    alternatives : list of (str, float)
        The best other sets of edges and their probability.
    """

    peaks: list[Peak]
    edges: list[NamedEdge] = field(default_factory=list)
    probabilities: list[float] = field(default_factory=list)
    axis: Axis | None = None
    residuals: Array = field(default_factory=lambda: np.zeros(0))
    alternatives: list[tuple[str, float]] = field(default_factory=list)


def basis(u: Array, terms: int) -> Array:
    """Return 1, u, u² … along a last axis of length `terms`."""
    return np.stack([u**k for k in range(terms)], axis=-1)


# --- peaks ------------------------------------------------------------------------------------


def find_peaks(
    energy: Array, counts: Array, *, threshold: float = 4.5, most: int = 64
) -> list[Peak]:
    """Return the significant maxima of a spectrum, ascending in energy.

    The spectrum smoothed by 1 eV minus the spectrum smoothed by 4 eV is compared with its own robust
    spread, scaled by √counts as counting noise demands.

    Parameters
    ----------
    energy : array of shape (n,), eV
        Evenly spaced or nearly so.
    counts : array of shape (n,), counts
        Raw spectrum, background included.
    threshold : float
        Least significance.
    most : int
        At most this many, the most significant ones.
    """
    step = float(np.median(np.diff(energy)))
    narrow = gaussian_filter1d(counts, 1.0 / step)
    response = narrow - gaussian_filter1d(counts, 4.0 / step)
    scale = np.sqrt(np.maximum(gaussian_filter1d(counts, 8.0 / step), 1e-12 * np.abs(counts).max()))
    relative = response / scale
    edge = int(8.0 / step)
    inner = relative[edge:-edge] if relative.size > 4 * edge else relative
    noise = 1.4826 * float(np.median(np.abs(inner - np.median(inner))))
    if noise <= 0:
        return []
    score = relative / noise
    tops = np.flatnonzero((score[1:-1] > score[:-2]) & (score[1:-1] >= score[2:])) + 1
    maxima = [int(i) for i in tops if score[i] > threshold and edge < i < energy.size - edge]
    maxima = sorted(sorted(maxima, key=lambda i: -score[i])[:most])
    slope = np.gradient(narrow, energy)
    return [_peak(energy, narrow, slope, i, float(response[i]), float(score[i])) for i in maxima]


def _peak(
    energy: Array, smooth: Array, slope: Array, near: int, height: float, significance: float
) -> Peak:
    step = energy[1] - energy[0]
    reach = max(int(2.0 / step), 1)
    low, high = max(near - reach, 1), min(near + reach + 1, energy.size - 1)
    top = low + int(np.argmax(smooth[low:high]))
    back = max(top - int(7.0 / step), 0)
    steepest = back + int(np.argmax(slope[back : top + 1]))
    # a centroid of a line of about 2.5 eV width is known to width/significance, never below 0.15 eV
    sigma = float(np.hypot(2.5 / significance, 0.15))
    return Peak(
        _vertex(energy, smooth, top), _vertex(energy, slope, steepest), height, significance, sigma
    )


def _vertex(x: Array, y: Array, i: int) -> float:
    """Return the vertex of the parabola through three points around index `i`."""
    if not 0 < i < x.size - 1:
        return float(x[i])
    curvature = y[i - 1] - 2 * y[i] + y[i + 1]
    shift = 0.5 * (y[i - 1] - y[i + 1]) / curvature if curvature < 0 else 0.0
    return float(x[i] + np.clip(shift, -1, 1) * (x[i + 1] - x[i]))


# --- interpretations --------------------------------------------------------------------------


def interpret(
    energy: Array, counts: Array, *, elements: Sequence[str] = (), threshold: float = 4.5
) -> Interpretation:
    """Name the edges of a spectrum and repair its axis, without any hint but the spectrum.

    Every ordered set of table edges that the peaks could be is scored by its evidence: a Gaussian
    prior on the distortion of the axis, on chemical shifts and on white-line distances, against peaks
    that fall anywhere in the window.

    Parameters
    ----------
    energy : array of shape (n,), eV
        As recorded.
    counts : array of shape (n,), counts
        As recorded; background included.
    elements : sequence of str
        Restricts the elements; empty allows all of the table of light K and 3d L edges.
    threshold : float
        Least significance of a peak.
    """
    if energy.size < 64 or not np.isfinite(counts).all():
        raise DataError(
            "edges cannot be named in this spectrum",
            got=f"{energy.size} points, {int((~np.isfinite(counts)).sum())} of them not finite",
            expected="at least 64 finite points",
        )
    peaks = find_peaks(energy, counts, threshold=min(FAINT, threshold))
    frame = _Frame(peaks, float(energy[0]), float(energy[-1]), threshold)
    candidates = _candidates(frame, tuple(elements))
    scored = _search(frame, candidates)
    if not scored or not scored[0][1]:
        return Interpretation(peaks)
    best = list(scored[0][1])
    weights = np.exp([s - scored[0][0] for s, _ in scored])
    weights /= weights.sum()
    probabilities = [
        float(sum(w for w, (_, s) in zip(weights, scored, strict=True) if _names(s, e)))
        for e in best
    ]
    axis = fit_axis(peaks, best, frame.middle)
    onsets = np.array([peaks[e.first].onset for e in best])
    residuals = axis(onsets) - np.array([e.reference for e in best])
    return Interpretation(
        peaks, best, probabilities, axis, residuals, _alternatives(scored, weights, best)
    )


def _names(edges: tuple[NamedEdge, ...], wanted: NamedEdge) -> bool:
    return any(e.label == wanted.label and e.first == wanted.first for e in edges)


def _alternatives(
    scored: list[tuple[float, tuple[NamedEdge, ...]]], weights: Array, best: list[NamedEdge]
) -> list[tuple[str, float]]:
    totals: dict[str, float] = {}
    for weight, (_, edges) in zip(weights, scored, strict=True):
        text = " + ".join(e.label for e in edges) or "none"
        totals[text] = totals.get(text, 0.0) + float(weight)
    chosen = " + ".join(e.label for e in best)
    rest = sorted(((t, w) for t, w in totals.items() if t != chosen), key=lambda p: -p[1])
    return rest[:3]


@dataclass(frozen=True)
class _Frame:
    peaks: list[Peak]
    low: float
    high: float
    threshold: float

    def opens(self, index: int) -> bool:
        """Return whether this peak can be the first of an edge."""
        peak = self.peaks[index]
        return peak.significance >= self.threshold and peak.onset - self.low >= PRE_EDGE

    def rarity(self, index: int) -> float:
        """Return the log of the mean distance (eV) between peaks at least as strong as this one."""
        own = self.peaks[index].significance
        return float(np.log(self.span / sum(p.significance >= own for p in self.peaks)))

    @property
    def middle(self) -> float:
        return 0.5 * (self.low + self.high)

    @property
    def span(self) -> float:
        return self.high - self.low


def _candidates(frame: _Frame, elements: tuple[str, ...]) -> list[NamedEdge]:
    found: list[NamedEdge] = []
    reach = 3.5 * float(np.hypot(AXIS_PRIOR[0], AXIS_PRIOR[1] * frame.span / 2 / SPAN))
    for element, name in SINGLE_EDGES:
        reference = loss_onset(element, name)
        if not elements or element in elements:
            found += [
                NamedEdge(element, name, i, None, reference, None)
                for i, p in enumerate(frame.peaks)
                if frame.opens(i) and abs(p.onset - reference) < reach
            ]
    for element in WHITE_LINES:
        if not elements or element in elements:
            found += _white_lines(frame, element, reach)
    return sorted(found, key=lambda e: e.reference)


def _white_lines(frame: _Frame, element: str, reach: float) -> list[NamedEdge]:
    reference, gap = loss_onset(element, "L3"), separation(element)
    found = []
    for i, first in enumerate(frame.peaks):
        if not frame.opens(i) or abs(first.onset - reference) > reach:
            continue
        for j in range(i + 1, len(frame.peaks)):
            second = frame.peaks[j]
            stretch = (second.position - first.position) / gap
            ratio = first.height / second.height
            if 0.8 < stretch < 1.2 and 0.4 < ratio < 10:
                found.append(NamedEdge(element, "L3", i, j, reference, gap))
        # the weaker line may drown; the stronger the first, the less likely
        expected = first.significance / 3
        found.append(NamedEdge(element, "L3", i, None, reference, None, penalty=expected))
    return found


def _search(
    frame: _Frame, candidates: list[NamedEdge]
) -> list[tuple[float, tuple[NamedEdge, ...]]]:
    """Return sets of edges by falling evidence (beam search in order of energy)."""
    beam: list[tuple[float, tuple[NamedEdge, ...]]] = [(_evidence(frame, ()), ())]
    seen: dict[tuple[NamedEdge, ...], float] = {(): beam[0][0]}
    frontier = beam
    for _ in range(6):
        grown = {}
        for _, edges in frontier:
            for edge in candidates:
                if _extends(frame, edges, edge):
                    longer = (*edges, edge)
                    if longer not in seen:
                        seen[longer] = grown[longer] = _evidence(frame, longer)
        frontier = sorted(((s, e) for e, s in grown.items()), key=lambda p: -p[0])[:BEAM]
        if not frontier:
            break
    return sorted(((s, e) for e, s in seen.items()), key=lambda p: -p[0])[:2000]


def _extends(frame: _Frame, edges: tuple[NamedEdge, ...], edge: NamedEdge) -> bool:
    if not edges:
        return True
    last = edges[-1]
    if edge.reference <= last.reference or edge.element == last.element:
        return False
    taken = max(last.first, last.second if last.second is not None else last.first)
    start = frame.peaks[last.first].position
    # on any sane axis distances are kept within a third
    gap = frame.peaks[edge.first].position - start
    return edge.first > taken and 0.6 < gap / (edge.reference - last.reference) < 1.5


def _evidence(frame: _Frame, edges: tuple[NamedEdge, ...]) -> float:
    explained = _explained(frame, edges)
    clutter = sum(
        min(p.significance / 3, CLUTTER_CAP)
        for k, p in enumerate(frame.peaks)
        if k not in explained and frame.opens(k)
    )
    if not edges:
        return -clutter
    rows, values, variances = _equations(frame.peaks, edges, frame.middle)
    covariance = (rows * AXIS_PRIOR**2) @ rows.T + np.diag(variances)
    _, logdet = np.linalg.slogdet(covariance)
    chi2 = float(values @ np.linalg.solve(covariance, values))
    likelihood = -0.5 * (chi2 + logdet + values.size * np.log(2 * np.pi))
    # against peaks as strong that fall anywhere in the window, and for one of about 15 edges each
    return float(
        likelihood
        + sum(frame.rarity(k) for e in edges for k in (e.first, e.second) if k is not None)
        - len(edges) * float(np.log(15.0))
        - sum(e.penalty for e in edges)
        - clutter
    )


def _explained(frame: _Frame, edges: tuple[NamedEdge, ...]) -> set[int]:
    explained: set[int] = set()
    for edge in edges:
        explained.add(edge.first)
        if edge.second is not None:
            explained.add(edge.second)
        start = frame.peaks[edge.first].position
        reach = STRUCTURE if (edge.element, edge.name) in SINGLE_EDGES else 0.0
        explained |= {k for k, p in enumerate(frame.peaks) if start < p.position <= start + reach}
    return explained


def _equations(
    peaks: list[Peak], edges: Sequence[NamedEdge], middle: float
) -> tuple[Array, Array, Array]:
    """Return rows, values (eV) and variances (eV²) of the linear equations of the axis."""
    rows, values, variances = [], [], []
    for edge in edges:
        first = peaks[edge.first]
        slow = edge.name == "L3" and edge.element not in WHITE_LINES
        spread = DELAYED_SPREAD if slow else ONSET_SPREAD
        rows.append(basis(np.array((first.onset - middle) / SPAN), 3))
        values.append(edge.reference - first.onset)
        variances.append(first.sigma**2 + spread**2)
        if edge.second is not None and edge.separation is not None:
            second = peaks[edge.second]
            here = basis(np.array((first.position - middle) / SPAN), 3)
            rows.append(basis(np.array((second.position - middle) / SPAN), 3) - here)
            values.append(edge.separation - (second.position - first.position))
            variances.append(first.sigma**2 + second.sigma**2 + SEPARATION_SPREAD**2)
    return np.array(rows), np.array(values), np.array(variances)


def fit_axis(
    peaks: list[Peak], edges: Sequence[NamedEdge], middle: float, *, terms: int = 3
) -> Axis:
    """Return the axis by weighted least squares: a shift from one edge, a line from two, a parabola from three.

    Parameters
    ----------
    peaks : list of Peak
        As found.
    edges : sequence of NamedEdge
        At least one.
    middle : float, eV
        Centre of the recorded axis.
    terms : int
        At most this many coefficients.

    Notes
    -----
    Weights are 1/(σ² + s²) with the peak's own σ and the spread s of chemical shifts, so that the
    covariance states the doubt of an axis that rests on a table of elements.
    """
    rows, values, variances = _equations(peaks, edges, middle)
    terms = min(len(edges), terms)
    keep = np.any(rows[:, :terms] != 0, axis=1) if terms > 1 else rows[:, 0] != 0
    design = rows[keep][:, :terms] / np.sqrt(variances[keep])[:, None]
    target = values[keep] / np.sqrt(variances[keep])
    covariance = np.linalg.inv(design.T @ design)
    return Axis(np.asarray(covariance @ design.T @ target), np.asarray(covariance), middle)
