"""Columns of numbers: CSV, TSV, ``.xmu``, ``.nor``, plain text and JSON arrays, in any dialect.

In: a text file with a header that names its columns, or ``columns="energy=1,i0=2,it=3"``, or arrays
without an axis together with ``energy="START:STEP"``. Out: spectra or curves; repairs are warnings.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from matterscope.core.errors import ReadError
from matterscope.core.schema import measurement
from matterscope.io import energy_axis, spectrum_arrays
from matterscope.io.energy_axis import Warnings
from matterscope.io.limits import declared
from matterscope.io.text_columns import (
    Floats,
    Table,
    decoded,
    is_number,
    number_of,
    parse,
    split_row,
    text_of,
)

if TYPE_CHECKING:
    import xarray as xr

WANTS_KIND = True

ROLES: dict[str, tuple[str, ...]] = {
    "energy": ("energy", "e", "ev", "energie", "energy_ev", "en", "omega", "energy_loss", "eloss"),
    "mu": ("mu", "xmu", "mutrans", "mufluor", "norm", "nor", "normalized", "normalised", "flat"),
    "i0": ("i0", "io", "monitor", "mon"),
    "it": ("it", "itrans", "i1", "itransmission", "trans", "transmission"),
    "if": ("if", "ifluor", "iff", "ifl", "fluorescence", "fluo", "tey", "tfy", "pfy"),
    "ir": ("ir", "irefer", "i2", "iref"),
    "angle": ("angle", "theta", "mono_angle"),
    "wavelength": (),
}
"""Role of a column → names it goes by, in lower case; a column's meaning never depends on its place."""
SIGNALS = ("intensity", "absorption", "mu_norm", "xanes", "counts", "signal", "y", "murefer")
REFERENCES = ("murefer", "mu_ref", "muref", "mu_reference")
"""Names of the absorption of a reference, as a rule a foil, that is measured behind the sample."""
NORMALISED = ("norm", "nor", "normalized", "normalised", "flat", "mu_norm")


def sniff(path: Path, head: bytes) -> bool:
    """Say whether the file is text with numbers in columns, JSON arrays, or arrays without an axis."""
    if head.startswith(b"\x93NUMPY") or (head[:2] == b"PK" and path.suffix.lower() == ".npz"):
        return True
    if path.suffix.lower() in {".xmu", ".nor", ".csv", ".tsv", ".dat", ".txt", ".json", ".chi"}:
        return b"\0" not in head or head[:2] in (b"\xff\xfe", b"\xfe\xff")
    if b"\0" in head:
        return False
    lines = [row for row in text_of(head).splitlines()[:-1] if row.strip()]
    return any(len(t := split_row(row)) >= 1 and all(map(is_number, t)) for row in lines[-3:])


def read(
    path: Path, *, kind: str | None = None, columns: str = "", energy: str = "", swap: bool = False
) -> list[xr.Dataset]:
    """Read every spectrum (or curve) of a column file.

    Parameters
    ----------
    path : path
        Text or JSON.
    kind : str, optional
        "spectrum" or "curve"; by default a spectrum when a column is an energy.
    columns : str
        ``energy=1,i0=2,it=3``: roles to 1-based columns or to names.
    energy : str
        ``START:STEP`` in eV, for arrays without an axis.
    swap : bool
        Exchange I0 and It.

    Raises
    ------
    ReadError
    """
    declared(path.stat().st_size, str(path), "this text")
    if path.suffix.lower() in {".npy", ".npz"}:
        return spectrum_arrays.read(path, energy=energy)
    text = decoded(path)
    if path.suffix.lower() == ".json" or text.lstrip()[:1] in "[{":
        return [
            _from_array(path, label, values, energy, kind, vendor)
            for label, values, vendor in _json_arrays(path, text)
        ]
    table = parse(path, text)
    if energy and table.values.shape[1] == 1:
        return [_from_array(path, "", table.values[:, 0], energy, kind, {})]
    roles = roles_of(path, table, columns)
    blind = not {"energy", "wavelength"} & set(roles)
    if kind == "curve" or (kind is None and blind):
        return [curve(path, table, angle="angle" in roles)]
    if blind and _is_chi(table.names):
        raise ReadError(
            "these are the oscillations χ(k), not an absorption spectrum", where=str(path),
            got=", ".join(table.names), expected="energy and μ(E)", hint="export μ(E)",
        )  # fmt: skip
    return [spectrum(path, table.names, table.values, roles, header=table.header, swap=swap)]


def role_of(name: str) -> str:
    """Return the role that a column's name states, or an empty string.

    Examples
    --------
    >>> role_of("Energy (eV)"), role_of("itrans"), role_of("x mm")
    ('energy', 'it', '')
    >>> role_of("I0_EH1"), role_of("n_i1_2"), role_of("mu_ref")
    ('i0', 'it', '')
    """
    key = re.sub(r"[\s(\[{].*$", "", name.strip().lower().strip("\"'"))
    found = next((role for role, known in ROLES.items() if key in known), "")
    if not found and "_" in key and "ref" not in key:
        # detectors carry the name of their place and kind: i0_eh1, n_i0_1
        parts = key.split("_")
        found = next((r for r in ("i0", "it", "if", "ir") if set(parts) & set(ROLES[r])), "")
    return found


def roles_of(path: Path, table: Table, columns: str) -> dict[str, int]:
    """Return role → column of a table, as the user names them or as its own names tell."""
    if columns:
        return _given_roles(path, table, columns)
    roles: dict[str, int] = {}
    for k, name in enumerate(table.names):
        role = role_of(name)
        if role and role not in roles:
            roles[role] = k
    if "mu" not in roles:
        signal = [k for k, n in enumerate(table.names) if n.lower() in SIGNALS]
        roles |= {"mu": signal[0]} if signal else {}
    if "energy" not in roles and "angle" not in roles:
        roles |= _named_energy(table.names) or _named_wavelength(table)
    unnamed = all(n.startswith("col") for n in table.names)
    if unnamed and len(table.names) == 2:
        roles = {"energy": 0, "mu": 1}
    return roles


def _named_energy(names: list[str]) -> dict[str, int]:
    """Return the column whose name speaks of an energy; the one that was reached before the one asked for."""
    found = [k for k, n in enumerate(names) if "energy" in n.lower()]
    reached = [k for k in found if re.search(r"achiev|feedback|fbk|readback|real", names[k], re.I)]
    return {"energy": (reached or found)[0]} if found else {}


def _named_wavelength(table: Table) -> dict[str, int]:
    """Return the column whose name speaks of a wavelength, if its values are those of X-rays (0.05 to 50 Å)."""
    for k, name in enumerate(table.names):
        length = table.values[:, k]
        if (
            re.match(r"wave ?length|lambda|λ", name, re.I)
            and 0.05 < length.min() < length.max() < 50
        ):
            return {"wavelength": k}
    return {}


def _is_chi(names: list[str]) -> bool:
    return any(re.match(r"(k[\d^*]*)?(chi|χ)", n, re.I) for n in names)


def _given_roles(path: Path, table: Table, columns: str) -> dict[str, int]:
    roles = {}
    for part in columns.split(","):
        role, _, which = part.strip().partition("=")
        index = int(which) - 1 if which.isdigit() else -1
        if which in table.names:
            index = table.names.index(which)
        if role not in ROLES or not 0 <= index < len(table.names):
            raise ReadError(
                f"--columns: '{part}' names no column",
                where=str(path),
                expected=f"ROLE=NUMBER with roles {', '.join(ROLES)} and columns {', '.join(table.names)}",
            )
        roles[role] = index
    return roles


def spectrum(
    path: Path,
    names: list[str],
    values: Floats,
    roles: dict[str, int],
    *,
    header: list[str] | None = None,
    swap: bool = False,
    d_spacing: float | None = None,
    **attrs: Any,
) -> xr.Dataset:
    """Build a spectrum from named columns: its axis in eV and increasing, μ by its definition.

    Transmission μ = ln(I0/It), fluorescence μ = If/I0; whatever was repaired stands in
    ``attrs["warnings"]`` as a list of {code, message}.
    """
    warnings: Warnings = list(attrs.pop("warnings", []))
    energy = energy_axis.measured_axis(path, names, values, roles, d_spacing, warnings)
    mu, how = _absorption(path, names, values, roles, swap)
    extra = {"i0": values[:, roles["i0"]]} if "i0" in roles else {}
    reference = _reference(names, values, roles)
    extra |= {"mu_reference": reference} if reference is not None else {}
    energy, arrays = energy_axis.ordered(energy, {"mu": mu, **extra}, warnings)
    low = [n.lower() for n in names]
    normalised = "mu" in roles and low[roles["mu"]] in NORMALISED
    return measurement(
        "spectrum",
        {"energy": (energy, "eV")},
        {
            name: (("energy",), v, "1" if name.startswith("mu") else "counts")
            for name, v in arrays.items()
        },
        label=attrs.pop("label", path.stem),
        vendor=attrs.pop("vendor", {"header": header or []}),
        warnings=warnings,
        normalised=normalised,
        absorption=how,
        **attrs,
    )


def _absorption(
    path: Path, names: list[str], values: Floats, roles: dict[str, int], swap: bool
) -> tuple[Floats, str]:
    if "mu" in roles and not swap:
        return values[:, roles["mu"]], names[roles["mu"]]
    if "i0" in roles and ("it" in roles or "if" in roles):
        beam, kind = values[:, roles["i0"]], "it" if "it" in roles else "if"
        other = values[:, roles[kind]]
        if swap:
            beam, other = other, beam
        if (beam <= 0).any() or (kind == "it" and (other <= 0).any()):
            row = int(np.flatnonzero((beam <= 0) | (other <= 0))[0])
            raise ReadError(
                "a detector reads zero or less, so μ has no value there",
                where=f"{path}, row {row + 1}",
                got=f"{beam[row]:g}, {other[row]:g}",
                hint="cut the rows with the closed shutter",
            )
        return (np.log(beam / other), "ln(I0/It)") if kind == "it" else (other / beam, "If/I0")
    rest = [k for k in range(len(names)) if k not in roles.values()]
    if len(rest) == 1:
        return values[:, rest[0]], names[rest[0]]
    raise ReadError(
        "no column is an absorption",
        where=str(path),
        got=", ".join(names),
        hint="name it with --columns energy=1,mu=2 or energy=1,i0=2,it=3",
    )


def _reference(names: list[str], values: Floats, roles: dict[str, int]) -> Floats | None:
    """Return the absorption of what stands behind the sample, μ = ln(It/Ir), where it was measured."""
    low = [n.lower() for n in names]
    given = next((low.index(n) for n in REFERENCES if n in low), None)
    if given is not None:
        return values[:, given]
    if not {"it", "ir"} <= set(roles):
        return None
    sample, behind = values[:, roles["it"]], values[:, roles["ir"]]
    return np.log(sample / behind) if (sample > 0).all() and (behind > 0).all() else None


def curve(path: Path, table: Table, *, angle: bool = False) -> xr.Dataset:
    """Return the first two columns as a curve, whatever they mean."""
    if table.values.shape[1] < 2:
        raise ReadError(
            "only one column of numbers",
            where=str(path),
            got=table.names[0],
            hint="give the axis with --energy START:STEP",
        )
    warnings: Warnings = []
    if angle:
        message = "The axis is an angle and no d-spacing is given: no energy can be given."
        warnings.append({"code": "axis_angle_unknown", "message": message})
    if _is_chi(table.names):
        message = "These are the oscillations χ(k), not an absorption spectrum: export μ(E)."
        warnings.append({"code": "chi_k", "message": message})
    x, arrays = energy_axis.ordered(table.values[:, 0], {"y": table.values[:, 1]}, warnings)
    return measurement(
        "curve",
        {"x": (x, "1")},
        {"y": (("x",), arrays["y"], "1")},
        label=path.stem,
        warnings=warnings,
        vendor={"header": table.header, "columns": table.names},
    )


def _json_arrays(path: Path, text: str) -> list[tuple[str, Floats, dict[str, Any]]]:
    try:
        content = json.loads(text)
    except json.JSONDecodeError as error:
        raise ReadError("this is not valid JSON", where=f"{path}, line {error.lineno}") from error
    entries = content if isinstance(content, list) else [content]
    if entries and all(isinstance(e, (int, float)) for e in entries):
        entries = [entries]
    found = []
    for index, entry in enumerate(entries, 1):
        fields = entry if isinstance(entry, dict) else {"y": entry}
        arrays = {k: v for k, v in fields.items() if isinstance(v, list) and len(v) > 1}
        if not arrays:
            raise ReadError("this entry holds no array", where=f"{path}, entry {index}")
        name = next((n for n in ("mu", *SIGNALS) if n in arrays), next(iter(arrays)))
        values = np.array([number_of(path, index, k, str(v)) for k, v in enumerate(arrays[name])])
        vendor = {k: v for k, v in fields.items() if k not in arrays}
        words = [f"{v}" for v in vendor.values() if isinstance(v, (str, int, float))]
        found.append((" ".join([str(index), *words]), values, vendor))
    return found


def _from_array(
    path: Path, label: str, values: Floats, energy: str, kind: str | None, vendor: dict[str, Any]
) -> xr.Dataset:
    if not energy:
        if kind == "spectrum":
            raise ReadError(
                "these values have no energy axis, and none is guessed",
                where=str(path),
                hint="give it with --energy START:STEP, e.g. 8330:0.4 (eV)",
            )
        y: dict[str, Any] = {"y": (("x",), values, "1")}
        x: dict[str, Any] = {"x": (np.arange(values.size, dtype=float), "1")}
        return measurement("curve", x, y, label=label or path.stem, vendor=vendor)
    axis = energy_axis.stated_axis(energy, values.size)
    return measurement(
        "spectrum",
        {"energy": (axis, "eV")},
        {"mu": (("energy",), values, "1")},
        label=label or path.stem,
        source={"selector": label},
        vendor=vendor,
        warnings=[
            {
                "code": "axis_given",
                "message": f"The axis was given by the user: START:STEP = {energy} eV.",
            }
        ],
    )
