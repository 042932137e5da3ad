"""Colours by meaning, the same in print and on the screen.

In: nothing. Out: one colour per role of a layer.
"""

from __future__ import annotations

INK = "#1f2933"
ROLES = {
    "data": "#274c77", "model": "#c8553d", "band": "#e8b4a6", "truth": "#2a9d8f", "reference": "#7b8794",
    "residual": "#52606d", "flagged": "#d97706", "muted": "#cbd2d9",
    "series0": "#274c77", "series1": "#c8553d", "series2": "#2a9d8f", "series3": "#8e5ea2", "series4": "#d99a2b",
    "series5": "#5fa8d3", "series6": "#7f5539", "series7": "#6c757d",
}  # fmt: skip
"""Meaning → colour; distinguishable with the common colour-vision deficiencies."""
