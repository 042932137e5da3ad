"""From counts of named edges to atomic fractions, with hydrogenic cross-sections.

In: the edge table of an energy-loss estimate. Out: the table ``composition``, or a flag that says what is missing.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr

from matterscope.core.estimates import Estimate
from matterscope.spectra.loss.cross_sections import SYSTEMATIC, composition, partial_cross_section
from matterscope.spectra.settings import ReduceSettings


def add_composition(estimate: Estimate, spectrum: xr.Dataset, settings: ReduceSettings) -> None:
    """Add atomic fractions of the named edges to an estimate, or say what they lack.

    Parameters
    ----------
    estimate : Estimate
        With the table ``edges`` (counts above the background in `settings.signal_width`).
    spectrum : Dataset
        For the beam energy that the file states.
    settings : ReduceSettings
        Angles, energies and windows.
    """
    table = estimate.tables["edges"]
    beam = settings.beam_energy or float(spectrum.attrs.get("beam_energy_kev", 0.0))
    angle = settings.collection_angle
    good = table[(table["counts"] > 3 * table["counts_sigma"]) & table["counts_sigma"].notna()]
    known = good["edge"].str.split().str[1].isin(list(SYSTEMATIC))
    if angle and beam and not known.all():
        estimate.flag(
            "no_cross_section",
            f"{', '.join(good['edge'][~known])}: the hydrogenic atom has K and L shells only; the fractions leave it out",
            "measure a standard of known composition",
        )
    good = good[known]
    if not angle or not beam or len(good) < 2:
        if len(good) > 1:
            estimate.flag(
                "no_composition",
                "a composition needs the collection angle, and files rarely record the true one",
                "--collection-angle MRAD",
            )
        return
    elements, shells = zip(*(label.split() for label in good["edge"]), strict=True)
    sections = np.array(
        [
            partial_cross_section(
                e, s, beam_energy_kev=beam, collection_mrad=angle, window=settings.signal_width
            )
            for e, s in zip(elements, shells, strict=True)
        ]
    )
    systematic = np.array([SYSTEMATIC[s] for s in shells])
    variance = good["counts_sigma"].to_numpy(float) ** 2
    found = composition(tuple(elements), good["counts"].to_numpy(float), variance, sections, systematic)  # fmt: skip
    estimate.tables["composition"] = pd.DataFrame(
        {
            "element": elements,
            "fraction": found.fractions,
            "fraction_sigma": found.sigma,
            "cross_section_barn": sections,
        }
    )
    estimate.flag(
        "hydrogenic",
        "the fractions rest on hydrogenic cross-sections: 10 % (K) and 20 % (L, without white lines) systematic error are included",
        "measure a standard of known composition for better",
    )
