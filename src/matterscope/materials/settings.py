"""Settings of the verbs of `materials`: names, units, bounds and one sentence each."""

from __future__ import annotations
