"""Numbers of compounds: rank and unrank are each other's inverse for any grid."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from matterscope.materials.alloys.spaces import SiteGrid, Space, number_of_compositions

NAMES = ("Ca", "Sr", "Ba", "Ge", "Sn", "Pb", "Mg")


@st.composite
def grids(draw: st.DrawFn) -> SiteGrid:
    kinds = draw(st.integers(1, 7))
    steps = draw(st.integers(1, 16))
    limit = draw(st.one_of(st.none(), st.integers(1, kinds)))
    return SiteGrid(NAMES[:kinds], steps, limit if steps <= 8 else None)


@settings(max_examples=40, derandomize=True, deadline=None)
@given(grids(), st.integers(0, 2**32))
def test_unranking_then_ranking_is_the_identity(grid: SiteGrid, seed: int) -> None:
    index = np.random.default_rng(seed).integers(0, grid.size, 50)
    counts = grid.unrank(index)
    assert (counts.sum(1) == grid.steps).all()
    assert (grid.rank(counts) == index).all()


@settings(max_examples=30, derandomize=True, deadline=None)
@given(st.integers(1, 6), st.integers(1, 9))
def test_every_composition_occurs_exactly_once(kinds: int, steps: int) -> None:
    grid = SiteGrid(NAMES[:kinds], steps)
    counts = grid.unrank(np.arange(grid.size))
    assert len(np.unique(counts, axis=0)) == grid.size == number_of_compositions(steps, kinds)


@settings(max_examples=20, derandomize=True, deadline=None)
@given(st.integers(0, 2**32), grids(), grids())
def test_compounds_of_a_product_space_keep_their_number(
    seed: int, one: SiteGrid, two: SiteGrid
) -> None:
    space = Space((one, two, SiteGrid(("Cl", "Br", "I"), 8)))
    index = np.random.default_rng(seed).integers(0, space.size, 30)
    assert (space.rank(space.unrank(index)) == index).all()
