"""What the user says about a file: the edge it shows, the foil on its axis, the answers wanted."""

from __future__ import annotations

from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import matterscope.spectra as spectra
from matterscope.core.calls import Call, Input
from matterscope.core.errors import ConfigError, DataError
from matterscope.core.estimates import Estimate
from matterscope.core.schema import measurement
from matterscope.io import read, write
from matterscope.spectra.learned import aligned
from matterscope.spectra.learned.inference import edge_miss, flag_gates, windows_of
from matterscope.spectra.learned.models import choose
from matterscope.spectra.learned.references import named_edge, read_reference
from matterscope.spectra.measured.alignment import aligned_shape
from matterscope.spectra.measured.quality import examine

DEMO = Path(str(files("matterscope.spectra").joinpath("shipped", "demo_cu_k.h5")))
TABLE = 8979.0


def edge_at(position: float, label: str) -> xr.Dataset:
    """An arctangent edge whose steepest rise stands at `position` (eV)."""
    energy = np.arange(position - 100.0, position + 160.0, 0.5)
    mu = 0.5 + np.arctan((energy - position) / 0.8) / np.pi
    return measurement(
        "spectrum", {"energy": (energy, "eV")}, {"mu": (("energy",), mu, "1")}, label=label
    )


@pytest.fixture(scope="module")
def oxide() -> xr.Dataset:
    return read(DEMO, kind="spectrum", selector="CuO")[0]


def stored(data: xr.Dataset, path: Path) -> str:
    write(data, path)
    return str(path)


def test_a_foil_gives_the_shift_and_the_offset_of_the_axis(
    oxide: xr.Dataset, tmp_path: Path
) -> None:
    foil = stored(edge_at(TABLE + 3.0, "Cu foil"), tmp_path / "foil.h5")
    answer = spectra.infer(oxide, reference=foil)
    own = answer["edge_position"].value
    assert answer["shift_from_reference"].value == pytest.approx(own - TABLE - 3.0, abs=0.3)
    assert answer.diagnostics["reference"]["axis_offset_ev"] == pytest.approx(3.0, abs=0.5)
    assert answer.flagged("reference_offset")


def test_a_standard_gives_a_shift_and_claims_nothing_about_the_table(
    oxide: xr.Dataset, tmp_path: Path
) -> None:
    standard = stored(edge_at(TABLE + 6.0, "tenorite"), tmp_path / "tenorite.h5")
    answer = spectra.infer(oxide, reference=standard)
    assert answer["shift_from_reference"].value is not None
    assert np.isnan(answer.diagnostics["reference"]["axis_offset_ev"])
    assert not answer.flagged("reference_offset")


def test_a_reference_of_another_element_says_so(oxide: xr.Dataset, tmp_path: Path) -> None:
    iron = stored(edge_at(7112.0, "Fe foil"), tmp_path / "fe.h5")
    answer = spectra.infer(oxide, reference=iron)
    assert answer.flagged("reference_of_another_edge")
    assert answer["shift_from_reference"].value is None
    assert answer["bond_length"].value is not None


def test_a_reference_with_several_spectra_or_none_is_one_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="several"):
        read_reference(str(DEMO))
    flat = edge_at(TABLE, "nothing")
    flat["mu"] = flat["mu"] * 0
    flat["mu"].attrs["units"] = "1"
    with pytest.raises(DataError, match="cannot be used"):
        read_reference(stored(flat, tmp_path / "flat.h5"))


def test_only_the_targets_asked_for_are_answered(oxide: xr.Dataset) -> None:
    answer = spectra.infer(oxide, targets=("bond_length",))
    assert "bond_length" in answer.quantities
    assert not {"coordination_number", "oxidation_state"} & set(answer.quantities)
    with pytest.raises(ConfigError, match="does not answer lithium"):
        spectra.infer(oxide, targets=("lithium",))


def test_a_window_can_be_left_out(oxide: xr.Dataset) -> None:
    assert spectra.infer(oxide, windows=("narrow",)).diagnostics["window"] == "narrow"
    assert spectra.infer(oxide).diagnostics["window"] == "wide"


def test_the_name_given_wins_and_a_wrong_one_is_told(oxide: xr.Dataset) -> None:
    assert spectra.infer(oxide, as_=("Cu:K",))["edge_name"].value == "Cu K"
    wrong = spectra.infer(oxide, as_=("Fe:K",))
    assert wrong.flagged("edge_named_against_position")
    assert wrong["coordination_number"].value is None


def test_a_name_belongs_to_one_file_or_to_all(tmp_path: Path) -> None:
    one, other = tmp_path / "a.csv", tmp_path / "b.csv"
    for path in (one, other):
        path.write_text("")
    given = Input(str(one), "", one)
    assert named_edge((f"Ni:L3={one}",), given) == ("Ni", "L3")
    assert named_edge((f"Ni:L23={one}",), given) == ("Ni", "L3")
    assert named_edge((f"Ni:L3={other}",), given) is None
    assert named_edge(("Ni:K",), given) == ("Ni", "K")
    with pytest.raises(ConfigError, match="is no edge"):
        named_edge(("Ni:Q",), given)
    with pytest.raises(ConfigError, match="not there"):
        named_edge((f"Ni:K={tmp_path / 'c.csv'}",), given)


def judged(
    data: xr.Dataset, edge: float, anchor: float, reference_offset: float = 0.0
) -> tuple[bool, float]:
    """Return whether the axis is doubted, and the miss, when the shape puts E½ − table at `edge`."""
    model = windows_of(choose("Cu", "K"))["wide"]
    own = replace(model.calibration, edge_anchor=anchor, edge_tolerance=2.0)
    window = replace(model, calibration=own)
    seen = examine(data)
    answer = aligned.answer(seen, window, Call(seed=0), None)
    answer.edge = edge
    estimate = Estimate("spectra infer")
    estimate.diagnostics["reference"] = {"axis_offset_ev": reference_offset}
    flag_gates(estimate, seen, answer, window, bool(data.attrs.get("simulated")))
    return estimate.flagged("axis_disagrees"), edge_miss(seen, answer, window, reference_offset)


def test_an_axis_is_doubted_where_the_shape_expects_another_edge(oxide: xr.Dataset) -> None:
    measured = oxide.copy()
    measured.attrs = {k: v for k, v in oxide.attrs.items() if k not in ("simulated", "engine")}
    shape = examine(measured).normalised
    assert shape is not None
    own = aligned_shape(shape.energy, shape.mu, "wide", TABLE)[1] - TABLE
    assert judged(measured, own + 5.0, -5.0) == (False, pytest.approx(0.0, abs=1e-6))
    assert judged(measured, own, -5.0) == (True, pytest.approx(5.0, abs=1e-6))
    # what a foil on the same axis has shown is taken off first
    assert not judged(measured, own, -5.0, reference_offset=5.0)[0]
    # without standards nothing is known, and nothing is claimed
    doubted, miss = judged(measured, own, float("nan"))
    assert not doubted
    assert np.isnan(miss)


def test_the_axis_of_a_simulation_is_not_judged(oxide: xr.Dataset) -> None:
    doubted, miss = judged(oxide, 40.0, 0.0)
    assert not doubted
    assert np.isnan(miss)
