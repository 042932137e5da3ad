"""The next edge: what a further stream is worth on left-out parents, for its cost."""

from __future__ import annotations

import numpy as np
import pytest

import matterscope.spectra as spectra
from matterscope.core.calls import Call
from matterscope.core.errors import ConfigError
from matterscope.core.estimates import Estimate
from matterscope.core.settings import validate
from matterscope.spectra.fusion.planning import (
    Known,
    _plan,
    read_costs,
    score_streams,
    stream_named,
)
from matterscope.spectra.fusion.streams import blocks_of
from matterscope.spectra.sets.assembly import STREAMS
from matterscope.spectra.settings import PlanSettings

PARENTS, EACH = 24, 4


def planted(seed: int = 0) -> Known:
    """Ni K knows the first half of the target, O K the other; nothing else knows anything."""
    rng = np.random.default_rng(seed)
    count = PARENTS * EACH
    halves = rng.normal(size=(2, count))
    scores = {b: rng.normal(size=(count, 4)) for s in STREAMS for b in blocks_of(s)}
    scores["Ni_K"][:, 0], scores["O_K"][:, 0] = halves
    truth = 0.5 + 0.1 * halves.sum(axis=0) + 0.01 * rng.normal(size=count)
    return Known(scores, truth, np.repeat(np.arange(PARENTS), EACH))


def plan(known: Known, **config: object) -> Estimate:
    settings = validate(PlanSettings, config, "spectra plan")
    return _plan(Estimate("spectra plan"), known, settings, Call(seed=0))


def test_the_edge_that_knows_the_rest_is_planned() -> None:
    answer = plan(planted(), have=("Ni:K",))
    table = answer.tables["candidates"].set_index("edge")
    assert answer["next_edge"].value == "O:K"
    assert "Ni:K" not in table.index
    assert answer["interval_ratio"].interval(0.9).high < 0.6
    # edges that know nothing shrink nothing
    assert table.loc["Co:K", "interval_ratio"] > 0.9
    assert answer.pictures


def test_a_dear_edge_must_be_worth_it() -> None:
    dear = plan(planted(), costs=("Ni:K=50", "O:K=1"))
    assert dear["next_edge"].value == "O:K"
    assert plan(planted(), costs=("Ni:K=1", "O:K=50"))["next_edge"].value == "Ni:K"


def test_shuffled_labels_show_no_gain() -> None:
    known = planted()
    mixed = Known(known.scores, np.random.default_rng(9).permutation(known.truth), known.groups)
    assert plan(mixed, have=("Ni:K",))["interval_ratio"].value > 0.9


def test_intervals_cover_left_out_parents() -> None:
    found = score_streams(planted(3), ("Ni_K",))
    # binomial error of 96 structures
    assert abs(np.mean(found.error <= found.half) - 0.9) < 3 * np.sqrt(0.09 / 96)


def test_the_shipped_set_can_be_asked() -> None:
    have = ("O:K", "Ni:K", "Mn:K", "Co:K", "Ni:L3", "Mn:L3")
    answer = spectra.plan(have=have)
    assert answer["next_edge"].value == "Co:L23"
    assert answer.diagnostics["parents"] > 100
    # all other edges are at hand: one L2,3 edge more can do little
    assert answer["interval_ratio"].value > 0.85


def test_edges_and_costs_that_are_none_are_named() -> None:
    assert stream_named("Ni:L3") == "Ni_L23" == stream_named("Ni:L23")
    with pytest.raises(ConfigError, match="none of the edges"):
        stream_named("Fe:K")
    with pytest.raises(ConfigError, match="EDGE=NUMBER"):
        read_costs(("Ni:K=much",))
    with pytest.raises(ConfigError, match="positive"):
        read_costs(("Ni:K=0",))
    with pytest.raises(ConfigError, match="measured already"):
        plan(planted(), have=tuple(s.replace("_", ":") for s in STREAMS))
