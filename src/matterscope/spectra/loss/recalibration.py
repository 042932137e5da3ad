"""Name the edges of an energy-loss spectrum whose axis may be wrong, and repair the axis.

In: a raw spectrum (energy in eV, counts). Out: named edges with probabilities, and the axis
E_true = E + c0 + c1 u + c2 u², u = (E − E_mid)/300 eV, with its covariance.
Distance and heights of two white lines name an element where its position cannot; the order of the edges does the rest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from matterscope.core.errors import DataError
from matterscope.physics.edges import LINE_PAIRS, WHITE_LINES, loss_onset, separation
from matterscope.spectra.loss.peaks import Peak, find_peaks

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
    *((element, "K") for element in ("B", "C", "N", "O", "F", "Na", "Mg", "Al", "Si")),
    *((element, "L3") for element in ("Al", "Si", "P", "S")),
)
"""Edges without a resolved pair of white lines: nothing but their place tells them."""
COMMON = {"O": 0.5, "C": 0.3, "N": 0.1, "F": 0.1} | dict.fromkeys(WHITE_LINES, 0.1)
"""Share of specimens that hold an element, before anything was seen; others: one of all readings."""
STATED = 0.5
"""The same for an element that the user says can be present."""
READINGS = len(SINGLE_EDGES) + len(LINE_PAIRS)
LINE_RATIOS = {
    "Ca": 0.8, "Sc": 0.8, "Ti": 0.8, "V": 1.1, "Cr": 1.6,
    "Mn": 3.5, "Fe": 4.3, "Co": 3.8, "Ni": 3.7, "Cu": 3.8,
    "Ba": 0.85, "La": 0.8, "Ce": 0.95, "Pr": 1.15, "Nd": 1.4, "Sm": 1.9, "Eu": 2.3, "Gd": 2.8,
}  # fmt: skip
"""Height of the first white line over the second. Mn to Cu: the package's own multiplets of the
common ions, seen like a measured line; Ca to Cr: 3d⁰ to 3d³ (Leapman, Grunes and Fejes, Phys. Rev. B
26, 614 (1982)); M5 over M4 from the strengths of Thole et al., Phys. Rev. B 32, 5107 (1985)."""
RATIO_SPREAD = 0.45
"""Of its logarithm: charge, spin state and crystal field move it by half as much again."""
RATIO_RANGE = (0.4, 10.0)
SHARED = 5.0
"""One maximum can be the second line of an edge and the first of the next when the table has them
this close (eV): La M4 and Ni L3."""
STRUCTURE = 40.0
"""Near-edge maxima of a single edge are expected up to this far (eV) above the first."""
SECOND = (5.0, 15.0)
"""The next maximum of a K edge lies this far (eV) above the first: π* and σ*, or mixed with 3d and not."""
LONE = (3.0, 4.0)
"""Where no second maximum is seen, the one that is may be either of the two: it lies this far above the
onset on average, with this spread (eV)."""
UNRESOLVED = 5.0
"""White lines closer than this (eV) may be one maximum: Ca, Sc."""
CLUTTER_CAP = 8.0
FAINT = 1.5
"""Significance at which a maximum may still be the weaker of two white lines."""
PRE_EDGE = 15.0
"""An edge needs this much spectrum (eV) before it; detectors roll on at their first channels."""
BEAM = 80


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
        Restricts the elements; empty allows all light K, 3d L and rare-earth M edges.
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
    frame = _Frame(peaks, float(energy[0]), float(energy[-1]), threshold, frozenset(elements))
    candidates = _candidates(frame)
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
    stated: frozenset[str] = frozenset()
    """Elements that can be present; empty: all."""

    def allows(self, element: str) -> bool:
        return not self.stated or element in self.stated

    def prior(self, element: str) -> float:
        """Return the log of the probability that an element is present, before anything was seen."""
        share = STATED if self.stated else COMMON.get(element, 1 / READINGS)
        return float(np.log(share))

    def opens(self, index: int) -> bool:
        """Return whether this peak can be the first of an edge."""
        peak = self.peaks[index]
        return peak.significance >= self.threshold and peak.onset - self.low >= PRE_EDGE

    def ends_before(self, index: int, gap: float) -> bool:
        """Return whether a line `gap` (eV) above this peak would lie beyond the spectrum."""
        return self.peaks[index].position + 1.2 * gap > self.high - 8.0

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


def _candidates(frame: _Frame) -> list[NamedEdge]:
    found: list[NamedEdge] = []
    reach = 3.5 * float(np.hypot(AXIS_PRIOR[0], AXIS_PRIOR[1] * frame.span / 2 / SPAN))
    for element, name in SINGLE_EDGES:
        reference = loss_onset(element, name)
        if frame.allows(element):
            found += [
                NamedEdge(element, name, i, None, reference, None)
                for i, p in enumerate(frame.peaks)
                if frame.opens(i) and abs(p.onset - reference) < reach
            ]
    for element in LINE_PAIRS:
        if frame.allows(element):
            found += _white_lines(frame, element, reach)
    return sorted(found, key=lambda e: e.reference)


def _white_lines(frame: _Frame, element: str, reach: float) -> list[NamedEdge]:
    name, gap = LINE_PAIRS[element][0], separation(element)
    reference, found = loss_onset(element, name), []
    for i, first in enumerate(frame.peaks):
        if not frame.opens(i) or abs(first.onset - reference) > reach:
            continue
        for j in range(i + 1, len(frame.peaks)):
            second = frame.peaks[j]
            miss = abs(second.position - first.position - gap)
            ratio = first.height / second.height
            if (
                miss < max(0.2 * gap, 4 * SEPARATION_SPREAD)
                and RATIO_RANGE[0] < ratio < RATIO_RANGE[1]
            ):
                found.append(NamedEdge(element, name, i, j, reference, gap))
        # the second line may drown; the stronger it should be, the less likely
        unseen = gap < UNRESOLVED or frame.ends_before(i, gap)
        expected = 0.0 if unseen else first.significance / LINE_RATIOS[element]
        found.append(NamedEdge(element, name, i, None, reference, None, penalty=expected))
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
    free = edge.first > taken or (edge.first == last.second and _coincide(last, edge))
    return free and 0.6 < gap / (edge.reference - last.reference) < 1.5


def _coincide(lower: NamedEdge, upper: NamedEdge) -> bool:
    """Return whether the second line of an edge and the first of the next are one maximum."""
    return abs(lower.reference + separation(lower.element) - upper.reference) < SHARED


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
    used = {k for e in edges for k in (e.first, e.second) if k is not None}
    # against peaks as strong that fall anywhere in the window
    return float(
        likelihood
        + sum(frame.rarity(k) for k in used)
        + _heights(frame, edges)
        + _near_edges(frame, edges, used)
        + sum(frame.prior(e.element) for e in edges)
        - sum(e.penalty for e in edges)
        - clutter
    )


def _heights(frame: _Frame, edges: tuple[NamedEdge, ...]) -> float:
    """Return the evidence of the heights of all pairs: their logarithm against one drawn evenly."""
    shared = {e.first for e in edges} & {e.second for e in edges}
    total = 0.0
    for edge in edges:
        if edge.second is None or shared & {edge.first, edge.second}:
            continue  # a maximum that two edges share tells neither's height
        first, second = frame.peaks[edge.first], frame.peaks[edge.second]
        spread = float(np.hypot(RATIO_SPREAD, 1 / second.significance))
        apart = float(np.log(first.height / second.height / LINE_RATIOS[edge.element])) / spread
        even = float(np.log(RATIO_RANGE[1] / RATIO_RANGE[0]))
        total += -0.5 * apart**2 - float(np.log(spread * np.sqrt(2 * np.pi) / even))
    return total


def _near_edges(frame: _Frame, edges: tuple[NamedEdge, ...], used: set[int]) -> float:
    """Return the evidence of second maxima where K edges of light elements have them."""
    total = 0.0
    even = float(np.log(SECOND[1] - SECOND[0]))
    for edge in edges:
        start = frame.peaks[edge.first].position
        gains = [
            frame.rarity(k) - even
            for k, p in enumerate(frame.peaks)
            if k not in used and edge.name == "K" and SECOND[0] < p.position - start < SECOND[1]
        ]
        total += max([0.0, *gains])
    return total


def _explained(frame: _Frame, edges: tuple[NamedEdge, ...]) -> set[int]:
    explained: set[int] = set()
    for edge in edges:
        explained.add(edge.first)
        if edge.second is not None:
            explained.add(edge.second)
        start = frame.peaks[edge.first].position
        close = edge.element in LINE_PAIRS and separation(edge.element) < UNRESOLVED
        reach = STRUCTURE if edge.element not in LINE_PAIRS else 2 * UNRESOLVED * close
        explained |= {k for k, p in enumerate(frame.peaks) if start < p.position <= start + reach}
    return explained


def _equations(
    peaks: list[Peak], edges: Sequence[NamedEdge], middle: float
) -> tuple[Array, Array, Array]:
    """Return rows, values (eV) and variances (eV²) of the linear equations of the axis."""
    rows, values, variances = [], [], []
    shared = {e.first for e in edges} & {e.second for e in edges}
    for edge in edges:
        first = peaks[edge.first]
        slow = edge.name == "L3" and edge.element not in LINE_PAIRS
        late, spread = (
            LONE if _lone(peaks, edge) else (0.0, DELAYED_SPREAD if slow else ONSET_SPREAD)
        )
        rows.append(basis(np.array((first.onset - middle) / SPAN), 3))
        values.append(edge.reference + late - first.onset)
        # a maximum of two lines lies between them
        blurred = (0.5 * SHARED) ** 2 if edge.first in shared else 0.0
        variances.append(first.sigma**2 + spread**2 + blurred)
        if edge.second is not None and edge.separation is not None:
            second = peaks[edge.second]
            here = basis(np.array((first.position - middle) / SPAN), 3)
            rows.append(basis(np.array((second.position - middle) / SPAN), 3) - here)
            values.append(edge.separation - (second.position - first.position))
            blurred += (0.5 * SHARED) ** 2 if edge.second in shared else 0.0
            variances.append(first.sigma**2 + second.sigma**2 + SEPARATION_SPREAD**2 + blurred)
    return np.array(rows), np.array(values), np.array(variances)


def _lone(peaks: list[Peak], edge: NamedEdge) -> bool:
    """Return whether a K edge shows one maximum only, which may be its first or its second."""
    start = peaks[edge.first].position
    return edge.name == "K" and not any(SECOND[0] < p.position - start < SECOND[1] for p in peaks)


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
