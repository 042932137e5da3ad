"""Files made to hurt: bombs, links into other files, and random damage; only ReadErrors, in bounded time."""

from __future__ import annotations

import io
import random
import time
import tracemalloc
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py
import numpy as np
import pytest

from golden import MAKERS, DigitalMicrographWriter, dm_image
from matterscope.core.errors import DataError, ReadError
from matterscope.io import read
from matterscope.io.formats import FORMATS
from matterscope.io.limits import check_npz

MUTATIONS = 80
SECONDS = 2.0
"""One damaged file may take this long, the rule of the project."""


@contextmanager
def _memory(limit: float) -> Iterator[None]:
    """Fail when more than `limit` bytes are allocated at a time inside the block."""
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < limit
    finally:
        tracemalloc.stop()


def _mutate(content: bytes, rng: random.Random) -> bytes:
    damaged = bytearray(content)
    for _ in range(rng.choice([1, 1, 2, 8])):
        kind = rng.randrange(5)
        at = rng.randrange(len(damaged))
        if kind == 0:
            damaged[at] = rng.randrange(256)
        elif kind == 1:
            damaged[at] ^= 1 << rng.randrange(8)
        elif kind == 2:
            damaged[at : at + rng.randrange(1, 9)] = rng.choice([b"\xff", b"\x00", b"\x7f"]) * 4
        elif kind == 3:
            del damaged[at : at + rng.randrange(1, 40)]
        else:
            damaged[at:at] = damaged[at : at + rng.randrange(1, 40)]
        if not damaged:
            return b"\x00"
    return bytes(damaged)


def _attempt(path: Path) -> tuple[list, str]:
    """Return what was read, or the message of the refusal."""
    try:
        return read(path), ""
    except DataError as error:
        return [], str(error)


@pytest.mark.parametrize("name", [f.name for f in FORMATS if f.name in MAKERS])
def test_random_damage_gives_an_answer_or_a_data_error_in_bounded_time(name, tmp_path):
    path = MAKERS[name](tmp_path / "golden")
    content, rng = path.read_bytes(), random.Random(7)
    for _ in range(MUTATIONS):
        path.write_bytes(_mutate(content, rng))
        start = time.perf_counter()
        found, message = _attempt(path)
        assert found or str(path) in message
        # three times the rule: the test machine may be busy
        assert time.perf_counter() - start < 3 * SECONDS


def test_an_hdf5_that_declares_more_than_the_limit_is_refused_before_it_is_read(tmp_path):
    path = tmp_path / "bomb.nxs"
    with h5py.File(path, "w") as file:
        entry = file.create_group("entry")
        entry["definition"] = "NXxas"
        entry.create_dataset("data/energy", shape=(40_000_000_000,), dtype="f8", chunks=(1024,))
    assert path.stat().st_size < 10_000
    with _memory(50e6), pytest.raises(ReadError, match="320,000,000,000"):
        read(path)


@pytest.mark.parametrize("how", ["external link", "soft link", "virtual", "external storage"])
def test_an_hdf5_cannot_read_another_file(tmp_path, how):
    secret = tmp_path / "secret.h5"
    with h5py.File(secret, "w") as file:
        file["x"] = np.arange(3.0)
    raw = tmp_path / "secret.bin"
    raw.write_bytes(np.arange(3.0).tobytes())
    path = tmp_path / "thief.nxs"
    with h5py.File(path, "w") as file:
        entry = file.create_group("entry")
        entry["definition"] = "NXxas"
        entry["data/energy"] = np.array([1.0, 2.0, 3.0])
        if how == "external link":
            entry["data/mu"] = h5py.ExternalLink("secret.h5", "/x")
        elif how == "soft link":
            entry["data/mu"] = h5py.SoftLink("/entry/data/energy")
        elif how == "virtual":
            layout = h5py.VirtualLayout(shape=(3,), dtype="f8")
            layout[:] = h5py.VirtualSource("secret.h5", "x", shape=(3,))
            entry.create_virtual_dataset("data/mu", layout)
        else:
            entry.create_dataset("data/mu", (3,), "f8", external=[(str(raw), 0, 24)])
    with pytest.raises(ReadError, match=r"link|another file"):
        read(path)


def test_a_digitalmicrograph_image_that_declares_terabytes_is_refused(tmp_path):
    image = dm_image(np.zeros((50, 60), "f4"), [(0, 1.0, "nm"), (0, 1.0, "nm")], "bomb")
    image["ImageData"]["Dimensions"] = [2_000_000, 2_000_000]
    path = tmp_path / "bomb.dm3"
    path.write_bytes(DigitalMicrographWriter().file({"ImageList": [image]}))
    with pytest.raises(ReadError, match="would take"):
        read(path)


def test_a_group_that_declares_a_billion_tags_is_refused_at_once(tmp_path):
    path = tmp_path / "many.dm4"
    content = DigitalMicrographWriter(4).file({"a": 1})
    path.write_bytes(content[:18] + (10**9).to_bytes(8, "big") + content[26:])
    start = time.perf_counter()
    with pytest.raises(ReadError):
        read(path)
    assert time.perf_counter() - start < SECONDS


def _npz_bomb(path: Path, count: int) -> None:
    """Write an archive of a few kilobytes whose one array declares `count` zeros."""
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": "<f8", "fortran_order": False, "shape": (count,)}
    )
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("data.npy", header.getvalue() + bytes(100_000))


@pytest.mark.parametrize("suffix", [".npz", ".npy"])
def test_an_array_that_declares_terabytes_is_refused(tmp_path, suffix):
    path = tmp_path / f"bomb{suffix}"
    if suffix == ".npz":
        _npz_bomb(path, 10**12)
    else:
        with path.open("wb") as handle:
            np.lib.format.write_array_header_1_0(
                handle, {"descr": "<f8", "fortran_order": False, "shape": (10**12,)}
            )
            handle.write(bytes(1000))
    with _memory(200e6), pytest.raises(DataError):
        read(path)


def test_a_pickle_inside_an_array_file_is_not_run(tmp_path):
    path, proof = tmp_path / "evil.npy", tmp_path / "proof"

    class Evil:
        def __reduce__(self):
            return (Path.touch, (proof,))

    np.save(path, np.array([Evil()], dtype=object), allow_pickle=True)
    with pytest.raises(DataError):
        read(path)
    assert not proof.exists()


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_an_image_that_declares_a_trillion_pixels_is_refused(tmp_path, suffix):
    path = tmp_path / f"bomb{suffix}"
    if suffix == ".png":
        import struct
        import zlib

        size = struct.pack(">IIBBBBB", 1_000_000, 1_000_000, 8, 0, 0, 0, 0)
        chunks = [(b"IHDR", size), (b"IDAT", zlib.compress(bytes(1000))), (b"IEND", b"")]
        body = b"".join(
            struct.pack(">I", len(d)) + n + d + struct.pack(">I", zlib.crc32(n + d))
            for n, d in chunks
        )
        path.write_bytes(b"\x89PNG\r\n\x1a\n" + body)
    else:
        import tifffile

        tifffile.imwrite(path, np.zeros((64, 48), np.uint16))
        content = bytearray(path.read_bytes())
        with tifffile.TiffFile(path) as file:
            tags = file.pages[0].tags
            for name in ("ImageWidth", "ImageLength"):
                tag = tags[name]
                content[tag.valueoffset : tag.valueoffset + 4] = (
                    (1_000_000).to_bytes(4, "little")
                    if tag.dtype == 4
                    else (65000).to_bytes(2, "little") + b"\0\0"
                )
        path.write_bytes(content)
    with _memory(200e6), pytest.raises(DataError):
        read(path)


def test_an_encrypted_member_of_an_archive_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    path = tmp_path / "spectrum.npz"
    np.savez(path, energy=np.arange(5.0))
    data = bytearray(path.read_bytes())
    # bit 0 of the flags, in the local header and in the central directory
    data[6] |= 1
    data[data.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(bytes(data))
    with pytest.raises(ReadError, match="closed"):
        check_npz(path)
