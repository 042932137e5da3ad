"""Frames as beamlines write them: CBF, NeXus with geometry and its own mask, stacks larger than memory."""

import subprocess
import sys

import h5py
import numpy as np
import pytest

from golden import cbf as write_cbf
from golden import edf as write_edf
from matterscope import io
from matterscope.core.errors import NotInstalled, ReadError
from matterscope.io import cbf
from matterscope.io.patterns import open_stack


def test_differences_of_every_width_are_undone():
    # 1, then +127, then 0x80 and −128 in two bytes, then −32768 in four, then −2³¹ in eight
    stream = bytes([1, 127, 0x80, 0x80, 0xFF, 0x80, 0x00, 0x80, 0x00, 0x80, 0xFF, 0xFF])
    stream += bytes([0x80, 0x00, 0x80, 0x00, 0x00, 0x00, 0x80])
    stream += bytes([0x00, 0x00, 0x00, 0x80, 0xFF, 0xFF, 0xFF, 0xFF])
    assert cbf.undo_byte_offset(stream, 5).tolist() == [1, 128, 0, -32768, -32768 - 2**31]


def test_a_cbf_gives_its_frame_and_its_geometry(tmp_path):
    frame = np.random.default_rng(3).poisson(40.0, (619, 487)).astype(np.int32)
    frame[195:212], frame[5, 5] = -1, 1_048_573
    stack = open_stack(write_cbf(tmp_path / "pilatus", frame))
    assert stack.shape == (1, 619, 487)
    assert np.array_equal(next(stack.frames()), frame)
    assert stack.geometry["distance"] == 5.0
    assert stack.geometry["wavelength"] == pytest.approx(0.123984)
    assert stack.geometry["pixel"] == (172e-6, 172e-6)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (b"x-CBF_BYTE_OFFSET", b"x-CBF_PACKED", "another way|a way"),
        (b"Second-Dimension: 5", b"Second-Dimension: x", "size of the frame"),
        (b"Second-Dimension: 5", b"Second-Dimension: 8", "too few"),
        (b"signed 32-bit", b"signed 99-bit", "unknown type"),
        (b"\x0c\x1a\x04\xd5\x00", b"\x0c\x1a\x04\xd5\x01", "checksum"),
        (b"Second-Dimension: 5", b"Second-Dimension: 500000000", "would take|size"),
    ],
)
def test_a_damaged_cbf_is_refused_with_its_reason(tmp_path, old, new, words):
    path = write_cbf(tmp_path / "one")
    data = path.read_bytes()
    assert old in data
    path.write_bytes(data.replace(old, new))
    with pytest.raises(ReadError, match=words):
        list(open_stack(path).frames())


def test_a_cut_cbf_says_how_many_bytes_are_missing(tmp_path):
    path = write_cbf(tmp_path / "one", np.full((50, 50), 3))
    data = path.read_bytes()
    at = data.index(cbf.START) + 100
    path.write_bytes(data[:at])
    with pytest.raises(ReadError, match="cut"):
        list(open_stack(path).frames())


def test_a_nexus_file_tells_geometry_and_bad_pixels(tmp_path):
    with h5py.File(tmp_path / "a.nxs", "w") as file:
        file["entry/data/data"] = np.ones((2, 20, 17), np.uint32)
        detector = file.create_group("entry/instrument/detector")
        for name, value, unit in (
            ("detector_distance", 4200.0, "mm"),
            ("x_pixel_size", 75.0, "um"),
            ("y_pixel_size", 7.5e-5, "m"),
        ):
            detector[name] = value
            detector[name].attrs["units"] = unit
        mask = np.zeros((20, 17), np.uint32)
        mask[3] = 1
        detector["pixel_mask"] = mask
        file["entry/instrument/beam/incident_energy"] = 12.0
        file["entry/instrument/beam/incident_energy"].attrs["units"] = "keV"
    stack = open_stack(tmp_path / "a.nxs")
    assert stack.geometry["distance"] == pytest.approx(4.2)
    assert stack.geometry["pixel"] == pytest.approx((75e-6, 75e-6))
    assert stack.geometry["wavelength"] == pytest.approx(0.10332, rel=1e-4)
    assert not stack.good_pixels()[3].any()
    assert stack.good_pixels()[4:].all()


def test_a_number_without_units_is_not_believed(tmp_path):
    with h5py.File(tmp_path / "a.nxs", "w") as file:
        file["entry/data/data"] = np.ones((2, 20, 17), np.uint32)
        file["entry/instrument/detector/distance"] = 4200.0
    assert open_stack(tmp_path / "a.nxs").geometry == {}


def test_a_stack_larger_than_the_limit_is_read_frame_by_frame(tmp_path, monkeypatch):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("data", (50, 40, 40), np.int32, chunks=(1, 40, 40))
    monkeypatch.setenv("MATTERSCOPE_MAX_BYTES", "20000")
    assert len(list(open_stack(tmp_path / "a.h5").frames(10, 20))) == 10


def test_an_edf_gives_its_frames_and_its_geometry(tmp_path):
    frames = np.arange(36, dtype=np.float32).reshape(3, 3, 4)
    path = write_edf(tmp_path / "many", frames)
    stack = open_stack(path)
    assert stack.shape == (3, 3, 4)
    assert np.array_equal(np.stack(list(stack.frames(1, 3))), frames[1:])
    assert stack.geometry == {"wavelength": 0.124, "distance": 5.0, "pixel": (5e-05, 5.5e-05)}
    found = io.read(path)[0]
    assert found["qx"].attrs["units"] == "1/nm"
    # q = 2π p / (λ D) close to the beam
    assert float(found["qx"][-1]) == pytest.approx(2 * np.pi * 55e3 / (0.124 * 5e9), rel=1e-6)


def test_a_damaged_edf_is_refused_where_the_damage_is(tmp_path):
    path = write_edf(tmp_path / "many")
    whole = path.read_bytes()
    path.write_bytes(whole[:-3])
    with pytest.raises(ReadError, match="frame 1, byte"):
        open_stack(path)
    path.write_bytes(whole.replace(b"UnsignedShort", b"Complex      "))
    with pytest.raises(ReadError, match="this EDF is not read"):
        open_stack(path)
    path.write_bytes(whole.replace(b"Dim_1 = 5", b"Dim_1 = 9", 1))
    with pytest.raises(ReadError, match="byte"):
        open_stack(path)


def test_frames_packed_as_eiger_packs_them_are_read(tmp_path):
    # another process writes the file: here the filters are not loaded until a file needs them
    path = tmp_path / "eiger.h5"
    program = (
        "import h5py, hdf5plugin, numpy as np, sys\n"
        "frames = np.arange(3 * 64 * 70, dtype='u4').reshape(3, 64, 70) % 977\n"
        "with h5py.File(sys.argv[1], 'w') as file:\n"
        "    file.create_dataset('entry/data/data', data=frames, chunks=(1, 64, 70), **hdf5plugin.Bitshuffle(cname='lz4'))\n"
    )
    subprocess.run([sys.executable, "-c", program, str(path)], check=True, timeout=100)
    stack = open_stack(path)
    whole = np.stack(list(stack.frames()))
    assert np.array_equal(whole.ravel(), np.arange(3 * 64 * 70) % 977)


def test_a_compression_without_its_package_says_what_to_install(tmp_path, monkeypatch):
    path = tmp_path / "packed.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("entry/data/data", data=np.ones((2, 9, 9)), compression="gzip")
    monkeypatch.setattr(h5py.h5z, "filter_avail", lambda code: False)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(NotInstalled, match=r"matterscope\[detectors\]"):
        open_stack(path)
