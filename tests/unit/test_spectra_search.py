"""Searching a built set for the structures behind a spectrum."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import matterscope.spectra as spectra
from matterscope.core.errors import ConfigError
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
