"""Cut an energy-loss spectrum into its edges, each on the repaired axis above its own background.

In: a core-loss spectrum or spectrum image with any number of edges. Out: one single-edge spectrum for each
that was named, as a beamline would have measured it, and the ratios of the metals that the intensities give.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from matterscope.core.calls import Call
from matterscope.core.errors import ConfigError, DataError
from matterscope.core.estimates import Estimate, InputRef
from matterscope.core.schema import measurement
from matterscope.spectra.loss.cross_sections import SYSTEMATIC, partial_cross_section
from matterscope.spectra.loss.energy_loss import fit_power_law
from matterscope.spectra.loss.loss_reduction import reduce_energy_loss
from matterscope.spectra.settings import ReduceSettings

Array = NDArray[np.float64]

BEFORE, AFTER = 18.0, 70.0
"""eV around the onset that are kept, up to the next edge."""
SURE = 0.5
"""Least probability of a name for its edge to be cut out."""
ANGLES = (5.0, 100.0)
"""mrad; where the collection angle is not known, cross-sections are averaged between these."""
USUAL_BEAM = 200.0
"""keV, where the file states none: ratios of neighbouring L edges hardly move from 80 to 300 keV."""


def cut_edges(spectrum: xr.Dataset, ref: InputRef, call: Call) -> tuple[Estimate, list[xr.Dataset]]:
    """Return the reduction of an energy-loss spectrum and its edges as spectra of their own.

    Parameters
    ----------
    spectrum : Dataset
        Kind "spectrum", (…, energy); pixels are summed.
    ref : InputRef
        What it is.
    call : Call
        Levels of the intervals.

    Returns
    -------
    (Estimate, list of Dataset)
        The edges carry `element`, `edge`, the flags of the reduction as warnings (the first one only) and
        `metal_ratios`, texts such as "Mn/Ni=0.33:0.09".
    """
    estimate, state = reduce_energy_loss(spectrum, ref, ReduceSettings(), call)
    table = estimate.tables.get("edges")
    if table is None:
        return estimate, []
    sure = table[table["probability"] >= SURE].reset_index(drop=True)
    notes = [{"code": f.code, "message": f.message, "remedy": f.remedy} for f in estimate.flags]
    ratios = metal_ratios(sure, spectrum)
    found: list[xr.Dataset] = []
    for row in range(len(sure)):
        energy, counts = _above_background(state.energy, state.counts, sure, row)
        if energy.size < 20:
            continue
        element, edge = str(sure["edge"][row]).split()
        found.append(
            measurement(
                "spectrum",
                {"energy": (energy, "eV")},
                {"mu": (("energy",), counts, "counts")},
                label=f"{spectrum.attrs.get('label') or 'EELS'}, {element} {edge}",
                source=dict(spectrum.attrs.get("source") or {}),
                element=element,
                edge=edge,
                edge_probability=float(sure["probability"][row]),
                onset=float(sure["onset"][row]),
                signal="ELS",
                cut_from=f"{ref.source}:{ref.selector}",
                metal_ratios=ratios,
                warnings=[] if found else notes,
            )
        )
    return estimate, found


def _above_background(
    energy: Array, counts: Array, table: pd.DataFrame, row: int
) -> tuple[Array, Array]:
    """Return one edge above the power law before it, from `BEFORE` its onset to the next edge."""
    onset = float(table["onset"][row])
    last = float(table["onset"][row - 1]) + 25.0 if row else -np.inf
    low = max(onset - 50.0, last, float(energy[0]))
    if onset - 4.0 - low < 8.0:
        return energy[:0], counts[:0]
    background = fit_power_law(energy, counts, (low, onset - 4.0))
    above = counts - background(np.maximum(energy, 1.0))
    end = float(table["onset"][row + 1]) - 5.0 if row + 1 < len(table) else np.inf
    kept = (energy >= max(low, onset - BEFORE)) & (energy <= min(onset + AFTER, end))
    return energy[kept], above[kept]


def metal_ratios(table: pd.DataFrame, spectrum: xr.Dataset) -> list[str]:
    """Return ratios of 3d metals from the counts of their L2,3 edges, as "ABOVE/BELOW=RATIO:ERROR".

    N_a/N_b = (I_a/I_b)(σ_b/σ_a) (Egerton, eq. 4.66) with hydrogenic cross-sections in 40 eV. The error holds
    counting, 20 % for each cross-section (white lines are not in a hydrogenic atom) and what the collection
    angle could change, which files rarely record truly.
    """
    metals = table[
        table["edge"].str.endswith(" L3") & (table["counts"] > 3 * table["counts_sigma"])
    ]
    if len(metals) < 2:
        return []
    beam = float(spectrum.attrs.get("beam_energy_kev", 0.0)) or USUAL_BEAM
    names = [str(e).split()[0] for e in metals["edge"]]
    try:
        sections = np.array([[_section(n, beam, a) for a in ANGLES] for n in names])
    except (ConfigError, DataError):
        return []
    most = int(np.argmax(metals["counts"].to_numpy(float) / sections.mean(axis=1)))
    counts, sigma = metals["counts"].to_numpy(float), metals["counts_sigma"].to_numpy(float)
    texts = []
    for k, name in enumerate(names):
        if k == most:
            continue
        ends = counts[k] / counts[most] * sections[most] / sections[k]
        ratio = float(np.sqrt(ends[0] * ends[1]))
        angle = float(abs(np.log(ends[1] / ends[0]))) / np.sqrt(12)
        counting = np.hypot(sigma[k] / counts[k], sigma[most] / counts[most])
        error = float(np.sqrt(counting**2 + 2 * SYSTEMATIC["L3"] ** 2 + angle**2))
        texts.append(f"{name}/{names[most]}={ratio:.3f}:{error * ratio:.3f}")
    return texts


def _section(element: str, beam: float, angle: float) -> float:
    return partial_cross_section(element, "L3", beam_energy_kev=beam, collection_mrad=angle, window=40.0)  # fmt: skip
