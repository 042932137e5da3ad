"""Rules of a screen: text to intervals, and the probability that a compound passes all of them.

In: words such as ``decomposition<0`` or ``gap in 1.0:1.8``, predicted values and σ. Out: the probability of
each rule and, with the correlation of the errors, of all of them together.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri
from scipy.stats import qmc

from matterscope.core.errors import ConfigError
from matterscope.materials.alloys.tables import PROPERTIES, canonical_property

Array = NDArray[np.float64]

DRAWS = 256
"""Quasi-random joint draws for P(all); the error of a probability is below 0.01."""
NUMBER = r"[-+]?\d*\.?\d+(?:[eE][-+]?\d+)?"
WINDOWS = {
    # name of a preset: (property, low, high), the windows used with arXiv 2109.10798
    "gap-pbe-narrow": ("band_gap_pbe", 0.9, 1.8),
    "gap-pbe-wide": ("band_gap_pbe", 1.0, 2.5),
    "gap-hse": ("band_gap_hse", 1.0, 3.0),
}


@dataclass(frozen=True)
class Rule:
    """A property must lie between two limits (units of the property)."""

    text: str
    name: str
    low: float
    high: float

    def by_value(self, value: NDArray[np.floating]) -> NDArray[np.bool_]:
        """Return which values pass."""
        return np.asarray((value > self.low) & (value < self.high))

    def probability(
        self, value: NDArray[np.floating], sigma: NDArray[np.floating]
    ) -> NDArray[np.floating]:
        """Return P(low < property < high) for normal errors."""
        upper = ndtr((self.high - value) / sigma) if np.isfinite(self.high) else 1.0
        lower = ndtr((self.low - value) / sigma) if np.isfinite(self.low) else 0.0
        return np.asarray(upper - lower)


def parse_rules(texts: Sequence[str], names: Sequence[str]) -> tuple[list[Rule], list[str]]:
    """Return rules over the properties `names`, and what was assumed.

    Examples
    --------
    >>> rules, notes = parse_rules(["gap in 1:2"], ["band_gap_pbe", "band_gap_hse"])
    >>> rules[0].name, rules[0].low, notes
    ('band_gap_hse', 1.0, ['gap is read as band_gap_hse'])
    """
    rules, notes = [], []
    for text in texts:
        if text in WINDOWS:
            name, low, high = WINDOWS[text]
        else:
            word, low, high = _limits(text)
            name = resolve_property(word, names)
            if name not in {word, canonical_property(word)[0]}:
                notes.append(f"{word} is read as {name}")
        if name not in names:
            raise ConfigError(
                f"the rule '{text}' needs {name}, which the model does not predict",
                expected="one of " + ", ".join(names),
            )
        if not low < high:
            raise ConfigError("a rule with an empty window", got=text, expected="low < high")
        rules.append(Rule(text, name, low, high))
    return rules, notes


def _limits(text: str) -> tuple[str, float, float]:
    short = text.replace("≤", "<").replace("≥", ">").replace("=", "")
    window = re.fullmatch(rf"\s*(\w+)\s+in\s+({NUMBER})\s*(?::|\.\.)\s*({NUMBER})\s*", short)
    if window:
        return window[1], float(window[2]), float(window[3])
    between = re.fullmatch(rf"\s*({NUMBER})\s*<\s*(\w+)\s*<\s*({NUMBER})\s*", short)
    if between:
        return between[2], float(between[1]), float(between[3])
    one = re.fullmatch(rf"\s*(\w+)\s*([<>])\s*({NUMBER})\s*", short)
    if one:
        limit = float(one[3])
        return (one[1], -np.inf, limit) if one[2] == "<" else (one[1], limit, np.inf)
    raise ConfigError(
        "this is not a rule",
        got=repr(text),
        expected="'NAME<NUMBER', 'NAME>NUMBER' or 'NAME in LOW:HIGH'",
        hint="presets: " + ", ".join(WINDOWS),
    )


def resolve_property(word: str, names: Sequence[str]) -> str:
    """Return the property that a short word means; of two fidelities the higher (HSE)."""
    if word in names:
        return word
    canonical = canonical_property(word)[0]
    for candidate in (canonical, f"{canonical}_hse", f"{canonical}_pbe"):
        if candidate in names:
            return candidate
    short = word.lower()
    found = [n for n in names if short in n or all(p in n for p in short.split("_"))]
    found = sorted(found, key=lambda n: not n.endswith("_hse"))
    families = {re.sub(r"_(pbe|hse)$", "", n) for n in found}
    if len(families) == 1:
        return found[0]
    raise ConfigError(
        f"'{word}' names no property, or several",
        got=", ".join(found) or word,
        expected="one of " + ", ".join(names or PROPERTIES),
    )


def joint_draws(correlation: Array) -> Array:
    """Return quasi-random draws of correlated unit normals, shape (DRAWS, rules); always the same."""
    uniform = qmc.Sobol(len(correlation), scramble=True, seed=0).random(DRAWS)
    factor = np.linalg.cholesky(correlation + 1e-9 * np.eye(len(correlation)))
    return np.asarray(ndtri(np.clip(uniform, 1e-6, 1 - 1e-6)) @ factor.T)


def joint_probability(
    rules: Sequence[Rule],
    values: NDArray[np.floating],
    sigmas: NDArray[np.floating],
    draws: Array,
    threshold: float,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return P(each rule), shape (n, rules), and P(all), shape (n,).

    Parameters
    ----------
    values, sigmas : arrays of shape (n, rules)
        Property of each rule.
    draws : array of shape (m, rules)
        From `joint_draws`; errors of the properties are correlated.
    threshold : float
        P(all) ≤ min P(rule): where the minimum is below, the product stands and nothing is drawn.
    """
    each = np.empty(values.shape, dtype=np.float32)
    for j, rule in enumerate(rules):
        each[:, j] = rule.probability(values[:, j], sigmas[:, j])
    every = each.prod(1)
    if len(rules) < 2:
        return each, every
    open_rows = np.flatnonzero((each.min(1) >= threshold) & (each.min(1) < 0.9995))
    low = np.array([r.low for r in rules])
    high = np.array([r.high for r in rules])
    for start in range(0, len(open_rows), 4096):
        rows = open_rows[start : start + 4096]
        lower = (low - values[rows]) / sigmas[rows]
        upper = (high - values[rows]) / sigmas[rows]
        inside = np.ones((len(rows), len(draws)), dtype=bool)
        for j in range(len(rules)):
            inside &= (draws[None, :, j] > lower[:, j, None]) & (
                draws[None, :, j] < upper[:, j, None]
            )
        every[rows] = inside.mean(1)
    return each, every
