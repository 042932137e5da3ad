"""Units: one table, conversion by dimension, and the two axes that need a Jacobian.

In: numbers with a unit's name. Out: numbers in another unit of the same dimension.
Unit arithmetic happens here only; kernels take plain arrays with units in their signature.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from matterscope.core.errors import UnitError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

HC = 1239.841984
"""Planck constant × speed of light, eV nm (CODATA 2018)."""

UNITS: dict[str, tuple[str, float]] = {
    # name: (dimension, size in the dimension's base unit)
    "eV": ("energy", 1.0),
    "meV": ("energy", 1e-3),
    "µeV": ("energy", 1e-6),
    "keV": ("energy", 1e3),
    "1/cm": ("energy", 1.239841984e-4),
    "nm": ("length", 1.0),
    "Å": ("length", 0.1),
    "pm": ("length", 1e-3),
    "µm": ("length", 1e3),
    "mm": ("length", 1e6),
    "m": ("length", 1e9),
    "cm": ("length", 1e7),
    "1/nm": ("wavenumber", 1.0),
    "1/Å": ("wavenumber", 10.0),
    "s": ("time", 1.0),
    "ms": ("time", 1e-3),
    "µs": ("time", 1e-6),
    "ns": ("time", 1e-9),
    "ps": ("time", 1e-12),
    "fs": ("time", 1e-15),
    "1/s": ("rate", 1.0),
    "Hz": ("rate", 1.0),
    "kHz": ("rate", 1e3),
    "MHz": ("rate", 1e6),
    "GHz": ("rate", 1e9),
    "counts/s": ("rate", 1.0),
    "kcounts/s": ("rate", 1e3),
    "deg": ("angle", 0.017453292519943295),
    "rad": ("angle", 1.0),
    "mrad": ("angle", 1e-3),
    "K": ("temperature", 1.0),
    "W": ("power", 1.0),
    "mW": ("power", 1e-3),
    "µW": ("power", 1e-6),
    "counts/µW": ("counts per power", 1e6),
    "1/cm²": ("areal density", 1.0),
    "1/nm²": ("areal density", 1e14),
    "1/µm²": ("areal density", 1e8),
    "1/cm³": ("density", 1.0),
    "1/nm³": ("density", 1e21),
    "g/cm³": ("mass density", 1.0),
    "m²/s": ("diffusivity", 1.0),
    "V": ("potential", 1.0),
    "mA/cm²": ("current density", 1.0),
    "eV/Å": ("force", 1.0),
    "counts": ("counts", 1.0),
    "e⁻": ("electrons", 1.0),
    "µB": ("magnetic moment", 1.0),
    "e": ("charge", 1.0),
    "mAh/g": ("specific capacity", 1.0),
    "amu": ("mass", 1.0),
    "px": ("pixel", 1.0),
    "1/px": ("per pixel", 1.0),
    "1/px²": ("per pixel area", 1.0),
    "frame": ("frame", 1.0),
    "1/frame": ("per frame", 1.0),
    "box": ("box", 1.0),
    "1": ("number", 1.0),
    "%": ("number", 0.01),
}
"""Unit → (dimension, size). Uncalibrated axes carry `px`, `1/px` or `frame`."""

ALIASES = {
    "ev": "eV",
    "mev": "meV",
    "kev": "keV",
    "angstrom": "Å",
    "angstroms": "Å",
    "a": "Å",
    "nanometer": "nm",
    "nanometre": "nm",
    "um": "µm",
    "μm": "µm",
    "micron": "µm",
    "microns": "µm",
    "metre": "m",
    "meter": "m",
    "cm-1": "1/cm",
    "cm^-1": "1/cm",
    "nm^-1": "1/nm",
    "inverse_angstrom": "1/Å",
    "sec": "s",
    "second": "s",
    "seconds": "s",
    "us": "µs",
    "μs": "µs",
    "degrees": "deg",
    "degree": "deg",
    "radian": "rad",
    "radians": "rad",
    "uw": "µW",
    "μw": "µW",
    "kelvin": "K",
    "": "1",
    "none": "1",
    "arbitrary": "1",
    "a.u.": "1",
    "arb": "1",
    "pixel": "px",
    "pixels": "px",
    "unitless": "1",
}


def parse_unit(text: str) -> str:
    """Return the table's name of a unit written in any common way.

    Examples
    --------
    >>> parse_unit("angstrom"), parse_unit(" eV "), parse_unit("um")
    ('Å', 'eV', 'µm')
    """
    name = text.strip()
    if name in UNITS:
        return name
    alias = ALIASES.get(name.lower())
    if alias is None:
        raise UnitError("unknown unit", got=repr(text), expected="one of " + ", ".join(UNITS))
    return alias


def conversion(source: str, target: str) -> float:
    """Return the factor that turns a number in `source` into a number in `target`.

    Examples
    --------
    >>> conversion("keV", "eV"), round(conversion("Å", "nm"), 12)
    (1000.0, 0.1)
    """
    source, target = parse_unit(source), parse_unit(target)
    (dimension, size), (wanted, unit) = UNITS[source], UNITS[target]
    if dimension != wanted:
        raise UnitError(
            f"{source} is a {dimension}, {target} a {wanted}",
            hint="give the axis in units of the right dimension",
        )
    return size / unit


def convert(values: ArrayLike, source: str, target: str) -> NDArray[Any]:
    """Return `values` (any shape) given in `source` as an array in `target`."""
    import numpy as np

    return np.asarray(values, dtype=float) * conversion(source, target)


def wavelength_to_energy(
    wavelength: ArrayLike, intensity: ArrayLike
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return energy (eV, ascending) and intensity per eV of a spectrum over wavelength (nm).

    I(E) = I(λ)·λ²/hc conserves area: the second array is reordered with the first.

    Examples
    --------
    >>> import numpy as np
    >>> energy, _ = wavelength_to_energy([619.920992], [1.0])
    >>> bool(np.isclose(energy[0], 2.0))
    True
    """
    import numpy as np

    lam = np.asarray(wavelength, dtype=float)
    per_energy = np.asarray(intensity, dtype=float) * lam**2 / HC
    order = np.argsort(HC / lam, kind="stable")
    return (HC / lam)[order], per_energy[..., order]
