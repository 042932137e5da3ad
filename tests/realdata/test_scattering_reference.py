"""The published reference values: first moments of 190 patterns and 19 polydispersity indices."""

import numpy as np
import pytest

from matterscope.core.random import generator
from matterscope.scattering.disks import Recipe, draw_radii, place
from matterscope.scattering.observables import first_moment
from matterscope.scattering.speckle import Beamline, intensity, published_grid

MOMENTS = "speckle/PostAnalysis__AvgDiskSize_ScatteringPattern__Y_fristMoment_raw.csv"


@pytest.mark.realdata
def test_first_moments_agree_with_the_published_ones(data):
    reference = np.loadtxt(data / MOMENTS).reshape(19, 10)
    line = Beamline(published_grid(513))
    total, numbers = 0.0, (2, 5, 10, 15, 20)
    for n in numbers:
        patterns = (
            intensity(place(n, Recipe(), generator(7, "moments", 100 * n + k)), line, 2000.0)
            for k in range(12)
        )
        mine = np.array([first_moment(p, (256, 256)) for p in patterns])
        error2 = reference[n - 2].var(ddof=1) / 10 + mine.var(ddof=1) / 12
        total += (mine.mean() - reference[n - 2].mean()) ** 2 / error2
    # 99.9 % of χ² with five degrees of freedom (means of 10 and 12 have slightly heavier tails)
    assert total < 20.5


@pytest.mark.realdata
def test_published_polydispersity_is_that_of_the_law(data):
    reference = np.loadtxt(data / "speckle/XrayPatternGeneration__PDI.csv", delimiter=",")
    rng = np.random.default_rng(0)
    for n, published in reference:
        areas = np.array([draw_radii(int(n), Recipe(law="normal"), rng) ** 2 for _ in range(2000)])
        index = n * (areas**2).sum(axis=1) / areas.sum(axis=1) ** 2
        assert 0.002 < (index < published).mean() < 0.998
