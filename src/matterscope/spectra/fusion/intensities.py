"""Let measured ratios of metals correct what shapes of edges say: the intensities of edges count atoms.

In: ratios such as Mn/Ni = 0.33 ± 0.03 and a Gaussian over all targets. Out: that Gaussian given the ratios.
Ratios come from edge intensities (`spectra reduce` quantifies one energy-loss spectrum) or from chemical analysis.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from matterscope.core.errors import ConfigError

Floats = NDArray[np.float64]

METALS = ("Ni", "Mn", "Co")
SUM_ERROR = 0.003
"""Deviation allowed of Ni + Mn + Co from 1 (dopants stay out of the population)."""
FORM = re.compile(r"^(Ni|Mn|Co)/(Ni|Mn|Co)=([0-9.eE+-]+):([0-9.eE+-]+)$")


def read_ratios(given: Sequence[str]) -> list[tuple[str, str, float, float]]:
    """Return (above, below, ratio, standard error) of texts such as ``"Mn/Ni=0.33:0.03"``.

    Raises
    ------
    ConfigError
        When a text has another form, or a ratio or its error is not positive.

    Examples
    --------
    >>> read_ratios(["Mn/Ni=0.33:0.03"])
    [('Mn', 'Ni', 0.33, 0.03)]
    """
    found = []
    for text in given:
        parts = FORM.match(text.replace(" ", ""))
        try:
            above, below, ratio, error = parts.groups() if parts else ("", "", "0", "0")
            entry = (above, below, float(ratio), float(error))
        except ValueError:
            entry = ("", "", 0.0, 0.0)
        if not (entry[2] > 0 and entry[3] > 0) or entry[0] == entry[1]:
            raise ConfigError(
                "a ratio of metals is not understood",
                where="--ratios",
                got=text,
                expected="ABOVE/BELOW=RATIO:ERROR of two of Ni, Mn, Co, e.g. Mn/Ni=0.33:0.03",
            )
        found.append(entry)
    return found


def condition(
    mean: Floats, covariance: Floats, rows: Floats, values: Floats, errors: Floats
) -> tuple[Floats, Floats]:
    """Return mean and covariance of y given A y = b ± e: y' = y + K (b − A y), K = C Aᵀ (A C Aᵀ + E)⁻¹.

    Parameters
    ----------
    mean : array of shape (t,)
    covariance : array of shape (t, t)
    rows : array of shape (m, t)
        A.
    values, errors : arrays of shape (m,)
        b and the standard deviations on the diagonal of √E.

    Examples
    --------
    >>> m, c = condition(np.zeros(1), np.eye(1), np.eye(1), np.ones(1), np.ones(1))
    >>> float(m[0]), float(c[0, 0])
    (0.5, 0.5)
    """
    inner = rows @ covariance @ rows.T + np.diag(errors**2)
    gain = np.linalg.solve(inner, rows @ covariance).T
    kept = covariance - gain @ rows @ covariance
    return mean + gain @ (values - rows @ mean), 0.5 * (kept + kept.T)


def with_ratios(
    mean: Floats,
    covariance: Floats,
    columns: dict[str, int],
    ratios: Sequence[tuple[str, str, float, float]],
) -> tuple[Floats, Floats]:
    """Return the Gaussian over all targets given ratios of metals and contents that sum to 1.

    A ratio r = y_a/y_b is the linear row y_a − r y_b = 0 with the error σ_r y_b; y_b comes from the answer
    before, so it is solved twice.

    Parameters
    ----------
    columns : dict of str to int
        Where the contents of Ni, Mn and Co stand in `mean`.
    """
    answer = mean, covariance
    for _ in range(2):
        rows = np.zeros((1 + len(ratios), len(mean)))
        values, errors = np.zeros(len(rows)), np.zeros(len(rows))
        rows[0, list(columns.values())], values[0], errors[0] = 1.0, 1.0, SUM_ERROR
        for number, (above, below, ratio, error) in enumerate(ratios, start=1):
            rows[number, columns[above]], rows[number, columns[below]] = 1.0, -ratio
            errors[number] = error * max(float(answer[0][columns[below]]), 0.05)
        answer = condition(mean, covariance, rows, values, errors)
    return answer


def noisy_ratios(
    contents: Floats, relative_error: float, rng: np.random.Generator
) -> list[tuple[str, str, float, float]]:
    """Return Mn/Ni and Co/Ni of contents (Ni, Mn, Co) as if each intensity were off by a relative error."""
    seen = contents * np.exp(relative_error * rng.normal(size=3))
    error = np.sqrt(2.0) * relative_error
    pairs = ((METALS[i], "Ni", float(seen[i] / seen[0])) for i in (1, 2))
    return [(above, below, ratio, error * ratio) for above, below, ratio in pairs]
