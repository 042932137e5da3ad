"""NeXus files of X-ray absorption (application definition NXxas), one NXentry per spectrum.

In: HDF5 with groups whose `definition` is NXxas. Out: one spectrum per entry. Links into other files,
virtual and external data are refused; what the beamline wrote beside is kept as vendor metadata.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

from matterscope.core.errors import ReadError, UnitError
from matterscope.core.files import canonical_json
from matterscope.core.schema import measurement
from matterscope.core.units import conversion, parse_unit
from matterscope.io.limits import plain_dataset

if TYPE_CHECKING:
    import xarray as xr
    from numpy.typing import NDArray

MAGIC = b"\x89HDF\r\n\x1a\n"
VENDOR_BYTES = 4096
"""Text and numbers of the entry up to this size are kept as vendor metadata."""


def sniff(path: Path, head: bytes) -> bool:
    """Return whether an entry of this HDF5 file says NXxas."""
    if not head.startswith(MAGIC):
        return False
    try:
        with h5py.File(path, "r") as file:
            return "matterscope" not in file.attrs and bool(_entries(file))
    except (OSError, RuntimeError, KeyError):
        return False


def _entries(file: h5py.File) -> list[str]:
    found = []
    for name in file:
        if not isinstance(file.get(name, getlink=True), h5py.HardLink):
            continue
        group = file[name]
        if isinstance(group, h5py.Group) and _text(group, "definition").upper() == "NXXAS":
            found.append(str(name))
    return found


def _text(group: h5py.Group, name: str) -> str:
    """Return a short string of a group, or "" when it is not one."""
    if not isinstance(group.get(name, getlink=True), h5py.HardLink):
        return ""
    node = group[name]
    if not isinstance(node, h5py.Dataset) or node.size != 1 or node.dtype.kind not in "OSU":
        return ""
    value = np.asarray(plain_dataset(group, name, name)[()]).ravel()[0]
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def read(path: Path, **options: Any) -> list[xr.Dataset]:
    """Read every NXxas entry.

    Parameters
    ----------
    path : path
        An HDF5 file.

    Returns
    -------
    list of Dataset
        Kind "spectrum". With an incoming beam, μ = ln(I0/I) for transmission and I/I0 else; without
        one the signal is taken as the absorption itself.

    Raises
    ------
    ReadError
        No energy, no signal, or arrays of different length.
    """
    with h5py.File(path, "r") as file:
        return [_entry(file[name], path, name) for name in _entries(file)]


def _entry(group: h5py.Group, path: Path, name: str) -> xr.Dataset:
    where = f"{path}:{name}"
    warnings: list[dict[str, str]] = []
    energy = _energy(group, where)
    mu = _absorption(group, where, warnings)
    if energy.ndim != 1 or mu.shape[-1:] != energy.shape or energy.size < 2:
        raise ReadError(
            "energy and absorption do not have one length", where=where,
            got=f"{energy.shape} and {mu.shape}",
        )  # fmt: skip
    if mu.ndim > 1:
        raise ReadError("the absorption has more than one axis", where=where, got=mu.shape)
    order = np.argsort(energy, kind="stable")
    if np.any(order != np.arange(energy.size)):
        warnings.append({"code": "sorted", "message": "the points were sorted by energy"})
    label = _text(group, "title") or name
    return measurement(
        "spectrum",
        {"energy": (energy[order], "eV")},
        {"mu": (("energy",), mu[order], "1")},
        source={"selector": name},
        vendor=_vendor(group),
        label=label,
        warnings=warnings,
        **_sample(group),
    )


def _energy(group: h5py.Group, where: str) -> NDArray[np.float64]:
    for name in ("monochromator/energy", "data/energy", "energy"):
        if _has(group, name):
            node = plain_dataset(group, name, where)
            units = node.attrs.get("units", "eV")
            text = units.decode() if isinstance(units, bytes) else str(units)
            try:
                factor = conversion(parse_unit(text), "eV")
            except UnitError as error:
                raise ReadError(f"the energy is in '{text}'", where=where, expected="eV") from error
            return np.asarray(node[()], float) * factor
    raise ReadError("the entry has no energy", where=where, expected="monochromator/energy")


def _absorption(
    group: h5py.Group, where: str, warnings: list[dict[str, str]]
) -> NDArray[np.float64]:
    signal = _first(group, ("data/mu", "data/absorption", "data/intensity"), where)
    if signal is not None:
        return signal
    sample = _first(group, ("absorbed_beam/data", "data/absorbed_beam"), where)
    if sample is None:
        raise ReadError("the entry has no signal", where=where, expected="absorbed_beam/data")
    incoming = _first(group, ("incoming_beam/data",), where)
    if incoming is None:
        return sample
    if incoming.shape != sample.shape or np.any(incoming <= 0):
        raise ReadError("the incoming beam does not fit the signal", where=where)
    mode = _text(group, "mode").lower()
    if "trans" in mode:
        if np.any(sample <= 0):
            raise ReadError("the transmitted beam is not above 0 everywhere", where=where)
        return np.asarray(np.log(incoming / sample), float)
    if not mode:
        warnings.append(
            {"code": "mode", "message": "the file does not say its mode; μ = signal/I0 is taken"}
        )
    return np.asarray(sample / incoming, float)


def _has(group: h5py.Group, name: str) -> bool:
    node: Any = group
    for part in name.split("/"):
        if not isinstance(node, h5py.Group) or node.get(part, getlink=True) is None:
            return False
        if not isinstance(node.get(part, getlink=True), h5py.HardLink):
            return True  # plain_dataset says why it is refused
        node = node[part]
    return True


def _first(group: h5py.Group, names: tuple[str, ...], where: str) -> NDArray[np.float64] | None:
    for name in names:
        if _has(group, name):
            return np.asarray(plain_dataset(group, name, where)[()], float)
    return None


def _sample(group: h5py.Group) -> dict[str, str]:
    known = {}
    for key, names in (
        ("element", ("element/symbol", "element")),
        ("edge", ("edge/name", "edge")),
        ("mode", ("mode",)),
    ):
        for name in names:
            parent, _, leaf = name.rpartition("/")
            home = group.get(parent) if parent else group
            if isinstance(home, h5py.Group) and (text := _text(home, leaf)):
                known[key] = text
                break
    return known


def _vendor(group: h5py.Group, depth: int = 0) -> dict[str, Any]:
    kept: dict[str, Any] = {}
    for name in group:
        if not isinstance(group.get(name, getlink=True), h5py.HardLink):
            continue
        node = group[name]
        if isinstance(node, h5py.Group) and depth < 8:
            kept[str(name)] = _vendor(node, depth + 1)
        elif isinstance(node, h5py.Dataset) and node.size * node.dtype.itemsize <= VENDOR_BYTES:
            if node.dtype.kind in "OSU":
                kept[str(name)] = _text(group, name)
            elif node.dtype.kind in "iufb" and not (node.is_virtual or node.external):
                kept[str(name)] = np.asarray(node[()]).tolist()
    return kept


def write(measurements: xr.Dataset | list[xr.Dataset], path: Path) -> None:
    """Write spectra over a single axis, one NXentry each; aside first, then renamed.

    Parameters
    ----------
    measurements : Dataset or list of Dataset
        Kind "spectrum" with one dimension.
    path : path
        Its folder exists.
    """
    given = measurements if isinstance(measurements, list) else [measurements]
    part = path.with_name(path.name + ".part")
    try:
        with h5py.File(part, "w", track_order=True) as file:
            file.attrs["NX_class"] = "NXroot"
            for number, spectrum in enumerate(given):
                _write_entry(file.create_group(f"entry{number or ''}"), spectrum)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _write_entry(entry: h5py.Group, spectrum: xr.Dataset) -> None:
    if spectrum["mu"].ndim != 1:
        raise ReadError(
            "NXxas holds spectra over one axis", got=spectrum["mu"].dims, hint="write HDF5 instead"
        )
    attrs = spectrum.attrs
    entry.attrs["NX_class"] = "NXentry"
    entry["definition"] = "NXxas"
    entry["title"] = str(attrs.get("label") or "")
    for key, home, leaf, kind in (
        ("element", "element", "symbol", "NXatom"),
        ("edge", "edge", "name", "NXedge"),
    ):
        if attrs.get(key):
            group = entry.create_group(home)
            group.attrs["NX_class"] = kind
            group[leaf] = str(attrs[key])
    if attrs.get("mode"):
        entry["mode"] = str(attrs["mode"])
    data = entry.create_group("data")
    data.attrs["NX_class"], data.attrs["signal"], data.attrs["axes"] = "NXdata", "mu", "energy"
    energy = data.create_dataset("energy", data=spectrum["energy"].values.astype(float))
    energy.attrs["units"] = "eV"
    mu = data.create_dataset("mu", data=spectrum["mu"].values.astype(float))
    mu.attrs["units"] = str(spectrum["mu"].attrs.get("units", "1"))
    note = entry.create_group("process")
    note.attrs["NX_class"], note["program"] = "NXprocess", "matterscope"
    note["source"] = canonical_json(attrs.get("source") or {})
