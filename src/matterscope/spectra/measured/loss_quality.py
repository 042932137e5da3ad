"""Quality of an energy-loss spectrum: which edges it shows, and whether its axis can be trusted.

In: a spectrum or spectrum image over energy loss. Out: a verdict PASS, WARN or FAIL with coded findings.
"""

from __future__ import annotations

import xarray as xr

from matterscope.core.calls import Call
from matterscope.core.estimates import Estimate, InputRef
from matterscope.spectra.loss.loss_reduction import reduce_energy_loss
from matterscope.spectra.settings import ReduceSettings

SEVERE = {"no_edge", "length"}
"""Findings that leave nothing to answer with, or a file that lacks a part of itself."""
NOTES = {"columns", "beam_units", "lithium_hidden", "no_composition", "axis_order", "hydrogenic"}
"""Findings that are told and do not spoil the verdict."""


def assess_loss(dataset: xr.Dataset) -> Estimate:
    """Return the verdict on an energy-loss spectrum.

    Parameters
    ----------
    dataset : Dataset
        Kind "spectrum", (…, energy).
    """
    source = dataset.attrs.get("source") or {}
    ref = InputRef(str(source.get("uri", "")), str(source.get("selector", "")))
    estimate, _ = reduce_energy_loss(dataset, ref, ReduceSettings(), Call())
    estimate.capability = "spectra quality"
    codes = {flag.code for flag in estimate.flags}
    verdict = "FAIL" if codes & SEVERE else "WARN" if codes - NOTES else "PASS"
    estimate.diagnostics["verdict"] = verdict
    estimate.diagnostics["label"] = str(dataset.attrs.get("label") or "")
    return estimate
