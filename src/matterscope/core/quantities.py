"""The names of answers: one literal table of quantity → (units, definition).

In: nothing. Out: the vocabulary; a test holds every estimate of the package to it.
"""

from __future__ import annotations

QUANTITIES: dict[str, tuple[str, str]] = {
    "verdict": ("1", "PASS, WARN or FAIL: whether a file can be trusted"),
    # spectra
    "coordination_number": (
        "1",
        "number of nearest neighbours of the absorber, within 1.25 × the nearest distance",
    ),
    "bond_length": ("Å", "mean distance to the nearest neighbours of the absorber"),
    "oxidation_state": ("1", "formal charge of the absorber"),
    "edge_position": ("eV", "first crossing of half of the post-edge level on the rising edge"),
    # emitters
    "g2_zero": ("1", "second-order correlation at zero delay, background removed where stated"),
    "g2_zero_raw": ("1", "second-order correlation at zero delay, as measured"),
    "purity": ("1", "1 − g2(0)"),
    "antibunching_time": ("ns", "recovery time of the antibunching dip"),
}
"""Units "" mean: in the units that the estimate states."""


def definition(name: str) -> str:
    """Return the definition of a quantity.

    Examples
    --------
    >>> definition("purity")
    '1 − g2(0)'
    """
    return QUANTITIES[name][1]
