"""What a stranger sees who gives `emitters` a bad input: the words, the flag and the exit code."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import tifffile
from ase import Atoms
from ase.io import write as write_structure

from matterscope.cli.app import main
from matterscope.core.schema import measurement
from matterscope.emitters.made.sources import Detection, simulate_site
from matterscope.emitters.made.twin import Design, expected_spectrum, make_array, spectrum_axis
from matterscope.io.picoquant_writing import tag, write_ptu
from matterscope.physics.rates import ThreeLevels

T3 = 0x01010304
LIGHT = simulate_site(
    [1.0],
    0.05,
    np.random.default_rng(1),
    rate=8e5,
    background_rate=1e4,
    levels=ThreeLevels(3e7, 1.7e8),
    detection=Detection(delay=7e-9),
)
TIME, CHANNEL = LIGHT["time"].values, LIGHT["channel"].values
AXIS = spectrum_axis()
PHOTONS = np.random.default_rng(3).poisson(
    expected_spectrum(AXIS, 2.0989, 0.0252, 0.45, 1e5, instrument=0.3)
)
NARROW = np.random.default_rng(4).poisson(
    expected_spectrum(AXIS, 2.0989, 0.0004, 0.45, 3e4, instrument=0.2)
)
MAP = make_array(
    Design(rows=6, columns=6, peak=60.0, background=10.0, hump=3.0), np.random.default_rng(2)
).counts


def photons(time, channel, **more):
    return measurement(
        "photons",
        {},
        {
            "time": (("event",), time, "ps"),
            "channel": (("event",), np.asarray(channel, np.int8), "1"),
        }
        | more.pop("variables", {}),
        source={"uri": "made"},
        **more,
    )


def cut(folder: Path) -> list[Path]:
    write_ptu(LIGHT, folder / "a.ptu")
    (folder / "a.ptu").write_bytes((folder / "a.ptu").read_bytes()[:-4003])
    return [folder / "a.ptu"]


def long_delays(folder: Path) -> list[Path]:
    n = 400
    given = photons(
        np.arange(n) * 100_000 + 90_000,
        1 + np.arange(n) % 2,
        variables={"delay": (("event",), np.full(n, 90_000), "ps")},
        sync_period_ps=50_000.0,
        delay_bin_ps=16.0,
    )
    write_ptu(given, folder / "a.ptu", record_type=T3)
    return [folder / "a.ptu"]


def backwards(folder: Path) -> list[Path]:
    np.savez(folder / "a.npz", time=np.r_[TIME, TIME], channel=np.r_[CHANNEL, CHANNEL])
    return [folder / "a.npz"]


def odd_tags(folder: Path) -> list[Path]:
    write_ptu(LIGHT, folder / "a.ptu")
    data = (folder / "a.ptu").read_bytes()
    extra = tag("Sampleµ", "Größe 号", 7) + tag("Usr_Blob", None, 3)
    (folder / "a.ptu").write_bytes(data[:16] + extra + data[16:])
    return [folder / "a.ptu"]


def sync_detector(folder: Path) -> list[Path]:
    write_ptu(photons(TIME, np.where(CHANNEL == 2, 0, 1)), folder / "a.ptu")
    return [folder / "a.ptu"]


def dead(folder: Path) -> list[Path]:
    write_ptu(photons(TIME[CHANNEL == 1], CHANNEL[CHANNEL == 1]), folder / "a.ptu")
    return [folder / "a.ptu"]


def whole(folder: Path) -> list[Path]:
    write_ptu(LIGHT, folder / "a.ptu")
    return [folder / "a.ptu"]


def spectrum(axis, counts, header: str = "wavelength (nm),counts") -> Callable[[Path], list[Path]]:
    def made(folder: Path) -> list[Path]:
        table = np.stack([axis, counts], axis=1)
        np.savetxt(folder / "a.csv", table, delimiter=",", header=header, comments="")
        return [folder / "a.csv"]

    return made


def image(values) -> Callable[[Path], list[Path]]:
    def made(folder: Path) -> list[Path]:
        if values.dtype.kind == "u":
            tifffile.imwrite(folder / "a.tif", values)
            return [folder / "a.tif"]
        np.save(folder / "a.npy", values)
        return [folder / "a.npy"]

    return made


def powers(*values: float) -> Callable[[Path], list[Path]]:
    p = np.array(values)
    counts = np.where(p > 0, np.round(5e5 * p / (p + 170.0) + 1e3), 2)
    return spectrum(p, counts, "power (uW),counts")


def phonons(change: str) -> Callable[[Path], list[Path]]:
    def made(folder: Path) -> list[Path]:
        rng = np.random.default_rng(5)
        ground = Atoms("C4N4", scaled_positions=rng.random((8, 3)), cell=[6, 6, 6], pbc=True)
        excited = ground.copy()
        excited.positions += rng.normal(0, 0.03, excited.positions.shape)
        matrix = rng.normal(size=(24, 24))
        matrix = matrix @ matrix.T + 5 * np.eye(24)
        if change == "species":
            excited.symbols[0] = "B"
        if change == "wrapped":
            excited.positions[0] += [6, 0, 0]
        if change == "imaginary":
            matrix -= 1.2 * np.linalg.eigvalsh(matrix)[2] * np.eye(24)
        lines = ["8 8"]
        for i in range(8):
            for j in range(8):
                block = matrix[3 * i : 3 * i + 3, 3 * j : 3 * j + 3]
                lines += [f"{i + 1} {j + 1}", *(" ".join(f"{v:.10f}" for v in r) for r in block)]
        (folder / "FORCE_CONSTANTS").write_text("\n".join(lines) + "\n")
        write_structure(folder / "POSCAR_ground", ground, format="vasp")
        write_structure(folder / "POSCAR_excited", excited, format="vasp")
        return [folder / n for n in ("POSCAR_ground", "POSCAR_excited", "FORCE_CONSTANTS")]

    return made


def nothing(folder: Path) -> list[Path]:
    return []


class Row(NamedTuple):
    """A bad input: the verb and its options, the exit code, words of the error or of a flag."""

    verb: str
    made: Callable[[Path], list[Path]]
    code: int
    words: tuple[str, ...]
    options: tuple[str, ...] = ()


WARM = ("--temperature", "295", "--instrument-width", "0.3")
PLAN = ("--energies", "10", "--ions", "100", "--no-scan")
ZPL = ("--zpl", "2.0")
FILTERED = np.where(AXIS < 640, PHOTONS, np.random.default_rng(5).poisson(600, AXIS.size))
ROWS = {
    "a cut file": Row("g2", cut, 0, ("cut-file", "the header promises", "stray-bytes")),
    "a cut file, strictly": Row("g2", cut, 1, ("cut-file",), ("--strict",)),
    "delays beyond the sync period": Row("lifetime", long_delays, 3, ("sync period", "90000 ps")),
    "times that run backwards": Row("g2", backwards, 3, ("run backwards", "event")),
    "tags out of order, in other scripts": Row("convert", odd_tags, 0, ()),
    "the sync input as a detector": Row("g2", sync_detector, 0, ("sync-as-detector",)),
    "a dead detector": Row("g2", dead, 3, ("only one counted", "channel 1:")),
    "channels that are not there": Row(
        "g2", whole, 3, ("1: ", "2: "), ("--channels", "3", "--channels", "4")
    ),
    "a saturated map of bytes": Row(
        "map", image(np.clip(5 * MAP, 0, 255).astype(np.uint8)), 0, ("saturated",)
    ),
    "rates in steps": Row("map", image(137.3 * MAP), 0, ("dwell-inferred", "--dwell")),
    "rates without steps": Row(
        "map",
        image(100.0 * MAP + np.random.default_rng(1).normal(0, 30, MAP.shape)),
        0,
        ("dwell-unknown", "--dwell"),
    ),
    "a map without light": Row("map", image(np.zeros((50, 50))), 3, ("the map is empty",)),
    "a map without numbers": Row("map", image(np.full((50, 50), np.nan)), 3, ("the map is empty",)),
    "a wavelength in metres": Row(
        "spectrum", spectrum(1e-9 * AXIS, PHOTONS, "wavelength,counts"), 0, ("in metres",), WARM
    ),
    "a descending axis": Row(
        "spectrum", spectrum(AXIS[::-1], PHOTONS[::-1]), 0, ("descending",), WARM
    ),
    "an axis in eV": Row(
        "spectrum", spectrum(1239.842 / AXIS, PHOTONS, "x,y"), 0, ("energy in eV",), WARM
    ),
    "a line below two pixels": Row(
        "spectrum", spectrum(AXIS, NARROW), 0, ("instrument-limited",), WARM
    ),
    "a detector that ends in the sideband": Row(
        "spectrum", spectrum(AXIS[AXIS < 640], PHOTONS[AXIS < 640]), 0, ("sideband-cut",), WARM
    ),
    "a filter inside the sideband": Row(
        "spectrum", spectrum(AXIS, FILTERED), 0, ("sideband-cut", "640."), WARM
    ),
    "a saturated line": Row(
        "spectrum", spectrum(AXIS, np.minimum(PHOTONS, 1100.0)), 0, ("saturated",), WARM
    ),
    "the laser off": Row(
        "saturation", powers(0, 20, 50, 100, 200, 400, 800), 0, ("laser-off-row",)
    ),
    "four powers": Row("saturation", powers(20, 50, 100, 400), 0, ("few-powers", "lower limit")),
    "two powers": Row("saturation", powers(20, 50), 3, ("got 2",)),
    "powers below saturation": Row(
        "saturation", powers(5, 10, 15, 20, 25, 30), 0, ("below-saturation",)
    ),
    "other species": Row("lineshape", phonons("species"), 3, ("other atoms", "C4N4"), ZPL),
    "a wrapped atom": Row("lineshape", phonons("wrapped"), 0, (), ZPL),
    "imaginary modes": Row("lineshape", phonons("imaginary"), 0, ("imaginary-modes", "meV"), ZPL),
    "a layer of unknown density": Row(
        "plan", nothing, 2, ("MgF2", "g/cm³"), ("--layers", "MgF2:20nm,hBN:30nm", *PLAN)
    ),
    "an energy beyond the model": Row(
        "plan", nothing, 2, ("500", "1 to 100 keV"), ("--energies", "500", *PLAN[2:])
    ),
    "a crystal": Row("plan", nothing, 0, ("amorphous", "channelling"), PLAN),
}


@pytest.mark.parametrize("name", ROWS)
def test_a_bad_input_is_answered_with_words_a_flag_and_the_exit_code(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "400")
    row = ROWS[name]
    given = [str(p) for p in row.made(tmp_path)]
    shared = ["--json", "--no-report", "--store", str(tmp_path / "store")]
    with pytest.raises(SystemExit) as ended:
        main(["emitters", row.verb, *given, *row.options, *shared])
    said = capsys.readouterr()
    assert ended.value.code == row.code, said.err
    text = " ".join(said.err.split())
    if row.code in (0, 1):
        text = " ".join(
            f"{f['code']} {f['message']} {f['remedy']}"
            for answer in json.loads(said.out)
            for f in answer["flags"]
        )
    for words in row.words:
        assert words in text


def test_a_bounded_share_of_light_and_a_limit_are_stated_as_such(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for row, quantity, end in (
        ("a filter inside the sideband", "debye_waller", "low"),
        ("four powers", "saturation_power", "high"),
    ):
        given = [str(p) for p in ROWS[row].made(tmp_path)]
        words = ["--json", "--no-report", "--store", str(tmp_path / "store"), *ROWS[row].options]
        with pytest.raises(SystemExit):
            main(["emitters", ROWS[row].verb, *given, *words])
        (answer,) = json.loads(capsys.readouterr().out)
        assert answer["quantities"][quantity]["intervals"][0][end] is None


def test_wrapped_atoms_change_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = []
    for change in ("", "wrapped"):
        folder = tmp_path / (change or "plain")
        folder.mkdir()
        given = [str(p) for p in phonons(change)(folder)]
        with pytest.raises(SystemExit):
            main(
                [
                    "emitters",
                    "lineshape",
                    *given,
                    *ZPL,
                    "--json",
                    "--no-report",
                    "--store",
                    str(tmp_path),
                ]
            )
        found.append(json.loads(capsys.readouterr().out)[0]["quantities"]["huang_rhys"]["value"])
    assert found[0] == pytest.approx(found[1], rel=1e-9)
