"""Athena projects (``.prj``): gzipped or plain Perl text, read by an own tokenizer, never evaluated.

In: a project of Athena or Larch. Out: one measurement per group, the project's energy shift added.
Ravel and Newville, J. Synchrotron Rad. 12, 537 (2005). χ(k) groups are curves over k (1/Å).
"""

from __future__ import annotations

import gzip
import re
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from matterscope.core.errors import ReadError
from matterscope.core.schema import measurement
from matterscope.io.energy_axis import ordered
from matterscope.io.limits import MAX_TEXT_BYTES
from matterscope.io.text_columns import Floats

if TYPE_CHECKING:
    import xarray as xr

WANTS_KIND = True
MAX_GROUPS = 100_000
MAX_DEPTH = 30
HBAR2_OVER_2M = 3.80998212
"""ħ²/2mₑ, eV Å²: E − E0 = 3.81 k²."""

_TOKEN = re.compile(
    r"""\s*(?:(?P<text>'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")|(?P<open>[\[({])|(?P<close>[\])}])"""
    r"""|(?P<comma>,|=>)|(?P<word>[^\s,\[\](){}'"=]+))""",
    re.DOTALL,
)
_ASSIGN = re.compile(r"^[ \t]*([$@%])(\w+)[ \t]*=[ \t]*", re.MULTILINE)


def sniff(path: Path, head: bytes) -> bool:
    """Say whether the file is an Athena project, gzipped or plain."""
    if head[:2] == b"\x1f\x8b":
        try:
            head = zlib.decompressobj(31).decompress(head, 4096)
        except zlib.error:
            return path.suffix.lower() == ".prj"
    return b"Athena project" in head[:200] or b"$old_group" in head


def read(path: Path, *, kind: str | None = None, **_: Any) -> list[xr.Dataset]:
    """Read every group of a project.

    Parameters
    ----------
    path : path
        The project.
    kind : str, optional
        With "spectrum", χ(k) groups come back as spectra over 3.81 k² with the attribute
        ``refused``, so that an answer can say why; else they are curves over k.

    Raises
    ------
    ReadError
    """
    found = []
    for line, name, record in _groups(path, _project_text(path)):
        try:
            found.append(_measurement(name, record, kind))
        except (ValueError, TypeError, KeyError) as error:
            raise ReadError(
                f"group '{name}' of this project is damaged: {error}", where=f"{path}, line {line}"
            ) from error
    if not found:
        raise ReadError(
            "this project holds no groups",
            where=str(path),
            hint="it may be cut before its first record",
        )
    return found


def _project_text(path: Path) -> str:
    with path.open("rb") as handle:
        packed = handle.read(2) == b"\x1f\x8b"
    try:
        if packed:
            with gzip.open(path) as stream:
                raw = stream.read(MAX_TEXT_BYTES + 1)
        else:
            raw = path.read_bytes()[: MAX_TEXT_BYTES + 1]
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ReadError(
            "the compressed project is cut or damaged", where=str(path), hint="copy it again"
        ) from error
    if len(raw) > MAX_TEXT_BYTES:
        raise ReadError(
            "this project is too large",
            where=str(path),
            expected=f"at most {MAX_TEXT_BYTES:,} bytes",
        )
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def _groups(path: Path, text: str) -> list[tuple[int, str, dict[str, Any]]]:
    """Return (line, group name, record) of every group; a cut last group raises."""
    groups: list[tuple[int, str, dict[str, Any]]] = []
    name, start = "", 0
    record: dict[str, Any] = {}
    for match in _ASSIGN.finditer(text):
        key = match[2]
        if key == "old_group":
            if name:
                groups.append((text.count("\n", 0, start) + 1, name, record))
            if len(groups) > MAX_GROUPS:
                raise ReadError(
                    "too many groups", where=str(path), expected=f"at most {MAX_GROUPS}"
                )
            name, start, record = str(_value(path, text, match.end())), match.start(), {}
        elif name and key in {"args", "x", "y", "i0", "signal", "stddev"}:
            record[key] = _value(path, text, match.end())
    if name:
        groups.append((text.count("\n", 0, start) + 1, name, record))
    return groups


def _value(path: Path, text: str, position: int) -> Any:
    """Return the Perl literal at `position`: a scalar, or nested lists."""
    stack: list[list[Any]] = []
    while True:
        match = _TOKEN.match(text, position)
        if not match:
            line = text.count("\n", 0, position) + 1
            raise ReadError(
                "the project ends or breaks inside a value", where=f"{path}, line {line}",
                got=repr(text[position : position + 20]), hint="the file is cut; copy it again",
            )  # fmt: skip
        position = match.end()
        if match["open"]:
            stack.append([])
            if len(stack) > MAX_DEPTH:
                raise ReadError("lists are nested too deeply", where=str(path), expected=MAX_DEPTH)
        elif match["close"]:
            done: Any = stack.pop() if stack else []
            if not stack:
                return done
            stack[-1].append(done)
        elif not match["comma"]:
            scalar = _scalar(match)
            if not stack:
                return scalar
            stack[-1].append(scalar)


def _scalar(match: re.Match[str]) -> str | None:
    if match["text"]:
        return re.sub(r"\\(.)", r"\1", match["text"][1:-1])
    return None if match["word"] == "undef" else match["word"]


def _numbers(values: Any) -> Floats:
    return np.array([float(v) for v in values], dtype=float)


def _number(args: dict[str, Any], key: str) -> float:
    try:
        return float(args.get(key) or 0.0)
    except (TypeError, ValueError):
        return 0.0


def _measurement(name: str, record: dict[str, Any], kind: str | None) -> xr.Dataset:
    flat = record.get("args") or []
    args = {str(k): v for k, v in zip(flat[::2], flat[1::2], strict=False)}
    x, y = _numbers(record["x"]), _numbers(record["y"])
    if x.size != y.size or x.size < 2:
        raise ValueError(f"{x.size} energies and {y.size} values")
    warnings: list[dict[str, str]] = []
    label = str(args.get("label") or name)
    attrs: dict[str, Any] = {
        "label": label,
        "source": {"selector": label},
        "vendor": args,
        "warnings": warnings,
        "element": args["bkg_z"] if isinstance(args.get("bkg_z"), str) else "",
        "edge": str(args.get("fft_edge") or "").upper(),
        "project_group": name,
    }
    # χ(k) ends near 20 Å⁻¹; no spectrum on an absolute axis does
    if str(args.get("is_chi", "0")) in {"1", "e"} or (x.max() < 40 and x.min() >= 0):
        return _chi(x, y, kind, attrs)
    shift = _number(args, "bkg_eshift")
    if shift:
        message = f"The project's own energy shift of {shift:+.4g} eV was added."
        warnings.append({"code": "project_shift", "message": message})
    arrays = {"mu": y}
    for key, variable in (("i0", "i0"), ("stddev", "mu_sigma")):
        if len(record.get(key) or ()) == x.size:
            arrays[variable] = _numbers(record[key])
    axis, arrays = ordered(x + shift, arrays, warnings)
    units = {"i0": "counts"}
    return measurement(
        "spectrum", {"energy": (axis, "eV")},
        {n: (("energy",), v, units.get(n, "1")) for n, v in arrays.items()},
        normalised=str(args.get("is_nor", "0")) == "1", energy_shift=shift, **attrs,
    )  # fmt: skip


def _chi(k: Floats, chi: Floats, kind: str | None, attrs: dict[str, Any]) -> xr.Dataset:
    warnings = attrs["warnings"]
    k, arrays = ordered(k, {"y": chi}, warnings)
    if kind != "spectrum":
        return measurement("curve", {"x": (k, "1/Å")}, {"y": (("x",), arrays["y"], "1")}, **attrs)
    reason = "This group is χ(k), an oscillation over wavenumber, not an absorption spectrum."
    warnings.append({"code": "chi_k", "message": reason})
    return measurement(
        "spectrum", {"energy": (HBAR2_OVER_2M * k**2, "eV")},
        {"mu": (("energy",), arrays["y"], "1")}, refused=reason, **attrs,
    )  # fmt: skip
