"""Write src/matterscope/physics/edges.csv from xraydb (needs `pip install xraydb`; not a dependency).

In: xraydb's tables (Elam, Ravel, Sidebottom 2002; core widths Keski-Rahkonen and Krause 1974). Out: the CSV.
"""

from __future__ import annotations

import csv
from pathlib import Path

import xraydb

EDGES = ("K", "L1", "L2", "L3", "M1", "M2", "M3", "M4", "M5", "N4", "N5")
TARGET = Path(__file__).parents[1] / "src" / "matterscope" / "physics" / "edges.csv"


def main() -> None:
    with TARGET.open("w", newline="") as handle:
        writer = csv.writer(handle, lineterminator="\n")
        writer.writerow(["element", "atomic_number", "edge", "energy_ev", "full_width_ev"])
        for number in range(3, 93):
            found = xraydb.xray_edges(number)
            for name in EDGES:
                if name in found and found[name].energy > 10:
                    width = xraydb.core_width(number, name) or 0.0
                    symbol = xraydb.atomic_symbol(number)
                    writer.writerow(
                        [symbol, number, name, f"{found[name].energy:g}", f"{width:.4g}"]
                    )


if __name__ == "__main__":
    main()
