"""Compare the spectra of one file among themselves: how far apart their edges stand, and in how many groups.

In: examined spectra of one edge on one axis. Out: for each an edge shift, a group and a relative oxidation
state with intervals, and one picture. No model enters: what is said here stands when every model refuses.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import stdtrit

from matterscope.core.estimates import Estimate, InputRef, Interval, Quantity
from matterscope.core.pictures import Layer, Panel, Picture, line, points
from matterscope.spectra.fusion.streams import rise
from matterscope.spectra.measured.quality import SEVERE, Examined
from matterscope.spectra.measured.standards import INDICES

if TYPE_CHECKING:
    from matterscope.core.calls import Call

Floats = NDArray[np.float64]

LEAST = 4
"""Spectra of one edge in one file from which groups are asked for."""
CHANCE = 0.01
"""Two groups are named when one normal population would look so divided less often than this."""
EV_PER_CHARGE = {"Mn": (2.5, 4.5), "Fe": (3.0, 5.0), "Co": (1.5, 3.5), "Ni": (1.0, 2.5)}
"""90 % range of the shift of a K edge by one charge in oxides, over indices and compounds (inferred)."""


def half_of_maximum(seen: Examined) -> float:
    """Return the first crossing of half of the maximum (eV): needs no post-edge."""
    near = seen.energy > seen.position - 25
    low = float(np.median(np.sort(seen.raw[near])[: max(3, int(near.sum()) // 20)]))
    return rise(seen.energy[near], seen.raw[near] - low)


OFFERED = {"half of maximum": half_of_maximum, **INDICES}
"""Every index of edge position, on the spectra's own axis."""


@dataclass(frozen=True)
class Division:
    """A series in two groups, or in one.

    Parameters
    ----------
    upper : array of shape (n,), bool
        Spectra whose edges stand higher; all False where there is one group.
    chance : float
        Share of normal populations of as many spectra that look at least as divided.
    probability : array of shape (n,)
        Of belonging to the upper group.
    """

    upper: NDArray[np.bool_]
    chance: float
    probability: Floats

    @property
    def two(self) -> bool:
        """Say whether there are two groups."""
        return bool(self.upper.any())


def _explained(values: Floats) -> tuple[float, int]:
    """Return the largest share of the variance that a cut of sorted values explains, and where it is."""
    count = len(values)
    total = float(((values - values.mean()) ** 2).sum())
    shares = []
    for cut in range(2, count - 1):  # a group has two members: one spectrum is an outlier
        parts = (values[:cut], values[cut:])
        shares.append(
            1 - sum(float(((p - p.mean()) ** 2).sum()) for p in parts) / max(total, 1e-12)
        )
    best = int(np.argmax(shares))
    return shares[best], best + 2


def consensus(table: Floats) -> Floats:
    """Return one coordinate from indices (n, k): the mean of each index in units of its own spread."""
    centred = table - np.median(table, axis=0)
    return np.asarray((centred / np.maximum(centred.std(axis=0), 1e-9)).mean(axis=1))


def divide(values: Floats, rng: np.random.Generator, draws: int = 2000) -> Division:
    """Divide values of shape (n,) into two groups if a single normal population would hardly look so.

    The statistic is the share of the variance between the groups of the best cut (Fisher, J. Am. Stat.
    Assoc. 53, 789, 1958); its law under one normal population comes from simulation.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> divide(np.array([0.0, 0.1, 2.0, 2.1, 0.05, 2.05]), rng).upper.tolist()
    [False, False, True, True, False, True]
    """
    count = len(values)
    none = Division(np.zeros(count, dtype=bool), 1.0, np.full(count, 0.0))
    if count < LEAST:
        return none
    order = np.argsort(values)
    share, cut = _explained(values[order])
    null = [_explained(np.sort(row))[0] for row in rng.normal(size=(draws, count))]
    chance = float((1 + np.sum(np.array(null) >= share)) / (draws + 1))
    if chance > CHANCE:
        return Division(none.upper, chance, none.probability)
    upper = np.zeros(count, dtype=bool)
    upper[order[cut:]] = True
    return Division(upper, chance, _membership(values, upper))


def _membership(values: Floats, upper: NDArray[np.bool_]) -> Floats:
    """Return P(upper) of each value, from Student densities of the other members of both groups."""
    found = np.empty(len(values))
    for i in range(len(values)):
        rest = np.arange(len(values)) != i
        groups = [values[rest & (upper == side)] for side in (False, True)]
        ties = sum(float(((g - g.mean()) ** 2).sum()) for g in groups)
        freedom = max(len(values) - 3, 1)
        apart = abs(groups[1].mean() - groups[0].mean())
        scale = max(np.sqrt(ties / freedom), 0.02 * apart)
        away = [(values[i] - g.mean()) / scale for g in groups]
        # both densities have one norm, which drops out
        law = [
            float((1 + z**2 / freedom) ** (-(freedom + 1) / 2)) * len(g)
            for z, g in zip(away, groups, strict=True)
        ]
        found[i] = law[1] / sum(law)
    return found


def shift_intervals(
    shifts: Floats, floor: float, levels: Sequence[float]
) -> tuple[float, list[tuple[float, float]]]:
    """Return the mean shift over indices (k,) and half widths at the levels.

    Each index is one definition of where an edge stands; their disagreement, which grows with the change
    of shape, is the uncertainty: √(s² + floor²) times Student's t of k − 1.
    """
    spread = float(np.sqrt(shifts.var(ddof=1) + floor**2))
    freedom = len(shifts) - 1
    return float(shifts.mean()), [
        (level, spread * float(stdtrit(freedom, 0.5 + level / 2))) for level in levels
    ]


def compare_series(
    seen: Sequence[tuple[InputRef, Examined]], estimates: Sequence[Estimate], call: Call
) -> None:
    """Add shifts, groups and the picture to the estimates of every series among the spectra."""
    series: dict[tuple[str, str, str], list[int]] = {}
    for number, (ref, spectrum) in enumerate(seen):
        usable = spectrum.element and spectrum.normalised is not None
        if usable and not spectrum.codes & SEVERE:
            series.setdefault((ref.source, spectrum.element, spectrum.edge), []).append(number)
    for members in series.values():
        if len(members) >= LEAST:
            _compare([seen[i][1] for i in members], [estimates[i] for i in members], call)


def _compare(spectra: list[Examined], estimates: list[Estimate], call: Call) -> None:
    table = np.array([[index(s) for index in OFFERED.values()] for s in spectra])
    known = np.isfinite(table).all(axis=0)
    names = [n for n, k in zip(OFFERED, known, strict=True) if k]
    table = table[:, known]
    if len(names) < 3:
        return
    found = divide(consensus(table), call.rng("series"))
    reference = table[~found.upper].mean(axis=0)
    first = estimates[0]
    first.tables["series"] = _rows(spectra, table, names, found)
    first.diagnostics["series"] = {"chance_of_one_group": found.chance, "two_groups": found.two}
    bands = [_answer(e, s, row - reference, found, i, call) for i, (e, s, row) in enumerate(zip(estimates, spectra, table, strict=True))]  # fmt: skip
    if found.two:
        first.tables["separation"] = separation(table, names, found.upper)
        _tell(first, found, spectra)
    first.pictures.insert(0, _picture(spectra, table - reference, names, found, bands))


def _answer(
    estimate: Estimate, seen: Examined, shifts: Floats, found: Division, number: int, call: Call
) -> tuple[float, float]:
    """Add shift, group and relative charge; return the ends of the 90 % interval of the shift."""
    near = np.abs(seen.energy - seen.position) < 10
    floor = 0.3 * float(np.median(np.diff(seen.energy[near])))
    middle, halves = shift_intervals(shifts, floor, call.levels)
    bands = tuple(Interval(level, middle - h, middle + h) for level, h in halves)
    estimate.quantities["edge_shift"] = Quantity(middle, "eV", intervals=bands)
    if found.two:
        chance = float(found.probability[number])
        estimate.quantities["edge_group"] = Quantity(
            "upper" if found.upper[number] else "lower",
            probabilities={"lower": 1 - chance, "upper": chance},
        )
    if seen.edge == "K" and seen.element in EV_PER_CHARGE:
        estimate.quantities["relative_oxidation_state"] = relative_charge(
            middle, dict(halves)[0.68], seen.element, call
        )
    half = dict(halves)[0.9]
    return middle - half, middle + half


def relative_charge(shift: float, spread: float, element: str, call: Call) -> Quantity:
    """Return the difference of charge that belongs to an edge shift (eV ± eV at 68 %).

    Δq = ΔE / s with s log-normal over `EV_PER_CHARGE`; standards on the same axis do better
    (`spectra oxidation`).
    """
    low, high = EV_PER_CHARGE[element]
    rng = call.rng("charge")
    width = np.log(high / low) / (2 * NormalDist().inv_cdf(0.95))
    slope = np.sqrt(low * high) * np.exp(width * rng.normal(size=4000))
    draws = (shift + spread * rng.normal(size=4000)) / slope
    bands = []
    for level in call.levels:
        ends = np.quantile(draws, [0.5 - level / 2, 0.5 + level / 2])
        bands.append(Interval(level, float(ends[0]), float(ends[1])))
    return Quantity(float(np.median(draws)), "1", intervals=tuple(bands))


def _rows(
    spectra: list[Examined], table: Floats, names: list[str], found: Division
) -> pd.DataFrame:
    frame = pd.DataFrame(table, columns=names)
    frame.insert(0, "label", [s.label for s in spectra])
    frame["group"] = np.where(found.upper, "upper", "lower") if found.two else "one"
    frame.attrs["units"] = dict.fromkeys(names, "eV")
    return frame


def separation(table: Floats, names: list[str], upper: NDArray[np.bool_]) -> pd.DataFrame:
    """Return, for each index, the ranges of both groups, the gap between them and Welch's 90 % interval."""
    rows = []
    for column, name in enumerate(names):
        low, high = table[~upper, column], table[upper, column]
        parts = [float(g.var(ddof=1)) / len(g) for g in (low, high)]
        error = float(np.sqrt(sum(parts)))
        below = sum(p**2 / (len(g) - 1) for p, g in zip(parts, (low, high), strict=True))
        freedom = sum(parts) ** 2 / max(below, 1e-300)
        half = float(stdtrit(max(freedom, 1.0), 0.95)) * error
        apart = float(high.mean() - low.mean())
        rows.append(
            {
                "index": name,
                "lower_from": float(low.min()),
                "lower_to": float(low.max()),
                "upper_from": float(high.min()),
                "upper_to": float(high.max()),
                "gap": float(high.min() - low.max()),
                "difference": apart,
                "difference_low": apart - half,
                "difference_high": apart + half,
            }
        )
    frame = pd.DataFrame(rows)
    frame.attrs["units"] = dict.fromkeys([c for c in frame if c != "index"], "eV")
    return frame


def _tell(first: Estimate, found: Division, spectra: list[Examined]) -> None:
    table = first.tables["separation"]
    apart = int((table["gap"] > 0).sum())
    lower = ", ".join(s.label for s, u in zip(spectra, found.upper, strict=True) if not u)
    upper = ", ".join(s.label for s, u in zip(spectra, found.upper, strict=True) if u)
    first.flag(
        "two_groups",
        f"The edges stand in two groups, {apart} of {len(table)} indices without overlap: {lower} below, {upper} above "
        f"(one population would look so with probability {found.chance:.2g}).",
        "no order inside a group is claimed; standards on the same axis turn shifts into charges (spectra oxidation)",
    )


def _picture(
    spectra: list[Examined],
    shifts: Floats,
    names: list[str],
    found: Division,
    bands: list[tuple[float, float]],
) -> Picture:
    overlay: list[Layer] = []
    spread: list[Layer] = []
    place = np.arange(len(names))
    for number, spectrum in enumerate(spectra):
        role = "series1" if found.upper[number] else "series0"
        side = "higher edge" if found.upper[number] else "lower edge"
        fresh = not any(layer.label == side for layer in overlay)
        near = np.abs(spectrum.energy - spectrum.position - 5) < 22
        top = float(spectrum.raw[near].max())
        name = side if fresh and found.two else ""
        overlay.append(line(spectrum.energy[near], spectrum.raw[near] / top, name, role))
        spread.append(points(place, shifts[number], name, role))
    return Picture(
        "series",
        "The spectra of this file side by side",
        (
            Panel(overlay, "energy / eV", "µ / maximum", "as measured"),
            Panel(spread, "", "shift / eV", "every index of edge position", x_ticks=names),
            Panel(
                _by_spectrum(bands, found.upper), "", "edge shift / eV", "mean over indices, 90 %",
                x_ticks=[s.label for s in spectra],
            ),
        ),
        "Shifts from the mean of the lower group, on the axis as given; the bars hold the disagreement of the indices."
        if found.two
        else "Shifts from the mean of all; one population explains them.",
        width=8.0,
        height=9.0,
    )  # fmt: skip


def _by_spectrum(bands: list[tuple[float, float]], upper: NDArray[np.bool_]) -> list[Layer]:
    layers = []
    for side, role in ((False, "series0"), (True, "series1")):
        at = np.flatnonzero(upper == side)
        if at.size:
            low, high = np.array(bands)[at].T
            layers.append(points(at, 0.5 * (low + high), "", role, y_low=low, y_high=high))
    return layers
