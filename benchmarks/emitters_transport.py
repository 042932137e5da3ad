"""Ion transport against SRIM-2013 (through the package lunasrim in another environment).

    python benchmarks/emitters_transport.py [PYTHON_WITH_LUNASRIM]

Prints ranges, vacancies and speed for 60 pairs of ion, target and energy, and the film curve. With
no second python only our own numbers are printed. Nothing of the peer's data is stored.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time

import numpy as np

from matterscope.core.calls import Call
from matterscope.emitters.ions.films import scan_film
from matterscope.emitters.ions.transport import Beam, implant, parse_layers, with_film

PEER = """
import json, sys, tempfile, time, lunasrim
for line in sys.stdin:
    ion, target, density, energy, n, kind = json.loads(line)
    start = time.process_time()
    run = lunasrim.trim(ion, target, energy=energy, thickness=2000, unit='nm', ions=n, calculation=kind,
                        seed=3, density=density, directory=tempfile.mkdtemp())
    spent = time.process_time() - start
    x, y, z = (list(v) for v in run.range3d.positions)
    print(json.dumps({'x': x, 'y': y, 'z': z, 'vacancies': run.vacancy.vacancies_per_ion, 'cpu': spent}), flush=True)
"""
TARGETS = {"BN": 2.1, "C": 2.0, "SiO2": 2.32}
FILM = {
    0: 0.378,
    12: 0.751,
    14: 0.778,
    16: 0.796,
    18: 0.792,
    20: 0.785,
    22: 0.741,
    24: 0.700,
    26: 0.643,
}


def moments(x, y, z):
    """Mean depth, its scatter, mean sideways distance (nm)."""
    return np.array([np.mean(x), np.std(x, ddof=1), np.mean(np.abs([*y, *z]))])


def ask(peer, rows):
    if not peer:
        return [None] * len(rows)
    done = subprocess.run(
        [peer, "-c", PEER],
        input="\n".join(json.dumps(r) for r in rows),
        capture_output=True,
        text=True,
        check=True,
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


def ranges(peer):
    rows = [
        (i, t, d, e, 1500, 1)
        for t, d in TARGETS.items()
        for i in ("C", "B", "N", "He", "Ar")
        for e in (5, 10, 20, 40)
    ]
    print(
        "ion target keV | Rp ΔRp lateral, nm, ours | ratio to the peer (± its and our standard error)"
    )
    worst = np.zeros(3)
    for row, found in zip(rows, ask(peer, rows), strict=True):
        ion, target, density, energy, *_ = row
        ours = implant(
            Beam(ion, float(energy), cascades=False),
            parse_layers(f"{target}@{density}:2000nm"),
            6000,
            Call(seed=7),
        )
        ends = ours.ends[ours.stopped]
        mine = moments(ends[:, 2], ends[:, 0], ends[:, 1])
        text = f"{ion:2s} {target:4s} {energy:3d} | " + " ".join(f"{v:7.2f}" for v in mine)
        if found:
            peers = moments(*(np.array(found[a]) / 10 for a in "xyz"))
            ratio = mine / peers
            error = np.array([peers[1] / peers[0], 0.8, 0.55]) / np.sqrt(1500)
            worst = np.maximum(worst, np.abs(ratio - 1) - 2 * error)
            text += " | " + " ".join(f"{r:.3f}±{s:.3f}" for r, s in zip(ratio, error, strict=True))
        print(text, flush=True)
    print("worst deviation beyond two standard errors:", np.round(np.maximum(worst, 0), 4))


def cascades(peer):
    energies = (5, 10, 20, 30, 40)
    found = ask(peer, [("C", "BN", 2.1, e, 120, 2) for e in energies])
    implant(Beam("C", 2.0), parse_layers("BN:1000nm"), 10, Call())
    print("C → BN full cascades: keV, vacancies per ion (ours, peer), ions per CPU-s (ours, peer)")
    for energy, other in zip(energies, found, strict=True):
        start = time.process_time()
        ours = implant(Beam("C", float(energy)), parse_layers("BN:1000nm"), 3000, Call(seed=1))
        speed = 3000 / (time.process_time() - start)
        text = f"{energy:3d} {ours.vacancies.sum(axis=1).mean():7.1f}"
        if other:
            text += f" {other['vacancies']:6.0f} | {speed:7.0f} {120 / other['cpu']:6.1f} ratio {speed * other['cpu'] / 120:.0f}"
        else:
            text += f" | {speed:7.0f}"
        print(text, flush=True)


def film():
    beam = Beam("C", 10.0, {"B": 19.36, "N": 23.06})
    stack = parse_layers("C:17nm,hBN:30nm")
    print("film nm, stopped in hBN (20 000 ions), reference ±0.008")
    for thickness, reference in FILM.items():
        layers = with_film(stack, thickness)
        ours = implant(
            Beam("C", 10.0, beam.displacement, cascades=False), layers, 20000, Call(seed=2)
        )
        caught = ours.captured(len(layers) - 1).mean()
        print(f"{thickness:3d} {caught:.4f} {reference:.3f} {caught - reference:+.4f}")
    scan = scan_film(beam, stack, 1, 6000, Call(seed=3))
    print(
        "optimum nm (5, 50, 95 %):",
        np.quantile(scan.optimum, [0.05, 0.5, 0.95]).round(2),
        "capture:",
        np.median(scan.best).round(4),
    )


if __name__ == "__main__":
    other = sys.argv[1] if len(sys.argv) > 1 else ""
    film()
    cascades(other)
    ranges(other)
