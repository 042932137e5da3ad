"""Formation energies of charged defects: levels, the lower hull over charge, and why a charge is not on it.

In: E_f(q) at the valence-band maximum. Out: thermodynamic levels, single-electron levels, off-hull charges.
All energies in eV, Fermi levels from the valence-band maximum.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]
TIE = 1e-6
"""eV; a charge that lies less than this above the hull counts as on it."""


@dataclass(frozen=True)
class Level:
    """A transition level ε(q/q′) = [E_f(q) − E_f(q′)] / (q′ − q), eV above the valence-band maximum."""

    charge_from: int
    charge_to: int
    energy: float
    negative_u: bool = False
    """The level joins charges between which a computed charge is never stable."""

    @property
    def name(self) -> str:
        """Return the level as it is written: ``(0/−1)``."""
        return f"({sign(self.charge_from)}/{sign(self.charge_to)})"


@dataclass(frozen=True)
class OffHull:
    """A computed charge that is stable at no Fermi level."""

    charge: int
    upper: int
    lower: int
    height: float
    """eV above the neighbours' crossing, at the Fermi level of that crossing."""

    def sentence(self) -> str:
        """Return the reason in words."""
        return (
            f"charge {sign(self.charge)} lies {self.height:.2f} eV above the "
            f"{sign(self.upper)} / {sign(self.lower)} line at their crossing"
        )


@dataclass(frozen=True)
class Hull:
    """The lower hull of one defect.

    Parameters
    ----------
    stable : tuple of int
        Charges on the hull, from the most positive.
    levels : tuple of Level
        Between neighbours on the hull; rising in energy.
    off_hull : tuple of OffHull
    single_electron : tuple of Level
        Levels of all adjacent computed charges, in the hull or not.
    not_computed : tuple of (int, Level)
        Charges between two hull charges that nobody computed, with the level that may hide them.
    """

    stable: tuple[int, ...]
    levels: tuple[Level, ...]
    off_hull: tuple[OffHull, ...]
    single_electron: tuple[Level, ...]
    not_computed: tuple[tuple[int, Level], ...]

    @property
    def negative_u(self) -> bool:
        """Whether any level skips a computed charge."""
        return any(level.negative_u for level in self.levels)


def sign(charge: int) -> str:
    """Return a charge as it is written.

    Examples
    --------
    >>> sign(2), sign(0), sign(-1)
    ('+2', '0', '−1')
    """
    return f"{charge:+d}".replace("-", "−") if charge else "0"


def lower_hull(energies: Mapping[int, float]) -> Hull:
    """Return the lower convex hull of E_f(q; E_F = 0) over q.

    A charge q is stable at some Fermi level exactly if (q, E_f(q)) is a vertex of the lower hull;
    levels are the (negative) slopes of its edges.

    Parameters
    ----------
    energies : mapping of charge to eV
        Formation energies at the valence-band maximum; any order.

    Examples
    --------
    >>> hull = lower_hull({0: 0.0, -1: 0.542, -2: 0.941})  # V_Cd in CdTe, HSE06
    >>> [(level.name, round(level.energy, 4)) for level in hull.levels], hull.negative_u
    ([('(0/−2)', 0.4705)], True)
    """
    charges = sorted(energies)
    chain: list[int] = []
    for q in charges:
        while len(chain) > 1 and _above(chain[-2], chain[-1], q, energies) >= -TIE:
            chain.pop()
        chain.append(q)
    stable = tuple(reversed(chain))
    known = set(energies)
    levels, off, hidden = [], [], []
    for upper, lower in itertools.pairwise(stable):
        between = range(lower + 1, upper)
        level = Level(
            upper, lower, transition(energies, upper, lower), any(q in known for q in between)
        )
        levels.append(level)
        for q in reversed(between):
            if q in known:
                line = energies[upper] + upper * level.energy
                off.append(OffHull(q, upper, lower, energies[q] + q * level.energy - line))
            else:
                hidden.append((q, level))
    pairs = zip(charges[::-1][:-1], charges[::-1][1:], strict=True)
    single = tuple(Level(a, b, transition(energies, a, b)) for a, b in pairs)
    return Hull(stable, tuple(levels), tuple(off), single, tuple(hidden))


def _above(left: int, middle: int, right: int, energies: Mapping[int, float]) -> float:
    """Return how far `middle` lies above the line from `left` to `right`, eV."""
    share = (middle - left) / (right - left)
    return energies[middle] - ((1 - share) * energies[left] + share * energies[right])


def transition(energies: Mapping[int, float], charge_from: int, charge_to: int) -> float:
    """Return ε(q/q′) = [E_f(q) − E_f(q′)] / (q′ − q), eV."""
    return (energies[charge_from] - energies[charge_to]) / (charge_to - charge_from)


def levels_to_energies(neutral: ArrayLike, levels: ArrayLike, highest: int) -> Array:
    """Return E_f(q) from the neutral energy and the adjacent levels.

    With q′ = q − 1: ε(q/q′) = E_f(q − 1) − E_f(q).

    Parameters
    ----------
    neutral : array of shape (…), eV
        E_f(0).
    levels : array of shape (…, n), eV
        ε(+h/h−1), …, in falling charge; they must pass charge 0.
    highest : int
        h, the charge of the first level.

    Returns
    -------
    array of shape (…, n + 1), eV
        E_f(h), …, E_f(h − n) at the valence-band maximum.

    Examples
    --------
    >>> levels_to_energies(1.0, [0.2, 0.7], 1).round(6).tolist()  # +1, 0, −1
    [0.8, 1.0, 1.7]
    """
    steps = np.asarray(levels, dtype=float)
    summed = np.concatenate([np.zeros((*steps.shape[:-1], 1)), np.cumsum(steps, axis=-1)], axis=-1)
    return np.asarray(summed - summed[..., [highest]] + np.asarray(neutral, dtype=float)[..., None])


def energies_to_levels(energies: ArrayLike) -> Array:
    """Return the adjacent levels ε(q/q−1) of energies in falling charge; the inverse of `levels_to_energies`."""
    return np.asarray(np.diff(np.asarray(energies, dtype=float), axis=-1))


def hull_energy(energies: Mapping[int, float], fermi: ArrayLike) -> tuple[Array, NDArray[np.int64]]:
    """Return the lowest E_f(q) + q E_F and its charge at each Fermi level."""
    charges = np.array(sorted(energies))
    at = np.asarray(fermi, dtype=float)
    lines = np.array([energies[q] for q in charges])[:, None] + charges[:, None] * at[None]
    best = lines.argmin(axis=0)
    return lines[best, np.arange(at.size)], charges[best]


def probability_of_negative_u(samples: Array) -> Array:
    """Return the share of sampled level vectors in which some adjacent pair is in reversed order.

    Parameters
    ----------
    samples : array of shape (draws, n, levels), eV
        In falling charge; ordered levels rise.
    """
    return np.asarray((np.diff(samples, axis=-1) < 0).any(axis=-1).mean(axis=0))


def label_of(energy: float, gap: float | None) -> str:
    """Return where a level lies: in the gap, or resonant with a band."""
    if gap is None:
        return "gap not given"
    if energy < 0:
        return "resonant with the valence band"
    return "resonant with the conduction band" if energy > gap else "in the gap"


def crossing_sentences(hull: Hull) -> Sequence[str]:
    """Return why charges are not seen in the diagram, one sentence each."""
    reasons = [off.sentence() for off in hull.off_hull]
    for level in {level for _, level in hull.not_computed}:
        charges = [q for q, hidden in hull.not_computed if hidden == level]
        steps = range(level.charge_from, level.charge_to, -1)
        hides = ", ".join(f"({sign(q)}/{sign(q - 1)})" for q in steps)
        word = "charge" if len(charges) == 1 else "charges"
        reasons.append(
            f"{word} {', '.join(map(sign, charges))} not computed: {level.name} may hide {hides}"
        )
    return reasons
