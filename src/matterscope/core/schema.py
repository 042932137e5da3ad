"""What a measurement is: an `xarray.Dataset` that satisfies one row of a literal table.

In: a Dataset from a reader or from the user. Out: the same Dataset, checked, or one clear error.
Dimensions and coordinates carry field names and `units`; `NAME` may have a companion `NAME_sigma`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from matterscope.core.errors import SchemaError, UnitError

if TYPE_CHECKING:
    import xarray as xr
    from numpy.typing import ArrayLike


@dataclass(frozen=True)
class Kind:
    """One kind of measurement: its dimensions, coordinates with units, and variables."""

    dims: tuple[str, ...]
    coords: dict[str, tuple[str, ...]]
    """Coordinate → units allowed; an empty tuple allows any unit of the table."""
    variables: dict[str, tuple[str, ...]]
    """Variable → units allowed; the first is the main one."""
    meaning: str
    leading: bool = False
    """More dimensions may stand before `dims` (spectrum images, stacks)."""


KINDS: dict[str, Kind] = {
    "spectrum": Kind(
        ("energy",),
        {"energy": ("eV",)},
        {"mu": ("1", "counts", "e⁻")},
        "core-loss spectrum",
        leading=True,
    ),
    "emission": Kind(
        ("wavelength|energy",),
        {"wavelength": ("nm",), "energy": ("eV",)},
        {"counts": ("counts", "counts/s", "1")},
        "photoluminescence spectrum",
        leading=True,
    ),
    "photons": Kind(
        ("event",), {}, {"time": ("ps",), "channel": ("1",)}, "stream of photon events"
    ),
    "histogram": Kind(
        ("lag|delay",),
        {"lag": ("ps",), "delay": ("ps",)},
        {"counts": ("counts", "1")},
        "histogram of coincidences or of arrival times",
        leading=True,
    ),
    "trace": Kind(
        ("time",),
        {"time": ("s",)},
        {"counts": ("counts", "counts/s")},
        "counts against time",
        leading=True,
    ),
    "map": Kind(
        ("y", "x"),
        {"x": ("µm", "nm", "px"), "y": ("µm", "nm", "px")},
        {"counts": ("counts", "counts/s", "1")},
        "raster-scanned map",
    ),
    "patterns": Kind(
        ("qy", "qx"),
        {"qx": ("1/nm", "1/px"), "qy": ("1/nm", "1/px")},
        {"counts": ("counts", "1")},
        "coherent-scattering patterns",
        leading=True,
    ),
    "image": Kind(
        ("y", "x"),
        {"x": ("nm", "px"), "y": ("nm", "px")},
        {"intensity": ("1", "counts", "e⁻")},
        "micrograph",
    ),
    "movie": Kind(
        ("time", "y", "x"),
        {"time": ("s", "frame"), "x": ("nm", "px"), "y": ("nm", "px")},
        {"intensity": ("1", "counts", "e⁻")},
        "series of micrographs",
    ),
    "curve": Kind(("x",), {"x": ()}, {"y": ()}, "any measured curve: x, y with stated units"),
}
"""The closed list of kinds; readers and answers name them, nothing else exists."""

COORDINATE_TOLERANCE = 1e-6
"""Two grids are the same when they differ by less than this share of their step."""


def measurement(
    kind: str,
    coords: dict[str, tuple[Any, str]],
    variables: dict[str, tuple[tuple[str, ...], Any, str]],
    *,
    source: dict[str, Any] | None = None,
    vendor: dict[str, Any] | None = None,
    **attrs: Any,
) -> xr.Dataset:
    """Build and check a measurement.

    Parameters
    ----------
    kind : str
        A key of `KINDS`.
    coords : dict
        Name → (values, units); each is one-dimensional over a dimension of its own name.
    variables : dict
        Name → (dimensions, values, units).
    source : dict
        uri, sha256, reader, selector of the file it came from.
    vendor : dict
        The vendor's own metadata, untouched.
    **attrs
        Normalised metadata (``element="Cu"``, ``edge="K"``, ``label=…``).

    Examples
    --------
    >>> m = measurement("spectrum", {"energy": ([1.0, 2.0], "eV")}, {"mu": (("energy",), [0.0, 1.0], "1")})
    >>> m.attrs["kind"], m.energy.attrs["units"]
    ('spectrum', 'eV')
    """
    import numpy as np
    import xarray as xr

    dataset = xr.Dataset(
        {
            name: xr.Variable(dims, np.asarray(values), {"units": units})
            for name, (dims, values, units) in variables.items()
        },
        coords={
            name: xr.Variable((name,), np.asarray(values), {"units": units})
            for name, (values, units) in coords.items()
        },
        attrs={"kind": kind, **attrs, "source": dict(source or {}), "vendor": dict(vendor or {})},
    )
    return check(dataset, kind)


def check(dataset: xr.Dataset, kind: str | None = None) -> xr.Dataset:
    """Return `dataset` if it satisfies the schema of `kind`; raise SchemaError or UnitError else.

    Asked are: dimensions, units, finite and increasing coordinates, and matching `_sigma` companions.
    """
    name = kind or dataset.attrs.get("kind", "")
    if name not in KINDS:
        raise SchemaError(
            "unknown kind of measurement", got=repr(name), expected="one of " + ", ".join(KINDS)
        )
    found = dataset.attrs.get("kind", name)
    where = _where(dataset)
    if found != name:
        raise SchemaError(
            f"{found} data were found here, and {name} data are wanted",
            where=where,
            hint=f"use a command for {found} data; docs/formats.md says how a {name} file begins",
        )
    rule = KINDS[name]
    _check_variables(dataset, name, rule, where)
    for coord, allowed in rule.coords.items():
        if coord in dataset.coords:
            _check_axis(dataset, coord, allowed, where)
    return dataset


def _where(dataset: xr.Dataset) -> str:
    source = dataset.attrs.get("source") or {}
    return str(source.get("uri", "")) + (f":{source['selector']}" if source.get("selector") else "")


def _check_variables(dataset: xr.Dataset, name: str, rule: Kind, where: str) -> None:
    for variable, allowed in rule.variables.items():
        if variable not in dataset:
            raise SchemaError(
                f"a {name} needs the variable '{variable}'",
                where=where,
                got=list(dataset.data_vars),
            )
        dims = dataset[variable].dims
        tail = dims[-len(rule.dims) :]
        fits = len(tail) == len(rule.dims) and all(
            d in r.split("|") for d, r in zip(tail, rule.dims, strict=True)
        )
        if not fits or (len(dims) > len(rule.dims) and not rule.leading):
            raise SchemaError(
                f"'{variable}' of a {name} has the wrong dimensions",
                where=where,
                got=dims,
                expected=rule.dims,
            )
        _check_units(dataset, variable, allowed, where)
        sigma = f"{variable}_sigma"
        if sigma in dataset and dataset[sigma].shape != dataset[variable].shape:
            raise SchemaError(
                f"'{sigma}' must have the shape of '{variable}'",
                where=where,
                got=dataset[sigma].shape,
                expected=dataset[variable].shape,
            )


def _check_units(dataset: xr.Dataset, name: str, allowed: tuple[str, ...], where: str) -> None:
    units = dataset[name].attrs.get("units")
    if units is None or (allowed and units not in allowed):
        raise UnitError(
            f"'{name}' has no fitting units",
            where=where,
            got=repr(units),
            expected=" or ".join(allowed) or "any unit",
        )


def _check_axis(dataset: xr.Dataset, name: str, allowed: tuple[str, ...], where: str) -> None:
    import numpy as np

    _check_units(dataset, name, allowed, where)
    values = np.asarray(dataset[name].values, dtype=float)
    if values.ndim != 1 or values.size == 0:
        raise SchemaError(
            f"axis '{name}' must be a non-empty vector", where=where, got=f"shape {values.shape}"
        )
    if not np.isfinite(values).all():
        index = int(np.flatnonzero(~np.isfinite(values))[0])
        raise SchemaError(
            f"axis '{name}' is not finite at index {index}",
            where=where,
            got=values[index],
            hint="remove the rows without a number",
        )
    falls = np.flatnonzero(np.diff(values) <= 0)
    if falls.size:
        i, units = int(falls[0]), dataset[name].attrs["units"]
        raise SchemaError(
            f"axis '{name}' ({units}) must increase; it goes from {values[i]:g} to {values[i + 1]:g} at index {i + 1}",
            where=where,
            hint="sort the file by this axis and merge repeated points",
        )


def same_grid(a: ArrayLike, b: ArrayLike) -> bool:
    """Return whether two axes are the same within `COORDINATE_TOLERANCE` of their step.

    Examples
    --------
    >>> same_grid([0.0, 1.0, 2.0], [1e-12, 1.0, 2.0]), same_grid([0.0, 1.0], [0.1, 1.1])
    (True, False)
    """
    import numpy as np

    x, y = np.asarray(a, dtype=float), np.asarray(b, dtype=float)
    if x.shape != y.shape or x.size < 2:
        return x.shape == y.shape and bool(np.array_equal(x, y))
    step = float(np.min(np.abs(np.diff(x))))
    return bool(np.max(np.abs(x - y)) <= COORDINATE_TOLERANCE * step)
