"""Tiny files made on the fly, one maker per format: small, non-square, with zeros and negative counts."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

_CODES = {"i2": 2, "i4": 3, "u2": 4, "u4": 5, "f4": 6, "f8": 7, "i1": 9, "u1": 10}
_PIXELS = {"i2": 1, "f4": 2, "u1": 6, "i4": 7, "i1": 9, "u2": 10, "u4": 11, "f8": 12}


class DigitalMicrographWriter:
    """Writes the tag tree of DM3 or DM4, little- or big-endian; only what the tests need."""

    def __init__(self, version: int = 3, order: str = "<") -> None:
        self.version, self.order = version, order

    def size(self, value: int) -> bytes:
        return struct.pack(">Q" if self.version == 4 else ">I", value)

    def value(self, value: Any) -> bytes:
        if isinstance(value, str):
            words = value.encode("utf-16-le" if self.order == "<" else "utf-16-be")
            return self.info(20, 4, len(words) // 2) + words
        if isinstance(value, bool):
            return self.info(8) + struct.pack("?", value)
        if isinstance(value, int):
            return self.info(3) + struct.pack(self.order + "i", value)
        if isinstance(value, float):
            return self.info(7) + struct.pack(self.order + "d", value)
        if isinstance(value, tuple):  # a structure of int32
            types = [word for _ in value for word in (0, 3)]
            return self.info(15, 0, len(value), *types) + struct.pack(
                f"{self.order}{len(value)}i", *value
            )
        array = np.asarray(value)
        code = _CODES[array.dtype.str[1:]]
        return self.info(20, code, array.size) + array.astype(array.dtype.newbyteorder(self.order)).tobytes()  # fmt: skip

    def info(self, *words: int) -> bytes:
        return b"%%%%" + self.size(len(words)) + b"".join(self.size(w) for w in words)

    def group(self, entries: Mapping[str, Any] | list[Any]) -> bytes:
        named = (
            list(entries.items()) if isinstance(entries, Mapping) else [("", v) for v in entries]
        )
        return b"\x00\x00" + self.size(len(named)) + b"".join(self.tag(n, v) for n, v in named)

    def tag(self, name: str, value: Any) -> bytes:
        is_group = isinstance(value, (Mapping, list))
        body = self.group(value) if is_group else self.value(value)
        label = name.encode("latin-1")
        head = bytes([20 if is_group else 21]) + struct.pack(">H", len(label)) + label
        return head + (self.size(len(body)) if self.version == 4 else b"") + body

    def file(self, tree: Mapping[str, Any]) -> bytes:
        body = self.group(tree)
        order = struct.pack(">I", 1 if self.order == "<" else 0)
        return struct.pack(">I", self.version) + self.size(len(body)) + order + body + bytes(8)


def dm_image(
    values: np.ndarray, axes: list[tuple[float, float, str]], name: str, **tags: Any
) -> dict[str, Any]:
    """Return one ImageList entry; `axes` are (origin, scale, units) in numpy's order."""
    return {
        "ImageData": {
            "Calibrations": {
                "Dimension": [
                    {"Origin": float(o), "Scale": float(s), "Units": u} for o, s, u in axes[::-1]
                ]
            },
            "Data": values.ravel(),
            "DataType": _PIXELS[values.dtype.str[1:]],
            "Dimensions": [int(n) for n in values.shape[::-1]],
            "PixelDepth": values.itemsize,
        },
        "ImageTags": {"Microscope Info": {"Voltage": 300000.0}, **tags},
        "Name": name,
    }


def dm_tree() -> dict[str, Any]:
    """Return a file with a thumbnail, a spectrum image (energy first), a spectrum and an image."""
    cube = (np.arange(40 * 3 * 2, dtype="f4") - 7).reshape(40, 3, 2)
    return {
        "ImageList": [
            dm_image(np.zeros((4, 5), "u1"), [(0, 1, ""), (0, 1, "")], "thumbnail"),
            dm_image(
                cube,
                [(10.0, 0.5, "eV"), (0.0, 2.0, "nm"), (0.0, 3.0, "nm")],
                "cube",
                **{"Meta Data": {"Signal": "EELS"}},
            ),
            dm_image(np.arange(40, dtype="f4"), [(-100.0, 0.5, "eV")], "line"),
            dm_image(np.arange(12, dtype="u2").reshape(3, 4), [(0, 2e-3, "µm"), (0, 2e-3, "µm")], "image"),
        ],
        "Thumbnails": [{"ImageIndex": 0, "SourceSize": (4, 5)}],
    }  # fmt: skip


def digitalmicrograph(path: Path) -> Path:
    """Write a DM4 file."""
    path = path.with_suffix(".dm4")
    path.write_bytes(DigitalMicrographWriter(4).file(dm_tree()))
    return path


def emsa(path: Path) -> Path:
    """Write an XY file as DigitalMicrograph does: NCOLUMNS 1, three-digit exponents."""
    path = path.with_suffix(".msa")
    rows = [f"{440 + 0.5 * i:.6e}, {100 - 3 * i:.6e}".replace("e+0", "e+00") for i in range(41)]
    header = [
        "#FORMAT\t     : EMSA/MAS Spectral Data File",
        "#VERSION     : 1.0",
        "#TITLE       : tiny",
        "#NPOINTS     : 41",
        "#NCOLUMNS    : 1",
        "#XUNITS      : eV",
        "#YUNITS      : Counts",
        "#DATATYPE    : XY",
        "#XPERCHAN    : 5.000000e-001",
        "#OFFSET      : 4.400000e+002",
        "#SIGNALTYPE  : ELS",
        "#BEAMKV      : 300000.0",
        "#SPECTRUM    : Spectral Data Starts Here",
    ]
    path.write_text("\r\n".join([*header, *rows, "#ENDOFDATA   : "]))
    return path


def hdf5_measurement(path: Path) -> Path:
    """Write two measurements in the package's own HDF5."""
    from matterscope.core.schema import measurement
    from matterscope.io import write

    path = path.with_suffix(".h5")
    made = [
        measurement(
            "spectrum",
            {"y": ([0.0, 1.0], "px"), "energy": ([1.0, 2.0, 4.0], "eV")},
            {"mu": (("y", "energy"), np.arange(6.0).reshape(2, 3) - 2, "counts")},
            source={"selector": name},
            vendor={"note": "kept"},
            label=name,
        )
        for name in ("first", "second")
    ]
    write(made, path)
    return path


def nxxas(path: Path) -> Path:
    """Write a transmission and a fluorescence entry as a beamline would."""
    import h5py

    path = path.with_suffix(".nxs")
    with h5py.File(path, "w") as file:
        for name, mode in (("first", "Transmission"), ("second", "Fluorescence Yield")):
            entry = file.create_group(name)
            entry["definition"], entry["title"], entry["mode"] = "NXxas", f"{name} scan", mode
            entry.create_dataset("monochromator/energy", data=[8.97, 8.98, 9.0]).attrs["units"] = (
                "keV"
            )
            entry["incoming_beam/data"] = np.array([10.0, 20.0, 40.0])
            entry["absorbed_beam/data"] = np.array([5.0, 20.0, 10.0])
            entry["element/symbol"], entry["edge/name"] = "Cu", "K"
    return path


def hyperspy(path: Path) -> Path:
    """Write a spectrum image of 2 × 3 pixels as HyperSpy does."""
    import h5py

    path = path.with_suffix(".hspy")
    axes = (("nm", True, 1.0, 0.0), ("nm", True, 1.0, 0.0), ("eV", False, 0.5, 500.0))
    with h5py.File(path, "w") as file:
        group = file.create_group("Experiments/core loss")
        group["data"] = np.arange(48, dtype="<u4").reshape(2, 3, 8)
        for number, (units, navigate, scale, offset) in enumerate(axes):
            group.create_group(f"axis-{number}").attrs.update(
                {"units": units, "navigate": navigate, "scale": scale, "offset": offset}
            )
        group.create_group("metadata/Signal").attrs["signal_type"] = "EELS"
    return path


def spe(path: Path) -> Path:
    """Write an SPE 3 file of 2 frames of 7 pixels."""
    path = path.with_suffix(".spe")
    counts = (np.arange(14, dtype="<u2") * 5).reshape(2, 7)
    axis = ",".join(str(600.0 + 2 * i) for i in range(7))
    size = counts[0].nbytes
    footer = (
        '<SpeFormat xmlns="http://www.princetoninstruments.com/spe/2009" version="3.0">'
        f'<DataFormat><DataBlock type="Frame" count="2" pixelFormat="MonochromeUnsigned16" size="{size}" '
        f'stride="{size}"><DataBlock type="Region" count="1" width="7" height="1" size="{size}" '
        f'stride="{size}"/></DataBlock></DataFormat><Calibrations><WavelengthMapping><Wavelength>{axis}'
        "</Wavelength></WavelengthMapping></Calibrations></SpeFormat>"
    )
    header = bytearray(4100)
    struct.pack_into("<f", header, 1992, 3.0)
    struct.pack_into("<Q", header, 678, 4100 + counts.nbytes)
    path.write_bytes(bytes(header) + counts.tobytes() + footer.encode())
    return path


def qudi(path: Path) -> Path:
    """Write a confocal map of 3 rows and 4 columns."""
    path = path.with_suffix(".dat")
    rows = [
        f"{x * 1e-6:.6e}\t{y * 1e-6:.6e}\t0.0\t{1000 * y + 10 * x:.1f}"
        for y in range(3)
        for x in range(4)
    ]
    head = [
        "#Saved Data from the class confocal on 01.01.2020.",
        "#Clock frequency (Hz):\t200.0",
        "#x position (m)\ty position (m)\tz position (m)\tcount rate (Hz)",
    ]
    path.write_text("\n".join([*head, *rows]) + "\n")
    return path


def emission_columns(path: Path) -> Path:
    """Write a spectrum over wavelength as comma-separated columns."""
    path = path.with_suffix(".csv")
    rows = [f"{600 + 0.5 * i},{(i - 3) * 7}" for i in range(25)]
    path.write_text("\n".join(["wavelength (nm),counts", *rows]) + "\n")
    return path


def detector_frames(path: Path) -> Path:
    """Write 2 frames of 3 rows and 5 columns as NPY."""
    path = path.with_suffix(".npy")
    np.save(path, np.arange(30, dtype=np.uint16).reshape(2, 3, 5) % 7, allow_pickle=False)
    return path


def cbf(path: Path, frame: Any = None) -> Path:
    """Write a Pilatus-like CBF: 5 rows and 7 columns, gaps of −1, steps of one to eight bytes."""
    import base64
    import hashlib

    if frame is None:
        frame = np.arange(35, dtype=np.int32).reshape(5, 7)
        frame[2], frame[0, 3:] = -1, [200, 40000, 2**31 - 1, -2]
    data, last = b"", 0
    for value in np.asarray(frame).ravel().tolist():
        step, last = value - last, value
        width = next(w for w in (1, 2, 4, 8) if abs(step) < 2 ** (8 * w - 1))
        escapes = {1: "", 2: "80", 4: "80 0080", 8: "80 0080 00000080"}
        data += bytes.fromhex(escapes[width]) + step.to_bytes(width, "little", signed=True)
    rows, columns = np.asarray(frame).shape
    digest = base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode()
    head = (
        "###CBF: VERSION 1.5, CBFlib v0.7.8 - PILATUS detectors\r\n\r\ndata_golden\r\n\r\n"
        '_array_data.header_convention "PILATUS_1.2"\r\n_array_data.header_contents\r\n;\r\n'
        "# Detector: none, S/N 0\r\n# Pixel_size 172e-6 m x 172e-6 m\r\n"
        "# Wavelength 1.23984 A\r\n# Detector_distance 5.00000 m\r\n"
        "# Beam_xy (243.50, 309.50) pixels\r\n;\r\n\r\n_array_data.data\r\n;\r\n"
        "--CIF-BINARY-FORMAT-SECTION--\r\nContent-Type: application/octet-stream;\r\n"
        '     conversions="x-CBF_BYTE_OFFSET"\r\nContent-Transfer-Encoding: BINARY\r\n'
        f"X-Binary-Size: {len(data)}\r\nX-Binary-ID: 1\r\n"
        'X-Binary-Element-Type: "signed 32-bit integer"\r\n'
        f"X-Binary-Element-Byte-Order: LITTLE_ENDIAN\r\nContent-MD5: {digest}\r\n"
        f"X-Binary-Number-of-Elements: {rows * columns}\r\n"
        f"X-Binary-Size-Fastest-Dimension: {columns}\r\n"
        f"X-Binary-Size-Second-Dimension: {rows}\r\nX-Binary-Size-Padding: 4095\r\n\r\n"
    ).encode()
    tail = b"\0" * 4095 + b"\r\n--CIF-BINARY-FORMAT-SECTION----\r\n;\r\n"
    target = path.with_suffix(".cbf")
    target.write_bytes(head + b"\x0c\x1a\x04\xd5" + data + tail)
    return target


def edf(path: Path, frames: Any = None) -> Path:
    """Write an EDF of 2 frames, 3 rows and 5 columns, each with its own header of 512 bytes."""
    if frames is None:
        frames = np.arange(30, dtype=">u2").reshape(2, 3, 5)
    names = {"u2": "UnsignedShort", "i4": "SignedInteger", "f4": "FloatValue"}
    raw = b""
    for number, frame in enumerate(np.asarray(frames)):
        ny, nx = frame.shape
        order = "High" if frame.dtype.byteorder == ">" else "Low"
        head = (
            f"{{\nHeaderID = EH:{number + 1:06d}:000000:000000 ;\nByteOrder = {order}ByteFirst ;\n"
            f"DataType = {names[frame.dtype.str[1:]]} ;\nDim_1 = {nx} ;\nDim_2 = {ny} ;\n"
            f"Size = {frame.nbytes} ;\nWaveLength = 1.24e-10 ;\nSampleDistance = 5 ;\n"
            "PSize_1 = 5.5e-05 ;\nPSize_2 = 5e-05 ;\n"
        )
        raw += head.ljust(510).encode() + b"}\n" + frame.tobytes()
    target = path.with_suffix(".edf")
    target.write_bytes(raw)
    return target


def beamline_scans(path: Path) -> Path:
    """Write a SPEC file: a motor scan, an aborted scan, two energy scans (eV and keV) with an MCA array."""
    energy = np.r_[
        np.arange(8250.0, 8320, 5), np.arange(8320.0, 8380, 1), np.arange(8380.0, 8500, 5)
    ]
    mu = 0.2 + 0.5 * (1 + np.tanh((energy - 8345) / 2))
    text = "#F golden\n#E 1588592400\n#D Mon May 04 12:00:00 2020\n#O0 Two Theta  mono\n\n"
    text += "#S 1  ascan  samx 0 1 3 1\n#N 2\n#L Sample X  Detector\n0 5\n1 9\n2 4\n3 3\n\n"
    text += "#S 2  ascan  energy 8250 8500 98 1\n#N 3\n#L Energy  I0  It\n8250 1 1\n\n"
    for number, unit in ((3, 1.0), (4, 1000.0)):
        text += f"#S {number}  ascan  energy 8250 8500 98 1\n#N 3\n#L Energy  I0  It\n"
        for e, m in zip(energy, mu, strict=True):
            text += f"{e / unit:.5f} 100000 {100000 * np.exp(-m):.2f}\n"
            text += "@A 0 1 2\\\n 3 4 5\n" if e == energy[0] else ""
        text += "\n"
    target = path.with_suffix(".spec")
    target.write_text(text)
    return target


def text_map(path: Path) -> Path:
    """Write a scan of 9 rows and 12 columns of counts, one row a line."""
    counts = np.random.default_rng(3).poisson(20, (9, 12))
    target = path.with_suffix(".csv")
    np.savetxt(target, counts, fmt="%d", delimiter=",")
    return target


def text_trace(path: Path) -> Path:
    """Write two detectors over 400 bins of 10 ms, decimal commas."""
    time = np.arange(400) * 0.01
    counts = np.random.default_rng(4).poisson(30, (2, 400))
    rows = [f"{t:.2f};{a};{b}".replace(".", ",") for t, a, b in zip(time, *counts, strict=True)]
    target = path.with_suffix(".csv")
    target.write_text("Time (s);Counts 1;Counts 2\n" + "\n".join(rows) + "\n")
    return target


def theory_spectrum(path: Path) -> Path:
    """FEFF's xmu.dat: header, six columns, one point that is not positive."""
    energy = np.linspace(8330.0, 8360.0, 31)
    head = (
        "# #                                                              FEFF 10.0.0\n"
        "#  xsedge+ 50, used to normalize mu           2.6740E-04\n"
        "#  omega    e    k    mu    mu0     chi     @#\n"
    )
    rows = [
        f"{e:19.10f} {e - 8333:19.10f} {0.0:15.10f} {m:18.10E} {m:18.10E} {0.0:18.10E}"
        for e, m in zip(energy, np.where(energy > 8340, 1.0, 0.0), strict=True)
    ]
    target = path.with_suffix(".dat")
    target.write_text(head + "\n".join(rows) + "\n")
    return target


def _photons() -> Any:
    from matterscope.core.schema import measurement

    return measurement(
        "photons", {},
        {"time": (("event",), np.array([0, 1500, 2500, 70_000, 1_000_000, 2_000_001], np.int64), "ps"),
         "channel": (("event",), np.array([0, 1, 0, 1, 1, 0], np.uint8), "1")},
    )  # fmt: skip


def ptu(path: Path) -> Path:
    """Write six photons as PTU."""
    from matterscope.io.picoquant import write

    write(_photons(), path.with_suffix(".ptu"))
    return path.with_suffix(".ptu")


def qutag(path: Path) -> Path:
    """Write three records behind the header of the quTAG software."""
    path = path.with_suffix(".qutag")
    records = np.array([(10, 1), (2500, 2), (90_000, 1)], [("time", "<i8"), ("channel", "<u2")])
    path.write_bytes(bytes.fromhex("87b391fa22dd2800") + bytes(32) + records.tobytes())
    return path


def photon_table(path: Path) -> Path:
    """Write six photons as NPZ."""
    from matterscope.io.photons import write

    write(_photons(), path.with_suffix(".npz"))
    return path.with_suffix(".npz")


def histogram(path: Path) -> Path:
    """Write a histogram over lag with zeros."""
    path = path.with_suffix(".csv")
    rows = [f"{-4 + 0.5 * i},{(i * 7) % 5}" for i in range(17)]
    path.write_text("\n".join(["lag (ns),counts", *rows]) + "\n")
    return path


def athena(path: Path) -> Path:
    """Write a gzipped project of two groups."""
    import gzip

    path = path.with_suffix(".prj")
    parts = ["# Athena project file -- Demeter version 0.9.25", ""]
    for name, shift in (("abcd", "0"), ("efgh", "0.5")):
        x = ",".join(f"'{7000 + 2 * i}'" for i in range(30))
        y = ",".join(f"'{0.1 * i}'" for i in range(30))
        parts += [
            f"$old_group = '{name}';",
            f"@args = ('label','sample {name}','bkg_eshift','{shift}','is_xmu','1','datatype','xmu');",
            f"@x = ({x});",
            f"@y = ({y});",
            "[record]   # ",
            "",
        ]
    path.write_bytes(gzip.compress("\n".join(parts).encode(), mtime=0))
    return path


def xdi(path: Path) -> Path:
    """Write a transmission scan with its ion chambers."""
    path = path.with_suffix(".xdi")
    head = [
        "# XDI/1.0",
        "# Column.1: energy eV",
        "# Column.2: i0",
        "# Column.3: itrans",
        "# Element.symbol: Cu",
        "# Element.edge: K",
        "# Mono.d_spacing: 3.13553",
        "# Scan.start_time: 2001-06-26T22:27:31",
        "# ///",
        "# a comment",
        "#----",
        "# energy i0 itrans",
    ]
    rows = [f"{8900 + 5 * i}.0 {1000 + i} {900 - 3 * i}" for i in range(31)]
    path.write_text("\n".join([*head, *rows]) + "\n")
    return path


def columns(path: Path) -> Path:
    """Write energies and absorption as plain columns."""
    path = path.with_suffix(".xmu")
    rows = [f"{8900 + 5 * i}.0  {0.01 * i - 0.05:.4f}" for i in range(31)]
    path.write_text("\n".join(["#  energy  xmu", *rows]) + "\n")
    return path


def cycling(path: Path) -> Path:
    """Write two half cycles of different length."""
    path = path.with_suffix(".csv")
    rows = ["Voltage (V),Capacity (mAh/g),Li,Voltage (V),Capacity (mAh/g),Li", "1C,,,1D,,"]
    for i in range(1, 8):
        first = f"{3.6 + 0.1 * i:.2f},{20.0 * i},{1 - 20.0 * i / 276.39:.6f}"
        second = f"{4.3 - 0.1 * i:.2f},{18.0 * i},{0.3 + 18.0 * i / 276.39:.6f}" if i < 6 else ",,"
        rows.append(f"{first},{second}")
    path.write_text("\n".join(rows) + "\n")
    return path


def kek(path: Path) -> Path:
    """Write a transmission scan over the Fe K edge by angle, with dark counts of 500 and 300 a second."""
    path = path.with_suffix(".dat")
    energy = 7090.0 + 2.0 * np.arange(40)
    angle = np.rad2deg(np.arcsin(12398.41984 / (2 * 3.13551 * energy)))
    mu = 0.4 + 0.8 * (energy > 7120)
    rows = [
        "  9809     KEK-PF   BL9A",
        " scan1           22.05.11 17:26 - 22.05.11 18:33",
        " Mono :   Si(111)       D=  3.13551 A    Initial angle= 13.93250 deg",
        " Block      Init-Eng  Final-Eng      Step/eV     Time/s       Num",
        "     1        7090.00   7170.00         2.00       2.00        40",
        " Ortec(-1)     NDCH = 2",
        "  Angle(c)  Angle(o)    time/s         1         2",
        "      Mode         0         0         1         2",
        "    Offset         0         0   500.000   300.000",
    ]
    for a, m in zip(angle, mu, strict=True):
        beam, behind = 2e6 + 1000, 2e6 * np.exp(-m) + 600
        rows.append(f"  {a:.5f}  {a:.7f}      2.00   {beam:.1f}     {behind:.3f}")
    path.write_text("\n".join(rows) + "\n")
    return path


def phu(path: Path) -> Path:
    """Write a tagged PicoQuant histogram of two curves."""
    from matterscope.io.picoquant_writing import tag

    path = path.with_suffix(".phu")
    curves = np.arange(24, dtype="<u4").reshape(2, 12) * 3

    def header(start: int) -> bytes:
        fields = [tag("HistoResult_NumberOfCurves", 2)]
        for k in range(2):
            fields += [
                tag("HistResDscr_DataOffset", start + 48 * k, k),
                tag("HistResDscr_HistogramBins", 12, k),
                tag("HistResDscr_MDescResolution", 16e-12, k),
                tag("HistResDscr_SyncRate", 20_000_000, k),
            ]
        return b"PQHISTO\0" + b"1.0.00\0\0" + b"".join(fields) + tag("Header_End", None)

    path.write_bytes(header(len(header(0))) + curves.tobytes())
    return path


def penn(path: Path) -> Path:
    """Write two recordings in the layout of the Penn scripts."""
    from scipy.io import savemat

    path = path.with_suffix(".mat")
    cells = np.empty((1, 2), dtype=object)
    for k in range(2):
        cells[0, k] = {
            "tauAxis": np.arange(-4.0, 5.0) * 1e-9,
            "xCorr": (np.arange(18, dtype=np.uint16) + k).reshape(9, 2),
            "g2norm": np.full((9, 2), 5.0),
            "tAxis": np.arange(5) * 0.1,
            "countRates": 10.0 * np.arange(10).reshape(2, 5),
            "tFlag": np.array([1, 2, 2, 1, 1]),
        }
    savemat(path, {"AllT2data": cells})
    return path


def scan(path: Path) -> Path:
    """Write a raster scan of 3 rows and 4 columns as NVision JSON."""
    import json

    path = path.with_suffix(".json")
    sets = {
        "xSteps": [0.0, 0.1, 0.2, 0.3],
        "ySteps": [1.0, 1.1, 1.2],
        "ScanCounts": [[10.0 * y + x for x in range(4)] for y in range(3)],
    }
    path.write_text(json.dumps({"title": "FsmScan", "datasets": sets, "params": {"dwell": 5}}))
    return path


MAKERS: dict[str, Callable[[Path], Path]] = {
    # name in the table of formats: maker(path without extension) -> path written
    "hdf5-measurement": hdf5_measurement,
    "digitalmicrograph": digitalmicrograph,
    "emsa": emsa,
    "nxxas": nxxas,
    "spectrum-array": hyperspy,
    "picoquant": ptu,
    "qutag": qutag,
    "photon-table": photon_table,
    "histogram-text": histogram,
    "athena": athena,
    "xdi": xdi,
    "columns": columns,
    "picoquant-histogram": phu,
    "penn-mat": penn,
    "map": scan,
    "cycling": cycling,
    "kek-9809": kek,
    "detector-frames": detector_frames,
    "cbf": cbf,
    "edf": edf,
    "map-text": text_map,
    "trace-text": text_trace,
    "beamline-scans": beamline_scans,
    "spe": spe,
    "qudi": qudi,
    "emission-columns": emission_columns,
    "theory-spectrum": theory_spectrum,
}
