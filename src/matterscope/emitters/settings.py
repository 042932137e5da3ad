"""Settings of the verbs of `emitters`: names, units, bounds and one sentence each."""

from __future__ import annotations
