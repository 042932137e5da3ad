"""Settings of the verbs of `spectra`: names, units, bounds and one sentence each."""

from __future__ import annotations
