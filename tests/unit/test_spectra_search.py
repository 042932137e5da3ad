"""Searching a built set for the structures behind a spectrum."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

import matterscope.spectra as spectra
from matterscope.core.errors import ConfigError, DataError
from matterscope.spectra.sets.searching import rank

DEMO = Path(spectra.__file__).parent / "shipped" / "demo_cu_k.h5"


def test_the_spectrum_itself_is_found_first() -> None:
    rng = np.random.default_rng(0)
    known = {"Ni_K": rng.normal(1, 0.2, (20, 50)), "O_K": rng.normal(1, 0.2, (20, 40))}
    r, far = rank({b: v[7] for b, v in known.items()}, known)
    assert int(np.argmin(far)) == int(np.argmax(r)) == 7
    assert far[7] == pytest.approx(0.0)
    assert r[7] == pytest.approx(1.0)


def test_one_block_is_enough() -> None:
    rng = np.random.default_rng(1)
    known = {"Ni_K": rng.normal(1, 0.2, (5, 50)), "O_K": rng.normal(1, 0.2, (5, 40))}
    assert int(np.argmin(rank({"O_K": known["O_K"][2]}, known)[1])) == 2


def test_without_a_set_the_search_says_what_is_missing() -> None:
    with pytest.raises(ConfigError, match="folder of a built set"):
        spectra.search(f"{DEMO}:CuO")


def test_sites_of_a_training_set_are_ranked_and_another_element_is_refused(tmp_path: Path) -> None:
    grid = np.arange(8960.0, 9120.0, 0.5)
    shapes = [
        0.5 + np.arctan((grid - 8990) / 1.5) / np.pi + h * np.exp(-(((grid - 8996) / 3) ** 2))
        for h in (0.2, 0.6, 1.0)
    ]
    lines = [
        f'2\nLattice="4 0 0 0 4 0 0 0 4" Properties=species:S:1:pos:R:3 material=m{k}\nCu 0 0 0\nO 2 0 0\n'
        for k in range(3)
    ]
    (tmp_path / "structures.extxyz.gz").write_bytes(gzip.compress("".join(lines).encode()))
    np.savez(
        tmp_path / "spectra.npz", material=np.array(["m0", "m1", "m2"]), site=np.zeros(3, int),
        energy_ev=np.tile(grid, (3, 1)), mu=np.array(shapes),
    )  # fmt: skip
    asked = np.c_[grid, shapes[1]]
    np.savetxt(tmp_path / "one.csv", asked, delimiter=",", header="energy,mu", comments="")
    found = spectra.search(tmp_path / "one.csv", folder=str(tmp_path), top=2)
    assert found.tables["nearest"]["material"].tolist()[0] == "m1"
    assert len(found.tables["nearest"]) == 2
    np.savetxt(
        tmp_path / "fe.csv", asked - [1878.0, 0.0], delimiter=",", header="energy,mu", comments=""
    )
    with pytest.raises(DataError, match="the set holds Cu K, the spectrum is Fe K"):
        spectra.search(tmp_path / "fe.csv", folder=str(tmp_path))
