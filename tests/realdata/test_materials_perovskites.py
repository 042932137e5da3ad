"""The 229 perovskites of arXiv 2109.10798: compositions, faults, and what a model of them must do."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from matterscope.core.verbs import as_input
from matterscope.materials.alloys.audit import findings_of
from matterscope.materials.alloys.models import AlloyModel
from matterscope.materials.alloys.rows import AlloyTable
from matterscope.materials.alloys.tables import read_alloys

pytestmark = pytest.mark.realdata


@pytest.fixture(scope="module")
def table(data: Path) -> AlloyTable:
    folder = data / "perovskites"
    return read_alloys([as_input(folder / f"dft_229_{n}.csv") for n in ("properties", "defects")])


def test_all_compositions_are_recovered_from_the_descriptors(table: AlloyTable) -> None:
    recovered = [f for f in table.findings if f.rule == "composition recovered"]
    assert len(recovered) == 139
    assert all(f.severity == "information" for f in recovered)


def test_compositions_have_the_counts_of_the_table(table: AlloyTable) -> None:
    parts = [len(c["B"]) for c in table.compositions]
    assert [parts.count(k) for k in range(1, 7)] == [90, 69, 25, 27, 17, 1]
    a = [next(iter(c["A"])) for c in table.compositions]
    assert {s: a.count(s) for s in ("MA", "Cs", "FA", "Rb", "K")} == {
        "MA": 49, "Cs": 49, "FA": 47, "Rb": 42, "K": 42,
    }  # fmt: skip


def test_the_audit_finds_the_one_wrong_defect_energy_with_its_size(table: AlloyTable) -> None:
    found = [f for f in findings_of(table, residuals=False) if f.rule == "defect algebra"]
    assert [f.row for f in found] == ["id 3"]
    assert "MAGeI3" in found[0].evidence
    assert found[0].evidence.count("-1.00 eV") == 3


def test_the_audit_names_the_four_families_and_their_56_rows(table: AlloyTable) -> None:
    found = findings_of(table, residuals=False)
    ratio = [f for f in found if f.rule == "ratio columns"]
    assert sum(f.line > 0 for f in ratio) == 56
    assert any("Cs–Cl, K–Cl, K–I, Rb–I" in f.row for f in ratio)
    steps = {f.row for f in found if f.rule == "family steps"}
    assert steps == {f"family {n}" for n in ("Cs–Cl", "K–Cl", "K–I", "Rb–I")}


def test_the_gap_bracket_raises_no_false_alarm(table: AlloyTable) -> None:
    assert not [f for f in findings_of(table, residuals=False) if f.rule == "Vegard bracket"]


def test_pure_compounds_predict_mixed_ones_as_well_as_vegard(table: AlloyTable) -> None:
    pure = np.array([len(c["B"]) == 1 for c in table.compositions])
    fractions = table.fractions
    name = "figure_of_merit"
    model = AlloyModel(
        table.species, tuple(f[pure] for f in fractions), {name: table.targets[name][pure]},
        members=("vegard-process",),
    ).fit()  # fmt: skip
    asked = tuple(f[~pure] for f in fractions)
    truth = table.targets[name][~pure]
    value, _ = model.predict_target(name, asked)
    error, vegard = (np.sqrt(np.mean((v - truth) ** 2)) for v in (value, model.vegard(asked)[:, 0]))
    assert error <= 1.02 * vegard
    assert vegard == pytest.approx(0.242, abs=0.01)  # the Vegard column of the specification


def test_a_held_out_fold_is_predicted_better_than_by_vegard_with_honest_bars(
    table: AlloyTable,
) -> None:
    name = "equilibrium_fermi_level"
    held = np.random.default_rng(0).permutation(len(table)) % 5 == 0
    fractions = table.fractions
    model = AlloyModel(
        table.species, tuple(f[~held] for f in fractions), {name: table.targets[name][~held]},
        members=("vegard-process",),
    ).fit()  # fmt: skip
    value, sigma = model.predict_target(name, tuple(f[held] for f in fractions))
    error = value - table.targets[name][held]
    assert np.sqrt(np.mean(error**2)) < 0.326  # Vegard on the mixed rows
    # 46 rows: the standard error of a standard deviation is 1/√92 = 0.10 for normal errors
    assert 0.6 < np.std(error / sigma) < 1.6
