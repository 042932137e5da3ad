"""References: a foil or a standard measured on the same axis, and what it says about the others.

In: the file of a reference. Out: where its edge stands, how far the axis is off where that is known, and
the shift of a spectrum from it. No axis is moved: positions are read with the offset taken into account.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from matterscope.core.errors import ConfigError, DataError
from matterscope.core.estimates import Estimate, Quantity, gaussian
from matterscope.core.verbs import as_input
from matterscope.io.reading import measurements
from matterscope.physics.edges import table
from matterscope.spectra.measured.quality import METALS, SEVERE, Examined, examine
from matterscope.spectra.measured.reduction import derivative_edge

if TYPE_CHECKING:
    from matterscope.core.calls import Input

WELL = 1.0
"""eV; axes and tables agree this well, so a smaller offset is not worth a flag."""


@dataclass(frozen=True)
class Reference:
    """What stands on the same axis as the spectra.

    Parameters
    ----------
    seen : Examined
        The reference itself.
    foil : bool
        Whether it calls itself a metal: then its steepest rise belongs to the tabulated energy.
    offset : float, eV
        How much too high the axis reads; NaN for a standard, of which the table says nothing.
    """

    seen: Examined
    foil: bool
    offset: float

    def offset_for(self, element: str, edge: str) -> float:
        """Return the offset (eV) where the reference shows this edge, else NaN."""
        same = (element, edge) == (self.seen.element, self.seen.edge)
        return self.offset if same else float("nan")


def read_reference(source: str) -> Reference:
    """Return the reference in ``FILE`` or ``FILE:NAME``.

    Raises
    ------
    DataError
        When the file holds several spectra, or one without an edge.
    """
    given = as_input(source)
    found = measurements(given, "spectrum")
    if len(found) != 1:
        raise DataError(
            "this reference file holds several spectra", where=source, got=len(found),
            hint="name one: FILE:NAME",
        )  # fmt: skip
    seen = examine(found[0])
    if seen.codes & SEVERE or seen.normalised is None:
        reason = next((f.message for f in seen.flags if f.code in SEVERE), "no edge was recognised")
        raise DataError("this reference cannot be used", where=source, got=reason)
    foil = bool(METALS.search(f"{seen.label} {Path(given.source).stem.replace('_', ' ')}"))
    steep = derivative_edge(seen.normalised.energy, seen.normalised.mu, seen.normalised.e0)
    return Reference(seen, foil, steep - seen.table if foil else float("nan"))


def relate(estimate: Estimate, seen: Examined, reference: Reference) -> None:
    """Add the shift from the reference, and say what the reference tells about the axis."""
    name = f"{reference.seen.element} {reference.seen.edge}"
    what = f"{'foil' if reference.foil else 'standard'} '{reference.seen.label}'"
    estimate.diagnostics["reference"] = {
        "label": reference.seen.label,
        "edge": name,
        "kind": "foil" if reference.foil else "standard",
        "axis_offset_ev": reference.offset,
    }
    if (seen.element, seen.edge) != (reference.seen.element, reference.seen.edge):
        estimate.flag(
            "reference_of_another_edge",
            f"The reference is {name}, the spectrum {seen.element} {seen.edge}: it says nothing here.",
            "measure a foil of the absorber on the same axis",
        )
        estimate.quantities["shift_from_reference"] = Quantity(
            None, "eV", reason=f"the reference is {name}"
        )
        return
    sigma = float(estimate.quantities["edge_position"].sigma or 0.02)
    shift = seen.position - reference.seen.position
    estimate.quantities["shift_from_reference"] = gaussian(shift, 2**0.5 * sigma, "eV")
    if abs(reference.offset) > WELL:
        estimate.flag(
            "reference_offset",
            f"The {what} stands {reference.offset:+.1f} eV from the tabulated {name} edge; positions are judged with that taken off.",
            "calibrate the axis: spectra reduce --foil",
        )


def named_edge(names: tuple[str, ...], given: Input) -> tuple[str, str] | None:
    """Return (element, edge) that the user says an input shows: ``Ni:L3``, or ``Ni:L3=FILE`` for one file.

    Raises
    ------
    ConfigError
        For a name that is no edge, or a file that is not there.
    """
    found = None
    for entry in names:
        edge, _, file = entry.partition("=")
        element, _, shell = edge.partition(":")
        shell = "L3" if shell.upper() == "L23" else shell.upper()
        if (element, shell) not in table():
            raise ConfigError(
                f"'{edge}' is no edge", expected="ELEMENT:EDGE or ELEMENT:EDGE=FILE, e.g. Ni:L3=scan.csv"
            )  # fmt: skip
        if file and not Path(file).exists():
            raise ConfigError(f"--as names a file that is not there: {file}")
        if not file or (given.path is not None and given.path.resolve() == Path(file).resolve()):
            found = (element, shell)
    return found
