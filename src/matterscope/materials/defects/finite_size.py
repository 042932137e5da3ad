"""`materials correct`: the finite-size correction of a charged cell from plain numbers, tables or grids.

In: nothing but charge, ε and length (point charge); a CSV of planar averages; or two potential grids
(LOCPOT of the perfect and of the defect cell). Out: one estimate with its parts and the plateau's picture.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from matterscope.core.calls import Call, Input
from matterscope.core.errors import ConfigError, DataError, ReadError
from matterscope.core.estimates import Estimate, InputRef, Quantity, gaussian
from matterscope.core.pictures import Panel, Picture, line, points
from matterscope.io.potentials import Grid, read_locpot
from matterscope.io.tables import Column, read_table
from matterscope.materials.defects.corrections import (
    Aligned,
    align_potential,
    dielectric_tensor,
    point_charge_correction,
)
from matterscope.materials.settings import CorrectSettings
from matterscope.materials.transitions.pictures import potential_picture

Array = NDArray[np.float64]
AXES = "xyz"
FLAT = 0.1
"""V; a plateau that varies more than this is none."""
REFERENCES = [
    "Freysoldt, Neugebauer and Van de Walle, Phys. Rev. Lett. 102, 016402 (2009)",
    "Murphy and Hine, Phys. Rev. B 87, 094111 (2013)",
]
AVERAGES = (
    Column("position", "Å", required=True, aliases=("z", "x", "y")),
    Column("bulk", "V", required=True, aliases=("potential_bulk",), definition="planar average in the perfect cell"),
    Column("defect", "V", required=True, aliases=("potential_defect",), definition="planar average in the defect cell"),
)  # fmt: skip


def correct_energy(inputs: list[Input], settings: CorrectSettings, call: Call) -> list[Estimate]:
    """Return the energy to add to a charged cell: E_point-charge − q ΔV.

    ΔV is the plateau of V_defect − V_bulk − V_model far from the defect; all three are electrostatic
    (positive near a positive charge), so that a LOCPOT, the energy of an electron, enters with its sign
    changed. The published total for V_Cd²⁻ in CdTe fixes the sign (tests/realdata).
    """
    epsilon = _tensor(settings.epsilon)
    ref = InputRef(
        " + ".join(i.source for i in inputs) or "options", "", "+".join(i.sha256 for i in inputs)
    )
    answer = Estimate("materials correct", ref)
    paths = [i.path for i in inputs if i.path is not None]
    if len(paths) == 2:
        cell, aligned = _from_grids(paths, settings, epsilon)
    elif len(paths) == 1:
        cell, aligned = _from_averages(paths[0], settings, epsilon)
    elif not paths:
        cell, aligned = _orthogonal(settings.length), []
    else:
        raise ConfigError(
            "correct takes no file, one table of planar averages, or bulk and defect grids",
            got=len(paths),
        )
    part = point_charge_correction(settings.charge, cell, epsilon)
    answer.quantities["point_charge_correction"] = Quantity(
        part, "eV", reason="Ewald sum, exact for the dielectric constant given"
    )
    answer.provenance["references"] = REFERENCES
    answer.diagnostics |= {
        "charge": settings.charge,
        "epsilon": epsilon.tolist(),
        "cell": np.asarray(cell).tolist(),
    }
    if aligned:
        _with_alignment(answer, part, aligned, settings)
    else:
        answer.quantities["charge_correction"] = Quantity(
            part, "eV", reason="point charge alone: no potentials were given to align"
        )
        answer.flag(
            "no_alignment",
            "without potentials the alignment term is left out",
            "give planar averages or both LOCPOT files",
        )
        lengths = np.linspace(0.6, 2.5, 60)
        curve = part / lengths
        edge = float(abs(np.linalg.det(np.asarray(cell)))) ** (1 / 3)
        answer.pictures.append(_size_picture(lengths * edge, curve, edge, part))
    return [answer]


def _size_picture(edges: Array, curve: Array, edge: float, part: float) -> Picture:
    panel = Panel(
        [line(edges, curve, "point-charge correction"), points([edge], [part], "this cell")],
        "edge of the cell, (volume)^⅓ (Å)",
        "energy to add (eV)",
        y_range=(0.0, float(curve.max()) * 1.05),
    )
    return Picture(
        "size",
        "How the correction falls with the size of the cell",
        (panel,),
        "It falls as 1/L: the same shape of cell, scaled.",
    )


def _tensor(values: tuple[float, ...]) -> Array:
    if len(values) not in (1, 3, 9):
        raise ConfigError(
            "the dielectric constant must be one number, three or nine", got=len(values)
        )
    return dielectric_tensor(
        values[0]
        if len(values) == 1
        else np.reshape(values, (3, 3))
        if len(values) == 9
        else np.array(values)
    )


def _orthogonal(length: tuple[float, ...]) -> Array:
    if len(length) not in (1, 3) or min(length) <= 0:
        raise ConfigError(
            "correct needs the edge of a cubic cell or three edges",
            got=length or "none",
            expected="--length L or three of them, in Å",
            hint="for other cells give the LOCPOT files",
        )
    return np.diag(np.broadcast_to(np.asarray(length, dtype=float), (3,)))


def _with_alignment(
    answer: Estimate, part: float, aligned: list[tuple[str, Aligned]], settings: CorrectSettings
) -> None:
    plateaus = np.array([a.plateau for _, a in aligned])
    spread = max(a.spread for _, a in aligned)
    shift = float(plateaus.mean())
    between = float(plateaus.std(ddof=1)) if len(plateaus) > 1 else 0.0
    sigma = float(np.hypot(between, spread))
    answer.quantities["potential_alignment"] = gaussian(shift, sigma, "V")
    answer.quantities["charge_correction"] = gaussian(
        part - settings.charge * shift, abs(settings.charge) * sigma, "eV"
    )
    answer.diagnostics |= {
        "plateau_per_axis": {n: a.plateau for n, a in aligned},
        "plateau_spread": {n: a.spread for n, a in aligned},
    }
    if spread > FLAT:
        answer.flag(
            "plateau_not_flat",
            f"the defect potential is not flat far from the defect (it varies by {spread:.2f} V): the cell is too small or the charge is delocalised",
            "use a larger cell, or look at the charge density",
        )
    answer.pictures.append(
        potential_picture([(n, a.position, a.difference, a.model, a.plateau) for n, a in aligned])
    )


def _from_averages(
    path: Path, settings: CorrectSettings, epsilon: Array
) -> tuple[Array, list[tuple[str, Aligned]]]:
    frame = read_table(path, AVERAGES)
    cell = _orthogonal(settings.length)
    axis = settings.axis
    step = np.diff(frame["position"].to_numpy(dtype=float))
    if len(step) < 8 or not np.allclose(step, step.mean(), rtol=1e-3):
        raise DataError(
            "planar averages must stand on an even grid over the whole axis",
            where=str(path),
            got=f"{len(frame)} points",
        )
    covered = float(step.mean() * len(frame))
    if abs(covered - cell[axis, axis]) > 0.02 * cell[axis, axis]:
        raise DataError(
            "the planar averages do not cover the axis once",
            where=str(path),
            got=f"{covered:.3f} Å",
            expected=f"{cell[axis, axis]:.3f} Å (--length)",
        )
    lengths = (float(cell[axis, axis]), float(np.prod(np.diag(cell))))
    sign = -1.0 if settings.potentials == "electron" else 1.0
    found = align_potential(
        sign * frame["bulk"],
        sign * frame["defect"],
        settings.charge,
        lengths,
        float(epsilon[axis, axis]),
        settings.place[axis],
        settings.width,
    )
    return cell, [(AXES[axis], found)]


def _from_grids(
    paths: list[Path], settings: CorrectSettings, epsilon: Array
) -> tuple[Array, list[tuple[str, Aligned]]]:
    bulk, defect = (read_locpot(p) for p in paths)
    if bulk.values.shape != defect.values.shape or not np.allclose(
        bulk.cell, defect.cell, atol=1e-3
    ):
        raise DataError(
            "the two potentials stand on different grids or in different cells",
            where=f"{paths[0]} and {paths[1]}",
            got=f"{bulk.values.shape} and {defect.values.shape}",
            hint="use the same cell and FFT grid for both",
        )
    off = bulk.cell - np.diag(np.diag(bulk.cell))
    if np.abs(off).max() > 1e-3:
        raise ReadError(
            "alignment along the axes needs an orthogonal cell",
            where=str(paths[0]),
            got=bulk.cell.round(3).tolist(),
            hint="transform the cell, or use the point-charge part alone",
        )
    if len(settings.place) != 3:
        raise ConfigError("place takes three fractions", got=settings.place)
    volume = float(abs(np.linalg.det(bulk.cell)))
    found = []
    for axis in range(3):
        first, second = (_average(g, axis) for g in (bulk, defect))
        lengths = (float(bulk.cell[axis, axis]), volume)
        found.append(
            (
                AXES[axis],
                align_potential(
                    first,
                    second,
                    settings.charge,
                    lengths,
                    float(epsilon[axis, axis]),
                    settings.place[axis],
                    settings.width,
                ),
            )
        )
    return bulk.cell, found


def _average(grid: Grid, axis: int) -> Array:
    """Return the planar average of the electrostatic potential; a LOCPOT holds the electron's energy."""
    others = tuple(k for k in range(3) if k != axis)
    return np.asarray(-grid.values.mean(axis=others))
