"""XDI 1.0: the X-ray Absorption Data Interchange text format.

In: a file that begins with ``# XDI/1.x``. Out: a spectrum (or a curve when its axis is no energy).
Ravel and Newville, J. Phys.: Conf. Ser. 712, 012148 (2016). Broken headers are warnings with names
or one error with the line, never silence.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from matterscope.core.errors import ConfigError, ReadError
from matterscope.core.files import write_text
from matterscope.core.schema import measurement
from matterscope.io.columns import ROLES, role_of, spectrum
from matterscope.io.energy_axis import ordered
from matterscope.io.text_columns import Floats, decoded, number_of

if TYPE_CHECKING:
    import xarray as xr

WANTS_KIND = True
EDGES = {
    "K",
    "L",
    "L1",
    "L2",
    "L3",
    *(f"M{i}" for i in range(1, 6)),
    *(f"N{i}" for i in range(1, 8)),
}
_FIELD = re.compile(r"([A-Za-z]\w*)\.([\w-]+):\s*(.*)$")
_QUANTITIES = {
    "Facility.energy": ("gev", "mev"),
    "Facility.current": ("ma", "a"),
    "Sample.temperature": ("k", "c", "f"),
}


@dataclass
class Header:
    """Header of an XDI file: fields as written, comments, column labels and warnings."""

    fields: dict[str, str] = field(default_factory=dict)
    comments: list[str] = field(default_factory=list)
    labels: dict[int, str] = field(default_factory=dict)
    version: str = ""
    closed: bool = False
    warnings: list[dict[str, str]] = field(default_factory=list)

    def warn(self, code: str, message: str) -> None:
        """Add one warning."""
        self.warnings.append({"code": code, "message": message})

    def get(self, *names: str) -> str:
        """Return the first field that is present, names compared in lower case."""
        lower = {k.lower(): v for k, v in self.fields.items()}
        return next((lower[n.lower()] for n in names if n.lower() in lower), "")


def sniff(path: Path, head: bytes) -> bool:
    """Say whether the file calls itself XDI, by its first line or its name."""
    return bool(re.match(rb"(\xef\xbb\xbf)?\s*#\s*XDI/", head)) or path.suffix.lower() == ".xdi"


def read(
    path: Path, *, kind: str | None = None, columns: str = "", swap: bool = False, **_: Any
) -> list[xr.Dataset]:
    """Read the one data set of an XDI file.

    Raises
    ------
    ReadError
        With the line at fault.
    """
    rows = decoded(path).splitlines()
    first = next((row for row in rows if row.strip()), "")
    version = re.match(r"\s*#\s*XDI/(\S+)\s*(.*)$", first)
    if not version:
        raise ReadError(
            "the first line does not say XDI", where=f"{path}, line 1", got=repr(first[:40]),
            expected="# XDI/1.0", hint="rename the file to .txt to read it as plain columns",
        )  # fmt: skip
    header = Header(version=version[1])
    values = _rows(path, rows, header)
    names = _column_names(header, values.shape[1])
    _check_metadata(header)
    return [_dataset(path, header, names, values, kind, columns, swap)]


def _rows(path: Path, rows: list[str], header: Header) -> Floats:
    numbers: list[list[float]] = []
    state = "fields"
    for line, row in enumerate(rows[1:], 2):
        body = row.strip()
        if not body:
            continue
        if body.startswith("#"):
            state = _header_line(path, line, body[1:].strip(), header, state)
        elif body[0] in "!%;*/":
            header.warn("xdi_comment", f"Line {line} begins with '{body[0]}' and was ignored.")
        else:
            tokens = body.replace(",", " ").split()
            if numbers and len(tokens) != len(numbers[0]):
                raise ReadError(
                    "the number of columns changes", where=f"{path}, line {line}",
                    got=len(tokens), expected=len(numbers[0]), hint="a cut or doubled line",
                )  # fmt: skip
            numbers.append([number_of(path, line, k, t) for k, t in enumerate(tokens, 1)])
    if not numbers:
        raise ReadError("the file has a header and no data", where=str(path))
    if not header.closed:
        header.warn("xdi_no_end", "The line of dashes that ends the header is missing.")
    return np.array(numbers)


def _header_line(path: Path, line: int, body: str, header: Header, state: str) -> str:
    if re.match(r"-{3,}", body):
        header.closed = True
        return "labels"
    if re.match(r"/{3,}", body):
        return "comments"
    if state in {"comments", "labels"} or not body:
        if body:
            header.comments.append(body)
        return state
    match = _FIELD.match(body)
    if not match or not match[3].strip():
        raise ReadError(
            "this header line is not 'Family.key: value'", where=f"{path}, line {line}",
            got=repr(body), expected="one '.', one ':', a family that begins with a letter, a value",
        )  # fmt: skip
    family, key, value = match[1], match[2], match[3].strip()
    if key[0].isdigit() and family.lower() != "column":
        header.warn("xdi_key", f"The key of '{family}.{key}' begins with a digit.")
    if family.lower() == "column" and key.isdigit():
        header.labels[int(key)] = value.split("||", 1)[0].strip()
    header.fields[f"{family}.{key}"] = value
    return "fields"


def _column_names(header: Header, width: int) -> list[str]:
    labels = header.labels
    if not labels:
        header.warn("xdi_labels", "There are no Column.N labels.")
        last = header.comments[-1].split() if header.comments else []
        labels = dict(enumerate(last, 1)) if len(last) == width else {}
    elif sorted(labels) != list(range(1, len(labels) + 1)):
        header.warn("xdi_labels", f"Column labels are not continuous: {sorted(labels)}.")
    elif len(labels) < width:
        header.warn("xdi_labels", f"{width} columns have only {len(labels)} labels.")
    elif len(labels) > width:
        header.warn("xdi_labels", f"{len(labels)} labels for {width} columns; the rest is ignored.")
    return [labels.get(k, f"col{k}") for k in range(1, width + 1)]


def _check_metadata(header: Header) -> None:
    from ase.data import atomic_numbers

    edge, symbol = (
        header.get("Element.edge", "Scan.edge"),
        header.get("Element.symbol", "Scan.element"),
    )
    if not edge:
        header.warn("xdi_edge", "Element.edge is missing.")
    elif edge.upper() not in EDGES:
        header.warn("xdi_edge", f"Element.edge '{edge}' is no absorption edge.")
    if not symbol:
        header.warn("xdi_element", "Element.symbol is missing.")
    elif symbol not in atomic_numbers or symbol == "X":
        header.warn("xdi_element", f"Element.symbol '{symbol}' is no element.")
    spacing = header.get("Mono.d_spacing", "Mono.dspacing")
    if spacing and _leading_number(spacing) is None:
        header.warn("xdi_d_spacing", f"Mono.d_spacing '{spacing}' is not a number.")
    start = header.get("Scan.start_time")
    if start and not _is_time(start):
        header.warn("xdi_time", f"Scan.start_time '{start}' is no valid date and time.")
    for name, units in _QUANTITIES.items():
        text = header.get(name)
        if text and not re.fullmatch(
            rf"[+-]?\d*\.?\d+(e[+-]?\d+)?\s*({'|'.join(units)})", text.lower()
        ):
            header.warn("xdi_value", f"{name} '{text}' is not a number with a unit.")
    missing = [
        n
        for n in ("Facility.name", "Beamline.name", "Mono.name", "Scan.start_time")
        if not header.get(n)
    ]
    if missing:
        header.warn("xdi_recommended", f"Recommended fields are missing: {', '.join(missing)}.")


def _is_time(text: str) -> bool:
    try:
        datetime.fromisoformat(text.split("||", 1)[0].strip())
    except ValueError:
        return False
    return True


def _leading_number(text: str) -> float | None:
    match = re.match(r"[+-]?\d*\.?\d+([eE][+-]?\d+)?", text)
    return float(match[0]) if match else None


def _dataset(
    path: Path, header: Header, names: list[str], values: Floats, kind: str | None, columns: str, swap: bool
) -> xr.Dataset:  # fmt: skip
    roles: dict[str, int] = {}
    for k, name in enumerate(names):
        role = role_of(name) or ("energy" if re.search(r"\s(k?ev)$", name.lower()) else "")
        if role and role not in roles:
            roles[role] = k
    if columns:
        for part in columns.split(","):
            role, _, which = part.partition("=")
            if (
                role.strip() not in ROLES
                or not which.isdigit()
                or not 1 <= int(which) <= len(names)
            ):
                raise ReadError("--columns names no column", where=str(path), got=part)
            roles[role.strip()] = int(which) - 1
    spacing = _leading_number(header.get("Mono.d_spacing", "Mono.dspacing"))
    label = header.get("Sample.name") or path.stem
    attrs: dict[str, Any] = {
        "element": header.get("Element.symbol", "Scan.element"),
        "edge": header.get("Element.edge", "Scan.edge"),
        "edge_energy": _leading_number(header.get("Scan.edge_energy", "ScanParameters.E0")) or 0.0,
        "warnings": header.warnings,
        "vendor": {"fields": header.fields, "comments": header.comments, "version": header.version},
    }
    blind = "energy" not in roles and not ("angle" in roles and spacing)
    if blind and kind != "spectrum":
        return _curve(names, values, label, "angle" in roles, attrs)
    return spectrum(path, names, values, roles, swap=swap, d_spacing=spacing, label=label, **attrs)


def _curve(
    names: list[str], values: Floats, label: str, angle: bool, attrs: dict[str, Any]
) -> xr.Dataset:
    warnings = attrs["warnings"]
    if angle:
        message = "The axis is an angle and Mono.d_spacing is missing: no energy can be given."
        warnings.append({"code": "axis_angle_unknown", "message": message})
    x, arrays = ordered(values[:, 0], {"y": values[:, -1]}, warnings)
    unit = (
        "deg" if angle else next((u for u in ("mm", "µm", "nm") if names[0].endswith(f" {u}")), "1")
    )
    return measurement(
        "curve", {"x": (x, unit)}, {"y": (("x",), arrays["y"], "1")},
        label=label, x_name=names[0], y_name=names[-1], **attrs,
    )  # fmt: skip


def write(measurements: xr.Dataset | list[xr.Dataset], path: Path) -> None:
    """Write one spectrum as XDI: energy and absorption, with its uncertainty where there is one.

    Parameters
    ----------
    measurements : Dataset or list of one Dataset
        Kind "spectrum" over a single axis.
    path : path
        Written atomically.
    """
    given = measurements if isinstance(measurements, list) else [measurements]
    if len(given) != 1 or given[0]["mu"].ndim != 1:
        raise ConfigError(
            "XDI holds one spectrum over one axis",
            got=f"{len(given)} data set(s)",
            hint="write HDF5",
        )
    spectrum_ = given[0]
    attrs = spectrum_.attrs
    columns = {
        "energy": spectrum_["energy"].values,
        "norm" if attrs.get("normalised") else "mu": spectrum_["mu"].values,
    }
    if "mu_sigma" in spectrum_:
        columns["sigma"] = spectrum_["mu_sigma"].values
    fields = {f"Column.{k}": name for k, name in enumerate(columns, 1)}
    fields["Column.1"] = "energy eV"
    stored = (attrs.get("vendor") or {}).get("fields") or {}
    named = {
        "Element.symbol": attrs.get("element"),
        "Element.edge": attrs.get("edge"),
        "Sample.name": attrs.get("label"),
    }
    for key, value in {**stored, **named}.items():
        text = " ".join(str(value or "").split())
        if text and not key.startswith("Column."):
            fields[key] = text
    lines = ["# XDI/1.0 matterscope", *(f"# {key}: {value}" for key, value in fields.items())]
    lines += ["# ///", "# reduced by matterscope", "#----", "# " + " ".join(columns)]
    rows = zip(*(np.asarray(v, float).tolist() for v in columns.values()), strict=True)
    write_text(path, "\n".join([*lines, *("  ".join(repr(v) for v in row) for row in rows)]) + "\n")
