"""Proof: whether a structure that explains the counts is the only one that could.

In: a fit with its counts. Out: the power of the tests behind the answer, and the verdict: proved, likely
or failed. A test that would have passed a wrong structure as well proves nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr

from matterscope.scattering.further import Addition
from matterscope.scattering.inversion import CLEAR, PROVED, Inversion
from matterscope.scattering.refinement import Counts, uncertainties

ENOUGH = 0.95
"""Least power of each test behind a proof."""
CERTAIN = 0.98
"""Least probability of the number itself: what another number, tried or too small to be seen, leaves to it."""


@dataclass(frozen=True)
class Power:
    """Chances that an error would have been noticed.

    Parameters
    ----------
    structure : float
        That the deviance rises above its limit when one mean disk is taken away: below, it cannot tell a
        wrong structure from a right one.
    smallest : float
        That the smallest disk found stands out of the noise (N against N − 1).
    further : float
        Probability that no further disk, too small to be seen, is there (N against N + 1).
    visible : float
        Smallest area of a disk that the pattern could show, as a share of the mean area.
    """

    structure: float = 0.0
    smallest: float = 0.0
    further: float = 0.0
    visible: float = 1.0

    @property
    def enough(self) -> bool:
        """Whether all of them are high."""
        return min(self.structure, self.smallest) >= ENOUGH and self.further >= CERTAIN

    @property
    def weakest(self) -> str:
        """Say what the tests could not have told."""
        reasons = {
            "one disk of mean size more or less would hardly change the goodness of fit": self.structure
            / ENOUGH,
            "the smallest disk found hardly stands out of the photon noise": self.smallest / ENOUGH,
            f"a disk below {self.visible:.0%} of the mean area could hide": self.further / CERTAIN,
        }
        return min(reasons, key=lambda k: reasons[k])


def power_of(inversion: Inversion, counts: Counts) -> Power:
    """Return the power of the tests under the best structure.

    A disk of weight w raises the deviance by (w/σ)² on average, σ its Fisher error; the deviance scatters
    by its spread and is refused above `PROVED` of these, a single disk is believed above `CLEAR` σ.
    """
    fit = inversion.best
    one = Addition(fit, counts)
    visible = float(one.area_at(CLEAR))
    mean_rise = one.expected(1.0) / fit.spread
    if fit.freedom.radii:
        # dA/A = 2 dr/r
        certainty = float((0.5 * fit.structure.radius / uncertainties(fit)["radius"]).min())
    else:
        certainty = float(np.sqrt(one.expected(1.0)))
    return Power(
        structure=float(ndtr(mean_rise - PROVED)),
        smallest=float(ndtr(certainty - CLEAR)),
        further=float(1.0 / (1.0 + inversion.unseen)),
        visible=visible,
    )


def verdict(inversion: Inversion | None, power: Power) -> str:
    """Return ``proved``, ``likely`` (explained, but so could be another number) or ``failed``."""
    if inversion is None or not inversion.explained:
        return "failed"
    # the posterior of a fit that other numbers rival is no proof either
    best = inversion.best.score
    odds = [float(np.exp(-0.5 * (f.score - best))) for f in inversion.fits.values()]
    chance = 1.0 / (sum(odds) + inversion.unseen)
    return "proved" if power.enough and chance >= CERTAIN else "likely"
