"""Make the element tables of `physics.elements` from mendeleev, pymatgen and ASE.

In: the three libraries, installed in an environment of their own (``pip install mendeleev pymatgen ase``).
Out: elements.csv, ionic_radii.csv and columns.csv under src/matterscope/physics/data.
"""

from __future__ import annotations

import csv
import re
from pathlib import Path
from typing import Any

from ase.data import atomic_masses, covalent_radii
from mendeleev import element
from pymatgen.core import Element

FOLDER = Path(__file__).parents[1] / "src" / "matterscope" / "physics" / "data"
LAST = 103
HARTREE = 27.211386245988
"""eV"""
M, P, A = "mendeleev 1.3.0", "pymatgen", "ase"
LICENCES = {M: "MIT", P: "MIT", A: "LGPL-2.1-or-later (numbers only)"}
COLUMNS: list[tuple[str, str, str, str, str]] = [
    # name, units, library, original source, definition
    ("symbol", "1", M, "IUPAC", "chemical symbol"),
    ("number", "1", M, "IUPAC", "atomic number Z"),
    ("name", "1", M, "IUPAC", "English name"),
    ("mass", "amu", A, "IUPAC 2016", "standard atomic weight, or mass of the longest-lived isotope"),
    ("period", "1", M, "IUPAC", "row of the periodic table"),
    ("group", "1", M, "IUPAC", "group 1–18; 3 for the f block"),
    ("block", "1", M, "IUPAC", "s, p, d or f"),
    ("mendeleev_number", "1", M, "Glawe et al., New J. Phys. 18, 093011 (2016)", "modified Pettifor scale"),
    ("electronegativity", "1", M, "CRC Handbook (Pauling scale)", "Pauling electronegativity"),
    ("electronegativity_allen", "eV", M, "Mann, Meek, Allen, JACS 122 (2000)", "mean one-electron energy of the valence shell"),
    ("electron_affinity", "eV", M, "CRC Handbook", "electron affinity"),
    ("ionisation_energy_1", "eV", M, "NIST ASD", "first ionisation energy"),
    ("ionisation_energy_2", "eV", M, "NIST ASD", "second ionisation energy"),
    ("ionisation_energy_3", "eV", M, "NIST ASD", "third ionisation energy"),
    ("ionisation_energy_4", "eV", M, "NIST ASD", "fourth ionisation energy"),
    ("ionisation_energy_5", "eV", M, "NIST ASD", "fifth ionisation energy"),
    ("atomic_radius", "Å", M, "Slater, J. Chem. Phys. 41, 3199 (1964)", "empirical atomic radius"),
    ("covalent_radius", "Å", A, "Cordero et al., Dalton Trans. 2832 (2008)", "single-bond covalent radius"),
    ("covalent_radius_pyykko", "Å", M, "Pyykkö and Atsumi, Chem. Eur. J. 15, 186 (2009)", "single-bond covalent radius"),
    ("metallic_radius", "Å", M, "Kaye and Laby tables", "metallic radius for 12 neighbours"),
    ("van_der_waals_radius", "Å", M, "CRC Handbook; Alvarez (2013)", "van der Waals radius"),
    ("polarisability", "a.u.", M, "Schwerdtfeger and Nagle (2018)", "static dipole polarisability, atomic units"),
    ("melting_point", "K", M, "CRC Handbook; pymatgen for C, P, S, Se, Sn", "melting point of the standard form"),
    ("boiling_point", "K", M, "CRC Handbook", "boiling point"),
    ("heat_of_vaporisation", "kJ/mol", M, "CRC Handbook", "enthalpy of vaporisation"),
    ("heat_of_formation", "kJ/mol", M, "CRC Handbook", "enthalpy of formation of the free atom"),
    ("atomic_volume", "cm³/mol", M, "CRC Handbook", "molar volume of the standard form"),
    ("valence_electrons", "1", M, "from the electron configuration", "electrons outside closed noble-gas and d¹⁰/f¹⁴ shells"),
    ("electrons_s", "1", M, "from the electron configuration", "electrons in the outermost s shell"),
    ("electrons_p", "1", M, "from the electron configuration", "electrons in the outermost p shell, where valence"),
    ("electrons_d", "1", M, "from the electron configuration", "electrons in the last d shell, where of the last period"),
    ("electrons_f", "1", M, "from the electron configuration", "electrons in the last f shell, where of the last period"),
    ("orbital_energy_s", "eV", P, "NIST atomic reference data (LDA)", "eigenvalue of the outermost s orbital"),
    ("orbital_energy_p", "eV", P, "NIST atomic reference data (LDA)", "eigenvalue of the p orbital of the valence shell, where occupied"),
    ("orbital_energy_d", "eV", P, "NIST atomic reference data (LDA)", "eigenvalue of the outermost occupied d orbital"),
    ("oxidation_states", "1", M, "main states of mendeleev with the common ones of pymatgen", "common oxidation states, blank-separated"),
]  # fmt: skip


def pm(value: float | None) -> float | None:
    return None if value is None else value / 100


def last_shells(configuration: str) -> dict[str, int]:
    """Return the electrons of the outermost shell of each kind, beyond the noble-gas core."""
    shells = re.findall(r"(\d)([spdf])(\d*)", configuration.rsplit("]", maxsplit=1)[-1])
    return {kind: int(count or 1) for _, kind, count in shells}


def valence(shells: dict[str, int]) -> int:
    closed_d = shells.get("d") == 10 and shells.get("p", 0) > 0
    closed_f = shells.get("f") == 14
    return (
        shells.get("s", 0)
        + shells.get("p", 0)
        + (0 if closed_d else shells.get("d", 0))
        + (0 if closed_f else shells.get("f", 0))
    )


def orbitals(symbol: str, period: int) -> dict[str, float | None]:
    """Return the energy of the outermost orbital of each kind; p only of the valence shell."""
    found = Element(symbol).data.get("Atomic orbitals") or {}
    result: dict[str, float | None] = {}
    for kind in "spd":
        names = sorted(n for n in found if n.endswith(kind) and (kind != "p" or n == f"{period}p"))
        result[f"orbital_energy_{kind}"] = found[names[-1]] * HARTREE if names else None
    return result


def melting(e: Any) -> float | None:
    """Return the melting point; mendeleev leaves it open for elements with allotropes."""
    return e.melting_point or Element(e.symbol).data.get("Melting point") or None


def states(e: Any) -> list[int]:
    return sorted(set(e.oxistates or []) | set(Element(e.symbol).common_oxidation_states))


def row(number: int) -> dict[str, Any]:
    e = element(number)
    shells = last_shells(e.econf)
    energies = e.ionenergies
    record: dict[str, Any] = {
        "symbol": e.symbol, "number": number, "name": e.name, "mass": float(atomic_masses[number]),
        "period": e.period, "group": e.group_id or 3, "block": e.block, "mendeleev_number": e.glawe_number,
        "electronegativity": e.en_pauling, "electronegativity_allen": e.en_allen,
        "electron_affinity": e.electron_affinity,
        "atomic_radius": pm(e.atomic_radius), "covalent_radius": float(covalent_radii[number]),
        "covalent_radius_pyykko": pm(e.covalent_radius_pyykko), "metallic_radius": pm(e.metallic_radius_c12),
        "van_der_waals_radius": pm(e.vdw_radius), "polarisability": e.dipole_polarizability,
        "melting_point": melting(e), "boiling_point": e.boiling_point,
        "heat_of_vaporisation": e.evaporation_heat, "heat_of_formation": e.heat_of_formation,
        "atomic_volume": e.atomic_volume, "valence_electrons": valence(shells),
        "oxidation_states": " ".join(str(o) for o in states(e)),
    }  # fmt: skip
    record |= {f"ionisation_energy_{i}": energies.get(i) for i in range(1, 6)}
    record |= {f"electrons_{k}": shells.get(k, 0) for k in "spdf"} | orbitals(e.symbol, e.period)
    return record


def shorten(value: Any) -> Any:
    return "" if value is None else f"{value:.7g}" if isinstance(value, float) else value


def ionic() -> list[dict[str, Any]]:
    return [
        {
            "symbol": element(z).symbol, "charge": r.charge, "coordination": r.coordination, "spin": r.spin or "",
            "ionic_radius": shorten(r.ionic_radius / 100), "crystal_radius": shorten(r.crystal_radius / 100),
            "reliable": int(bool(r.most_reliable)), "source": "Shannon, Acta Cryst. A32, 751 (1976), by mendeleev 1.3.0", "licence": "MIT",
        }
        for z in range(1, LAST + 1)
        for r in sorted(element(z).ionic_radii, key=lambda r: (r.charge, r.coordination, r.spin or ""))
    ]  # fmt: skip


def write(name: str, rows: list[dict[str, Any]]) -> None:
    with (FOLDER / name).open("w", newline="", encoding="utf-8") as handle:
        writer = csv.DictWriter(handle, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def main() -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    names = [c[0] for c in COLUMNS]
    rows = []
    for number in range(1, LAST + 1):
        record = row(number)
        rows.append(
            {n: shorten(record[n]) for n in names}
            | {"source": f"{M}; {P}; {A}", "licence": "MIT; MIT; numbers only"}
        )
    write("elements.csv", rows)
    write("ionic_radii.csv", ionic())
    write(
        "columns.csv",
        [
            {"column": n, "units": u, "definition": d, "source": s, "library": lib, "licence": LICENCES[lib]}
            for n, u, lib, s, d in COLUMNS
        ],
    )  # fmt: skip


if __name__ == "__main__":
    main()
