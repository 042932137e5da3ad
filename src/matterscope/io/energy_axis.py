"""The energy axis of a spectrum: read from named columns, put in order, or stated by the user.

In: columns of numbers and their roles, or START:STEP. Out: energies in eV, increasing, and what was repaired.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from matterscope.core.errors import ReadError
from matterscope.io.text_columns import Floats

Warnings = list[dict[str, str]]

HC_ANGSTROM = 12398.41984
"""Planck constant × speed of light, eV Å (CODATA 2018)."""


def measured_axis(
    path: Path,
    names: list[str],
    values: Floats,
    roles: dict[str, int],
    d_spacing: float | None,
    warnings: Warnings,
) -> Floats:
    """Return the axis in eV of named columns: an energy as it is or from keV, a wavelength (Å), or an angle of known d-spacing (Å).

    What was converted is added to `warnings`.

    Raises
    ------
    ReadError
        Without an energy column and without a d-spacing for an angle.
    """
    if "energy" in roles:
        axis, name = values[:, roles["energy"]], names[roles["energy"]].lower()
        step = np.median(np.abs(np.diff(axis))) if axis.size > 1 else 1.0
        # no absorption spectrum has meV steps below 150 eV: the unit must be keV
        if "kev" in name or (axis.max() < 150 and axis.min() > 0.5 and step < 0.02):
            warnings.append(
                {"code": "axis_kev", "message": "The axis was in keV; it was converted to eV."}
            )
            axis = axis * 1000.0
        return np.asarray(axis)
    if "wavelength" in roles:
        length = values[:, roles["wavelength"]]
        if (length <= 0).any():
            raise ReadError("a wavelength is not positive", where=str(path), got=length.min())
        warnings.append(
            {
                "code": "axis_wavelength",
                "message": "The axis was a wavelength in Å; it was converted to eV.",
            }
        )
        return np.asarray(HC_ANGSTROM / length)
    if "angle" in roles and d_spacing:
        warnings.append(
            {
                "code": "axis_angle",
                "message": f"The axis was an angle; E = hc/(2 d sin θ) with d = {d_spacing:g} Å.",
            }
        )
        angle = np.deg2rad(values[:, roles["angle"]])
        return np.asarray(HC_ANGSTROM / (2 * d_spacing * np.sin(angle)))
    if "angle" in roles:
        raise ReadError(
            "the axis is an angle and the d-spacing is not given",
            where=str(path),
            expected="Mono.d_spacing in the header",
        )
    raise ReadError(
        f"column 1 is '{names[0]}', no energy found",
        where=str(path),
        got=", ".join(names),
        hint="name the columns with --columns energy=1,mu=2; arrays without an axis need --energy START:STEP",
    )


def ordered(
    axis: Floats, arrays: dict[str, Floats], warnings: Warnings
) -> tuple[Floats, dict[str, Floats]]:
    """Return the axis increasing and free of repeats (repeated points averaged), saying what was done.

    Examples
    --------
    >>> notes = []
    >>> x, y = ordered(np.array([2.0, 1.0, 1.0]), {"mu": np.array([5.0, 1.0, 3.0])}, notes)
    >>> x.tolist(), y["mu"].tolist(), [n["code"] for n in notes]
    ([1.0, 2.0], [2.0, 5.0], ['axis_reversed', 'axis_duplicates'])
    """
    axis = np.asarray(axis, dtype=float)
    steps = np.diff(axis)
    if axis.size > 1 and (steps < 0).any():
        reverse = bool((steps <= 0).all())
        warnings.append(
            {
                "code": "axis_reversed" if reverse else "axis_unsorted",
                "message": "The axis ran downwards; it was reversed."
                if reverse
                else f"The axis fell {int((steps < 0).sum())} times; the points were sorted.",
            }
        )
        order = np.argsort(axis, kind="stable")
        axis, arrays = axis[order], {k: np.asarray(v)[order] for k, v in arrays.items()}
    unique, inverse, counts = np.unique(axis, return_inverse=True, return_counts=True)
    if unique.size < axis.size:
        warnings.append(
            {
                "code": "axis_duplicates",
                "message": f"{axis.size - unique.size} repeated points of the axis were averaged.",
            }
        )
        arrays = {
            k: np.bincount(inverse, weights=np.asarray(v, dtype=float)) / counts
            for k, v in arrays.items()
        }
    return unique, arrays


def stated_axis(energy: str, size: int) -> NDArray[np.float64]:
    """Return the axis (eV) that a user states as START:STEP, of `size` values.

    Raises
    ------
    ReadError
    """
    start, _, step = energy.partition(":")
    try:
        first, width = float(start), float(step)
    except ValueError:
        first, width = 0.0, 0.0
    if width <= 0:
        raise ReadError(
            "the energy axis is not understood",
            where="--energy",
            got=repr(energy),
            expected="START:STEP in eV with a positive step",
        )
    return np.asarray(first + width * np.arange(size))
