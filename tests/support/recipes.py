"""Recipes of sets that are built in seconds, and what a built folder holds."""

from __future__ import annotations

from pathlib import Path

FAST = """
[relax]
potential = "none"
[feff]
radius = 2.6
k_max = 2.0
k_step = 0.25
edge_step = 0.8
"""
LAYERED = FAST + "[sites]\nO = 1\nNi = 1\n"
PROTOTYPE = (
    """
family = "prototype"
children = 2
[prototype]
spacegroup = 225
cell = [4.2, 4.2, 4.2, 90, 90, 90]
primitive = false
atoms = [{ element = "Mg", position = [0, 0, 0] }, { element = "O", position = [0.5, 0.5, 0.5] }]
replace = [{ element = "Mg", by = "Ni", low = 0.25, high = 0.75 }]
leave = [{ element = "O", high = 0.25, share = 0.5 }]
"""
    + FAST
    + "[sites]\nNi = 1\nO = 1\n"
)
"""Rock salt, four formula units: nothing of a layered oxide in it."""


def quick(recipe: str, count: int) -> str:
    """Return a recipe with its number of structures."""
    return f"count = {count}\n{recipe}"


def contents(folder: Path) -> dict[str, bytes]:
    """Return every file of a built set by its name."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*.*"))}
