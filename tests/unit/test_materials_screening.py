"""Screens: rules, joint probability, funnel, chunks that do not depend on their order."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import multivariate_normal

from matterscope.core.calls import Call
from matterscope.core.errors import ConfigError
from matterscope.materials.alloys.compositions import SITES
from matterscope.materials.alloys.enumeration import space_of
from matterscope.materials.alloys.persistence import load_model, save_model
from matterscope.materials.alloys.spaces import make_space
from matterscope.materials.screens.evolution import evolve, project
from matterscope.materials.screens.frontiers import diverse, pareto_front
from matterscope.materials.screens.rules import Rule, joint_draws, joint_probability, parse_rules
from matterscope.materials.screens.screening import make_plan, padded, query, screen_space
from matterscope.materials.screens.streaming import chunk_unit, evaluate
from matterscope.materials.screens.suggestion import lookup, suggest_compounds
from matterscope.materials.settings import ScreenSettings, SuggestSettings
from support.alloys import SPECIES, model

NAMES = ["band_gap_pbe", "band_gap_hse", "decomposition_energy_hse", "figure_of_merit"]
SEARCH = {"A": SPECIES["A"], "B": SPECIES["B"], "X": SPECIES["X"], "steps": ("A=4", "B=4", "X=4")}


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "alloys.npz"
    save_model(model(0.8), path, "a law", "0")
    return path


def settings(stored: Path, **more: object) -> ScreenSettings:
    return ScreenSettings(
        model=str(stored), **(SEARCH | {"rule": ("gap in 1.4:2.0",), "keep": "all"} | more)
    )  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "name", "low", "high"),
    [
        ("decomposition<0", "decomposition_energy_hse", -np.inf, 0.0),
        ("gap in 1.0:1.8", "band_gap_hse", 1.0, 1.8),
        ("0.9 < band_gap_pbe < 1.8", "band_gap_pbe", 0.9, 1.8),
        ("figure_of_merit > 4", "figure_of_merit", 4.0, np.inf),
        ("gap-pbe-narrow", "band_gap_pbe", 0.9, 1.8),
    ],
)
def test_rules_are_read_from_words(text: str, name: str, low: float, high: float) -> None:
    (rule,), _ = parse_rules([text], NAMES)
    assert (rule.name, rule.low, rule.high) == (name, low, high)


def test_a_rule_that_cannot_be_read_is_refused_with_an_example() -> None:
    with pytest.raises(ConfigError, match="NAME in LOW:HIGH"):
        parse_rules(["gap about 2"], NAMES)


def test_the_joint_probability_knows_the_correlation_of_the_errors() -> None:
    correlation = np.array([[1.0, 0.8], [0.8, 1.0]])
    rules = [Rule("", "a", 0.0, np.inf), Rule("", "b", 0.0, np.inf)]
    values, sigmas = np.array([[0.5, 0.3]]), np.array([[1.0, 1.0]])
    each, every = joint_probability(rules, values, sigmas, joint_draws(correlation), 0.01)
    exact = multivariate_normal(cov=correlation).cdf([0.5, 0.3])
    # 256 scrambled Sobol points: the error of a probability stays below 0.01
    assert every[0] == pytest.approx(exact, abs=0.01)
    assert every[0] > each[0].prod() + 0.05


def test_the_joint_probability_is_never_above_that_of_a_single_rule() -> None:
    rules = [Rule("", "a", -1.0, 0.5), Rule("", "b", 0.0, np.inf)]
    rng = np.random.default_rng(0)
    values, sigmas = rng.normal(size=(500, 2)), rng.uniform(0.1, 1, (500, 2))
    each, every = joint_probability(rules, values, sigmas, joint_draws(np.eye(2)), 0.001)
    assert (every <= each.min(1) + 0.01).all()


def test_the_pareto_front_is_the_one_of_its_definition() -> None:
    values = np.random.default_rng(1).normal(size=(300, 3))
    slow = [
        i for i in range(300)
        if not ((values >= values[i]).all(1) & (values > values[i]).any(1)).any()
    ]  # fmt: skip
    assert pareto_front(values).tolist() == slow


def test_no_two_of_a_diverse_list_are_close() -> None:
    rng = np.random.default_rng(2)
    fractions = rng.dirichlet(np.ones(4), 200)
    chosen = diverse(rng.normal(size=200), fractions, 20, 0.2)
    apart = np.abs(fractions[chosen][:, None] - fractions[chosen][None]).sum(2) / 2
    assert (apart[~np.eye(len(chosen), dtype=bool)] >= 0.2 - 1e-9).all()


def test_a_stored_model_gives_the_same_numbers(stored: Path) -> None:
    asked = tuple(np.eye(2)[[0, 1]] for _ in SITES)
    before, after = model(0.8).predict(asked), load_model(stored).predict(asked)
    assert (before[0] == after[0]).all()
    assert (before[1] == after[1]).all()


def test_equal_models_are_stored_as_equal_bytes(tmp_path: Path) -> None:
    shas = {save_model(model(0.8), tmp_path / f"{i}.npz", "a law", "0")["sha256"] for i in (1, 2)}
    assert len(shas) == 1


def test_a_chunk_holds_what_the_model_predicts(stored: Path, tmp_path: Path) -> None:
    given = settings(stored)
    plan, _ = make_plan(model(0.8), space_of(given), given, Call(artifacts=tmp_path))
    values, sigmas = evaluate(plan, 0, plan.pairs)
    index = np.arange(0, plan.space.size, 13)
    counts = plan.space.unrank(index)
    value, sigma = model(0.8).predict(padded(model(0.8), plan.space, counts))
    # tables are single precision: 24 bits of numbers below 4
    assert pytest.approx(value, abs=2e-6) == values.reshape(2, -1)[:, index].T
    assert pytest.approx(sigma, rel=1e-4, abs=1e-6) == sigmas.reshape(2, -1)[:, index].T
    found = lookup(plan, {s: c.astype(np.int64) for s, c in counts.items()})
    assert found[0] == pytest.approx(value, abs=2e-6)
    assert found[1] == pytest.approx(sigma, rel=1e-4, abs=1e-6)


def test_chunks_in_any_order_write_the_same_bytes(
    stored: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("matterscope.materials.screens.streaming.ROWS_PER_CHUNK", 25)
    given = settings(stored)
    digests = []
    for run, order in (("one", 1), ("two", -1)):
        plan, _ = make_plan(model(0.8), space_of(given), given, Call(artifacts=tmp_path / run))
        chunks = plan.chunks()
        assert len(chunks) > 3
        for i in list(range(len(chunks)))[::order]:
            chunk_unit({"plan": plan, "number": i, "range": chunks[i]}, np.random.default_rng(i))
        files = sorted((tmp_path / run / "screen").glob("*.parquet"))
        digests.append([hashlib.sha256(f.read_bytes()).hexdigest() for f in files])
    assert digests[0] == digests[1]


def test_chunk_sizes_change_no_answer(
    stored: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = []
    for size in (40, 10_000):
        monkeypatch.setattr("matterscope.materials.screens.streaming.ROWS_PER_CHUNK", size)
        (answer,) = screen_space([], settings(stored), Call(artifacts=tmp_path / str(size)))
        answers.append(answer)
    for name in ("best", "pareto_front", "species"):
        pd.testing.assert_frame_equal(
            answers[0].tables[name].reset_index(drop=True)
            if name in answers[0].tables else pd.DataFrame(),
            answers[1].tables[name].reset_index(drop=True)
            if name in answers[1].tables else pd.DataFrame(),
        )  # fmt: skip
    assert answers[0]["compounds_passing_by_value"].value == answers[1]["compounds_passing_by_value"].value  # fmt: skip


def test_every_row_of_the_search_can_be_queried(stored: Path, tmp_path: Path) -> None:
    (answer,) = screen_space([], settings(stored), Call(artifacts=tmp_path))
    frame = query(
        tmp_path / "screen", "SELECT count(*) AS n, count(DISTINCT number) AS d FROM screen"
    )
    assert frame.loc[0, "n"] == frame.loc[0, "d"] == answer["number_of_compounds"].value


def test_the_expected_count_is_the_sum_of_the_probabilities(stored: Path, tmp_path: Path) -> None:
    (answer,) = screen_space([], settings(stored), Call(artifacts=tmp_path))
    frame = query(tmp_path / "screen", "SELECT sum(probability) AS p FROM screen")
    assert answer["compounds_expected_to_pass"].value == pytest.approx(frame.loc[0, "p"], rel=1e-5)


def test_a_screen_that_nothing_passes_names_the_rule_and_the_nearest_misses(
    stored: Path, tmp_path: Path
) -> None:
    given = settings(stored, rule=("gap in 5:6", "decomposition<9"))
    (answer,) = screen_space([], given, Call(artifacts=tmp_path))
    assert answer.flagged("nothing-passes")
    assert any("gap in 5:6" in f.message for f in answer.flags)
    assert len(answer.tables["nearest_misses"])


def test_a_search_beyond_a_milliard_is_refused_without_a_word(stored: Path, tmp_path: Path) -> None:
    given = settings(stored, steps=("A=250", "B=250", "X=250"), keep="none")
    space = make_space(SPECIES, {"A": 250, "B": 250, "X": 250})
    assert space.size < 10**9
    given = settings(stored, keep="none")
    plan, _ = make_plan(model(0.8), space_of(given), given, Call(artifacts=tmp_path))
    from matterscope.materials.screens import screening

    monkey = pytest.MonkeyPatch()
    monkey.setattr(screening, "LARGEST_SPACE", 10)
    with pytest.raises(ConfigError, match="--yes"):
        screening._check_size(plan, given)
    monkey.undo()


def test_a_species_that_the_model_never_saw_is_refused(stored: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="never seen Ge on site B"):
        screen_space([], settings(stored, B=("Sn", "Ge")), Call(artifacts=tmp_path))


def test_without_model_and_table_the_screen_says_that_none_is_shipped(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no model of alloys is shipped"):
        screen_space([], ScreenSettings(), Call(artifacts=tmp_path))


@pytest.mark.parametrize("method", ["nsga2", "genetic", "batch"])
def test_suggestions_are_new_compounds_with_formulas_that_parse_back(
    stored: Path, tmp_path: Path, method: str
) -> None:
    given = SuggestSettings(
        model=str(stored), method=method, count=4, population=30, generations=8, diversity=0.1,
        objective=("max gap", "min decomposition"), **SEARCH,
    )  # fmt: skip
    (answer,) = suggest_compounds([], given, Call(artifacts=tmp_path))
    from matterscope.materials.alloys.compositions import parse_formula, write_formula

    frame = answer.tables["suggestions"]
    assert 1 <= len(frame) <= 4
    for formula in frame["formula"]:
        assert write_formula(parse_formula(formula)) == formula
        assert any(formula.startswith(a) for a in SPECIES["A"])
        assert not formula.endswith(")")


def test_evolution_finds_the_optimum_of_a_known_function() -> None:
    space = make_space(SPECIES, {"A": 8, "B": 8, "X": 8})
    wanted = {"A": [3, 5], "B": [7, 1], "X": [2, 6]}

    def score(counts: dict[str, np.ndarray]) -> np.ndarray:
        return -sum(np.abs(counts[s] - wanted[s]).sum(1) for s in SITES)[:, None].astype(float)

    found = evolve(score, space, np.random.default_rng(0), 60, 40)
    best = int(found.objectives[:, 0].argmax())
    assert {s: found.counts[s][best].tolist() for s in SITES} == wanted


def test_projection_keeps_the_sum() -> None:
    shares = np.random.default_rng(3).random((200, 5))
    assert (project(shares, 8).sum(1) == 8).all()


def test_rules_that_no_compound_meets_are_said_not_to_be_met(stored: Path, tmp_path: Path) -> None:
    given = SuggestSettings(
        model=str(stored), **(SEARCH | {"rule": ("gap<0.1",), "objective": ("max gap",), "population": 20, "generations": 3, "count": 3})
    )  # type: ignore[arg-type]  # fmt: skip
    (answer,) = suggest_compounds([], given, Call(artifacts=tmp_path))
    (found,) = [f for f in answer.flags if f.code == "rules-not-met"]
    assert "gap<0.1" in found.message
