"""Settings of the verbs of `scattering`: names, units, bounds and one sentence each."""

from __future__ import annotations
