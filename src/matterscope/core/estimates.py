"""The answer of every inference: quantities with units, uncertainty, flags, provenance, pictures.

In: numbers from a domain. Out: an `Estimate`, which shows itself as a table and as JSON.
A quantity has an interval, a probability, or a stated reason for having none; never nothing.
"""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from matterscope.core.errors import ConfigError
from matterscope.core.files import plain

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd
    import xarray as xr

    from matterscope.core.pictures import Picture

SCHEMA = "matterscope.estimate/1"
LEVELS = (0.68, 0.9, 0.95)
"""Levels at which intervals are always given."""


@dataclass(frozen=True)
class Interval:
    """An interval at a stated level; the open end of a one-sided one is None."""

    level: float
    low: float | None
    high: float | None

    def as_json(self) -> dict[str, Any]:
        """Return the JSON form; one-sided intervals name their bound."""
        entry: dict[str, Any] = {"level": self.level, "low": self.low, "high": self.high}
        if self.low is None or self.high is None:
            entry["bound"] = "upper" if self.low is None else "lower"
        return entry


@dataclass(frozen=True)
class Quantity:
    """A value with units and its uncertainty.

    Parameters
    ----------
    value : float, int, str or None
        None means refused: `reason` says why, and the estimate carries a flag.
    units : str
        Name from `core.units`; "1" for pure numbers.
    sigma : float, optional
        Standard uncertainty, in `units`.
    intervals : sequence of Interval
        At stated levels.
    probabilities : mapping of str to float
        For discrete quantities: share of each value, summing to 1.
    reason : str
        Why there is no uncertainty (or no value).
    """

    value: float | int | str | None
    units: str = "1"
    sigma: float | None = None
    intervals: Sequence[Interval] = ()
    probabilities: Mapping[str, float] = field(default_factory=dict)
    reason: str = ""

    def __post_init__(self) -> None:
        if not (self.intervals or self.probabilities or self.reason):
            raise ConfigError(
                "a quantity needs an interval, probabilities or a reason for having none",
                got=self.value,
            )

    def interval(self, level: float) -> Interval | None:
        """Return the interval stated at `level`, or None."""
        return next((i for i in self.intervals if abs(i.level - level) < 1e-9), None)

    def as_json(self) -> dict[str, Any]:
        """Return the JSON form of DESIGN: value, units, sigma and one or more uncertainties."""
        entry: dict[str, Any] = {"value": self.value, "units": self.units}
        if self.sigma is not None:
            entry["sigma"] = self.sigma
        if self.intervals:
            entry["intervals"] = [i.as_json() for i in self.intervals]
        if self.probabilities:
            entry["probabilities"] = dict(self.probabilities)
        if self.reason:
            entry["uncertainty"] = f"none: {self.reason}"
        return entry


def gaussian(
    value: float,
    sigma: float,
    units: str,
    levels: Iterable[float] = LEVELS,
    *,
    low: float = -math.inf,
    high: float = math.inf,
) -> Quantity:
    """Return a quantity whose intervals are those of a normal law of width `sigma`, within `low` … `high`.

    Examples
    --------
    >>> q = gaussian(1.0, 0.1, "eV")
    >>> round(q.interval(0.95).high, 3)
    1.196
    """
    from statistics import NormalDist

    bands = []
    for level in levels:
        half = NormalDist().inv_cdf(0.5 + level / 2) * sigma
        bands.append(Interval(level, max(value - half, low), min(value + half, high)))
    return Quantity(value, units, sigma=sigma, intervals=tuple(bands))


def from_samples(samples: Any, units: str, levels: Iterable[float] = LEVELS) -> Quantity:
    """Return median, standard deviation and central quantile intervals of posterior samples."""
    import numpy as np

    draws = np.asarray(samples, dtype=float)
    bands = [
        Interval(level, *(float(v) for v in np.quantile(draws, [0.5 - level / 2, 0.5 + level / 2])))
        for level in levels
    ]
    return Quantity(
        float(np.median(draws)), units, sigma=float(draws.std(ddof=1)), intervals=tuple(bands)
    )


def refused(units: str, reason: str) -> Quantity:
    """Return a quantity without a value, with the reason."""
    return Quantity(None, units, reason=reason)


@dataclass(frozen=True)
class Flag:
    """A plain sentence about a doubt, with its remedy."""

    code: str
    message: str
    remedy: str = ""

    def as_json(self) -> dict[str, str]:
        """Return the JSON form."""
        return {"code": self.code, "message": self.message, "remedy": self.remedy}


@dataclass(frozen=True)
class InputRef:
    """What the answer is about: source, selector inside it, and the sha256 of the bytes read."""

    source: str = ""
    selector: str = ""
    sha256: str = ""

    def as_json(self) -> dict[str, str]:
        """Return the JSON form."""
        return {"source": self.source, "selector": self.selector, "sha256": self.sha256}


@dataclass
class Estimate:
    """What every inference returns, for one thing asked about.

    Parameters
    ----------
    capability : str
        Verb, e.g. ``"emitters g2"``.
    input : InputRef
        The thing asked about.
    quantities : dict of str to Quantity
        Scalars; names from `core.quantities`.
    arrays : dict of str to xarray.DataArray
        Vectors and images; ``units`` in attrs, uncertainty as siblings ``NAME_sigma/_low/_high``.
    tables : dict of str to pandas.DataFrame
        Rows; units of the columns in ``frame.attrs["units"]``.
    flags : list of Flag
        Doubts with remedies.
    diagnostics : dict
        Numbers that show how the answer came about (goodness of fit, iterations).
    provenance : dict
        Model, settings, references to cite.
    pictures : list of Picture
        What a person of the field would draw first.
    folder : path, optional
        Where the files lie that were made for the user (``diagnostics["artifacts"]``).
    """

    capability: str
    input: InputRef = field(default_factory=InputRef)
    quantities: dict[str, Quantity] = field(default_factory=dict)
    arrays: dict[str, xr.DataArray] = field(default_factory=dict)
    tables: dict[str, pd.DataFrame] = field(default_factory=dict)
    flags: list[Flag] = field(default_factory=list)
    diagnostics: dict[str, Any] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)
    pictures: list[Picture] = field(default_factory=list)
    folder: Path | None = None

    def __getitem__(self, name: str) -> Quantity:
        return self.quantities[name]

    def flag(self, code: str, message: str, remedy: str = "") -> None:
        """Add a flag, once."""
        entry = Flag(code, message, remedy)
        if entry not in self.flags:
            self.flags.append(entry)

    def flagged(self, code: str) -> bool:
        """Return whether a flag with this code is present."""
        return any(f.code == code for f in self.flags)

    @property
    def answered(self) -> bool:
        """Whether anything at all was answered: a value, a table or an array."""
        return any(q.value is not None for q in self.quantities.values()) or bool(
            self.tables or self.arrays
        )

    def as_json(self) -> dict[str, Any]:
        """Return the part of the JSON form that does not depend on a store."""
        return {
            "schema": SCHEMA,
            "capability": self.capability,
            "input": self.input.as_json(),
            "quantities": {n: plain(q.as_json()) for n, q in self.quantities.items()},
            "flags": [f.as_json() for f in self.flags],
            "diagnostics": plain(self.diagnostics),
            "provenance": plain(self.provenance),
        }

    def to_frame(self) -> pd.DataFrame:
        """Return the quantities as a table: value, units, sigma and the 90 % interval."""
        import pandas as pd

        rows = []
        for name, quantity in self.quantities.items():
            band = quantity.interval(0.9)
            rows.append(
                {
                    "quantity": name,
                    "value": quantity.value,
                    "units": quantity.units,
                    "sigma": quantity.sigma,
                    "low_90": band.low if band else None,
                    "high_90": band.high if band else None,
                    "uncertainty": quantity.reason,
                }
            )
        return pd.DataFrame(rows)

    def to_xarray(self) -> xr.Dataset:
        """Return the arrays as one Dataset, with the quantities in its attributes."""
        import xarray as xr

        dataset = xr.Dataset(self.arrays)
        dataset.attrs = {n: q.value for n, q in self.quantities.items()}
        return dataset

    def _repr_html_(self) -> str:
        body = self.to_frame().to_html(index=False, float_format=lambda v: f"{v:.5g}", na_rep="")
        notes = "".join(
            f"<li><b>{html.escape(f.code)}</b> {html.escape(f.message)} {html.escape(f.remedy)}</li>"
            for f in self.flags
        )
        title = html.escape(f"{self.capability} — {self.input.source} {self.input.selector}")
        return f"<p><b>{title}</b></p>{body}<ul>{notes}</ul>"
