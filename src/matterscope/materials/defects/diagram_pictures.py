"""Pictures of formation energies: the diagram, neutrality against temperature, potentials in a plane.

In: energies and hulls. Out: `Picture`s as data; drawing happens in the report.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from matterscope.core.pictures import Layer, Panel, Picture, line, mark, points, span, text
from matterscope.materials.defects.formation_energies import Hull, hull_energy, sign

Array = NDArray[np.float64]
MARGIN = 0.08
"""Share of the gap shown beyond each band edge."""


def diagram_picture(
    gap: float | None,
    energies: Mapping[str, Mapping[int, float]],
    hulls: Mapping[str, Hull],
    fermi: float | None,
    *,
    title: str,
    note: str,
) -> Picture:
    """Return E_f against E_F: stable segments bold, off-hull lines dashed, band edges shaded."""
    levels = [lv.energy for h in hulls.values() for lv in h.levels]
    top = gap if gap is not None else max([*levels, 1.0]) + 0.3
    margin = MARGIN * top
    grid = np.linspace(-margin, top + margin, 241)
    layers: list[Layer] = [span(-margin, 0.0, label="valence band")]
    if gap is not None:
        layers.append(span(gap, gap + margin, label="conduction band"))
    alone = len(energies) == 1
    names = sorted(energies, key=lambda n: float(hull_energy(energies[n], [top / 2])[0][0]))
    for index, name in enumerate(names):
        role = f"series{index % 8}" if index < 8 else "muted"
        lowest, _ = hull_energy(energies[name], grid)
        if alone:
            layers += _charge_lines(energies[name], hulls[name], grid)
        shown = name if index < 8 else "other defects" if index == 8 else ""
        layers.append(line(grid, lowest, shown, role, width=2.2 if index < 8 else 1.2))
        corners = [lv for lv in hulls[name].levels if -margin <= lv.energy <= top + margin]
        if corners:
            at = [lv.energy for lv in corners]
            heights = hull_energy(energies[name], at)[0]
            layers.append(points(at, heights, "", role, size=4))
            if alone:
                layers.append(
                    text(
                        at, heights, [f" {lv.name} {lv.energy:.2f}" for lv in corners], "reference"
                    )
                )
    if fermi is not None:
        layers.append(mark(x=[fermi], label=f"neutral E_F {fermi:.2f} eV"))
    panel = Panel(
        layers,
        "Fermi level above the valence-band maximum (eV)",
        "formation energy (eV)",
        x_range=(-margin, top + margin),
    )
    caption = f"Slopes are charges; kinks are transition levels. {note}."
    if alone:
        caption += " Dashed: charges that are stable at no Fermi level in the gap."
    return Picture(
        "formation_energy", f"Formation energies: {title}", (panel,), caption, height=4.2
    )


def _charge_lines(energies: Mapping[int, float], hull: Hull, grid: Array) -> list[Layer]:
    return [
        line(
            grid,
            energies[q] + q * grid,
            f"q = {sign(q)}" + ("" if q in hull.stable else " (off hull)"),
            "muted" if q in hull.stable else "flagged",
            dash="dashed",
            width=1.0,
        )
        for q in sorted(energies, reverse=True)
    ]


def neutrality_picture(
    temperatures: Sequence[float], fermi: Sequence[float], gap: float,
    densities: Mapping[str, Sequence[float]], carriers: Mapping[str, Sequence[float]],
) -> Picture:  # fmt: skip
    """Return the neutral Fermi level and all concentrations against temperature."""
    upper = Panel(
        [mark(y=[gap], label="conduction band"), line(temperatures, fermi, "neutral Fermi level", "model")],
        "temperature (K)", "Fermi level (eV)", y_range=(0.0, gap * 1.05), height=0.8,
    )  # fmt: skip
    layers = [
        line(temperatures, values, name, role, width=2.2)
        for (name, values), role in zip(carriers.items(), ("model", "truth"), strict=False)
    ]
    ranked = sorted(densities, key=lambda n: -max(densities[n]))
    layers += [
        line(temperatures, densities[n], n, f"series{i}", dash="dashed")
        for i, n in enumerate(ranked[:6])
    ]
    values = [
        v for s in (*carriers.values(), *(densities[n] for n in ranked[:6])) for v in s if v > 0
    ]
    top = max(values) if values else 1.0
    lower = Panel(
        layers,
        "temperature (K)",
        "concentration (1/cm³)",
        y_scale="log",
        y_range=(max(min(values, default=1.0), top * 1e-12), top * 5),
    )
    return Picture(
        "neutrality",
        "Charge neutrality",
        (upper, lower),
        "Where carriers and charged defects cancel; total of all charges per defect, the six largest.",
        height=5.4,
    )
