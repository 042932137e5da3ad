"""Students of alloy models: where every site is mixed and tables would be too large."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest

from matterscope.core.calls import Call
from matterscope.materials.alloys import students
from matterscope.materials.alloys.compositions import SITES
from matterscope.materials.alloys.models import AlloyModel
from matterscope.materials.alloys.spaces import Space, make_space
from matterscope.materials.screens.screening import make_plan
from matterscope.materials.screens.streaming import Plan, evaluate
from matterscope.materials.screens.suggestion import lookup
from matterscope.materials.settings import ScreenSettings
from support.alloys import SPECIES, law


@lru_cache(maxsize=1)
def mixed_model() -> AlloyModel:
    """Return a model of a table that mixes A, B and X."""
    space = make_space(SPECIES, {"A": 4, "B": 4, "X": 4})
    ends = [space.rank({s: 4 * np.eye(2, dtype=int)[[i >> k & 1]] for s, k in zip(SITES, (2, 1, 0), strict=True)})[0] for i in range(8)]  # fmt: skip
    index = np.unique([*ends, *np.random.default_rng(0).integers(0, space.size, 50)])
    counts = space.unrank(index)
    a, b, x = (counts[s] / 4 for s in SITES)
    targets = {
        "band_gap": law(a, b, x, 0.8) + 0.3 * a[:, 0] * x[:, 0],
        "decomposition_energy": 0.3 * a[:, 1] - 0.2 * x[:, 1] + 0.05 * b[:, 0] ** 2,
    }
    return AlloyModel(SPECIES, (a, b, x), targets, members=("vegard-process",)).fit()


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    folder = tmp_path_factory.mktemp("student")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(students, "LARGEST_TABLE", 100)
        patch.setattr(students, "LESSONS", 2500)
        given = ScreenSettings(
            **SPECIES, steps=("A=16", "B=16", "X=16"), rule=("gap in 1.4:2.0",), keep="none"
        )  # type: ignore[arg-type]
        made, notes = make_plan(mixed_model(), space(), given, Call(artifacts=folder))
    assert any(code == "answered-by-a-student" for code, _, _ in notes)
    return made


def space() -> Space:
    return make_space(SPECIES, {"A": 16, "B": 16, "X": 16})


def test_a_student_answers_like_its_model_within_the_error_it_states(plan: Plan) -> None:
    assert plan.student is not None
    index = np.random.default_rng(9).integers(0, plan.space.size, 400)
    fractions = students.fractions_of(mixed_model(), plan.space, index)
    values, sigmas = evaluate(plan, 0, plan.pairs)
    for t, name in enumerate(plan.names):
        truth, sigma = mixed_model().predict_target(name, fractions)
        error = np.sqrt(np.mean((values[t].ravel()[index] - truth) ** 2))
        # 400 compounds: the root mean square is known to 1/√800
        assert error < 1.2 * float(plan.student.error[t])
        assert error < 0.05 * float(np.std(mixed_model().targets[name]))
        assert (sigmas[t].ravel()[index] >= 0.7 * sigma).mean() > 0.95


def test_end_members_keep_the_answer_of_the_model(plan: Plan) -> None:
    ends = tuple(np.eye(2)[[i >> k & 1 for i in range(8)]] for k in (2, 1, 0))
    counts = {s: (16 * e).astype(int) for s, e in zip(SITES, ends, strict=True)}
    values, _ = evaluate(plan, 0, plan.pairs)
    for t, name in enumerate(plan.names):
        truth, _ = mixed_model().predict_target(name, ends)
        found = values[t].ravel()[plan.space.rank(counts)]
        assert found == pytest.approx(truth, abs=1e-5)  # single precision


def test_a_student_gives_the_same_answers_in_any_chunk(plan: Plan) -> None:
    whole, _ = evaluate(plan, 0, plan.pairs)
    part, _ = evaluate(plan, 40, 90)
    assert part == pytest.approx(whole[:, 40:90], abs=1e-6)


def test_the_evolution_asks_the_same_student(plan: Plan) -> None:
    index = np.arange(5, plan.space.size, 97)
    counts = {s: c.astype(np.int64) for s, c in plan.space.unrank(index).items()}
    found, _ = lookup(plan, counts)
    whole, _ = evaluate(plan, 0, plan.pairs)
    assert pytest.approx(whole.reshape(len(plan.names), -1)[:, index], abs=1e-5) == found.T


def test_small_tables_need_no_student(tmp_path: Path) -> None:
    given = ScreenSettings(**SPECIES, steps=("A=4", "B=4", "X=4"), keep="none")  # type: ignore[arg-type]
    made, _ = make_plan(mixed_model(), make_space(SPECIES, {"A": 4, "B": 4, "X": 4}), given, Call(artifacts=tmp_path))  # fmt: skip
    assert made.student is None
