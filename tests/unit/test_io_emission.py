"""Photoluminescence as text, in the dialects that spectrometers write: the axis is told, converted or asked for."""

from __future__ import annotations

import numpy as np
import pytest

from matterscope import io
from matterscope.core.errors import ReadError

WAVELENGTH = np.linspace(545.0, 715.0, 200)
COUNTS = np.round(60 + 800 / (1 + ((WAVELENGTH - 583.2) / 2) ** 2))
SHIFT = 1e7 / 532 - 1e7 / WAVELENGTH


def table(header, axis, separator="\t", digits=4, comma=False):
    rows = [f"{x:.{digits}f}{separator}{c:.0f}" for x, c in zip(axis, COUNTS, strict=True)]
    return header + "\n".join(r.replace(".", ",") if comma else r for r in rows) + "\n"


def read(tmp_path, text, encoding="utf-8", **options):
    path = tmp_path / "spectrum.txt"
    path.write_bytes(text.encode(encoding))
    return io.read(path, kind="emission", **options)[0]


@pytest.mark.parametrize(
    ("header", "separator", "comma", "encoding"),
    [
        ("Wellenlänge (nm);Intensität\n", ";", True, "latin-1"),
        ("wavelength (nm)\tcounts\n", "\t", True, "utf-16"),
        ("wavelength (nm), counts\n", ", ", False, "utf-8"),
        ("Spectrometer: A\n>>>>>Begin Spectral Data<<<<<\n", "\t", False, "utf-8"),
        ("#Laser=\t532nm\n#AxisUnit[1]=\tnm\n#Title=\tflake é\n", "\t", False, "latin-1"),
    ],
)
def test_wavelengths_of_any_dialect_are_read_as_written(
    tmp_path, header, separator, comma, encoding
):
    found = read(tmp_path, table(header, WAVELENGTH, separator, comma=comma), encoding)
    assert found["wavelength"].values == pytest.approx(WAVELENGTH, abs=1e-4)
    assert found["counts"].values == pytest.approx(COUNTS)


@pytest.mark.parametrize(
    ("header", "options", "told"),
    [
        ("Raman shift (1/cm)\tcounts\n", {"laser": 532.0}, "as given"),
        ("#Laser=\t532nm\n#AxisUnit[1]=\t1/cm\n#Title=\tflake\n", {}, "from the header"),
        ("#Wave\t#Intensity\n", {"laser": 532.0}, "as given"),
    ],
)
def test_a_raman_shift_becomes_a_wavelength_with_the_laser(tmp_path, header, options, told):
    found = read(tmp_path, table(header, SHIFT), **options)
    assert found["wavelength"].values == pytest.approx(WAVELENGTH, abs=1e-2)
    assert told in " ".join(found.attrs["flags"])


def test_absolute_wavenumbers_are_no_shift(tmp_path):
    found = read(tmp_path, table("wavenumber (cm-1)\tcounts\n", 1e7 / WAVELENGTH))
    assert 1239.841984 / found["energy"].values[::-1] == pytest.approx(WAVELENGTH, rel=1e-4)


def test_what_is_not_said_is_asked_for(tmp_path):
    with pytest.raises(ReadError, match="laser is not known"):
        read(tmp_path, table("Raman shift (1/cm)\tcounts\n", SHIFT))
    with pytest.raises(ReadError, match="nothing says what the axis is"):
        read(tmp_path, table("#Wave\t#Intensity\n", SHIFT))
    with pytest.raises(ReadError, match="beyond the laser's own energy"):
        read(tmp_path, table("Raman shift (1/cm)\tcounts\n", SHIFT), laser=2900.0)


def test_an_option_that_a_format_does_not_know_is_refused(tmp_path):
    path = tmp_path / "spectrum.npz"
    np.savez(path, wavelength=WAVELENGTH, counts=COUNTS)
    with pytest.raises(ReadError, match="takes no --energy"):
        io.read(path, kind="emission", energy="1:2")
