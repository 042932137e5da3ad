"""The closed loop: array → map → spectra → photon streams → identity → cards, truths inside or not.

    python benchmarks/emitters_closed_loop.py run FIRST LAST FILE.jsonl [SPECTRA] [STREAMS]
    python benchmarks/emitters_closed_loop.py show FILE.jsonl

Each seed draws an array of 20 × 20 sites with random λ and ε, its map, the spectra and the photon
streams of its first occupied sites (their share of background is given to `g2`), and runs the verbs `map`, `spectrum`, `g2`, `ensemble`, `identify`
and `card` on them; a truth counts where it lies in the interval on the card. Seeds append to the file,
so that a loop can be stopped and taken up again. The identity is asked of a made library in which the
emitter's own row stands in seven cases of ten, off by the theory errors.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd

from matterscope.core.calls import Call, Input
from matterscope.core.random import generator
from matterscope.core.schema import measurement
from matterscope.emitters.cards import join_answers
from matterscope.emitters.identity import identify_emitter
from matterscope.emitters.lines.ensembles import analyse_ensemble
from matterscope.emitters.lines.spectra import analyse_spectrum
from matterscope.emitters.made.arrays import array_map, occupied_sites, site_frames, site_stream
from matterscope.emitters.made.twin import Design, make_array, spectrum_axis
from matterscope.emitters.photons.antibunching import infer_g2
from matterscope.emitters.settings import (
    CardSettings,
    EnsembleSettings,
    G2Settings,
    IdentifySettings,
    MapSettings,
    SimulateSettings,
    SpectrumSettings,
)
from matterscope.emitters.sites.maps import analyse_map

LEVELS = (0.68, 0.9, 0.95)
IONS = 100.0
MAKE = SimulateSettings(kind="array", peak=60.0, photons=3e4, duration=0.05, cosmics=0.5)
JITTER = 353.0
"""ps, full width of one detector of the twin (standard deviation 150 ps)."""


def keep(folder, name, answers):
    path = Path(folder) / name
    path.write_text(json.dumps([a.as_json() for a in answers], default=str))
    return Input(name, path=path)


def held(quantity, truth):
    """Return which intervals hold a truth, and its pull."""
    bands = [quantity.interval(level) for level in LEVELS]
    inside = [
        (b.low is None or b.low <= truth) and (b.high is None or truth <= b.high) for b in bands
    ]
    pull = (quantity.value - truth) / quantity.sigma if quantity.sigma else None
    return {"inside": inside, "pull": pull}


def library(folder, rng):
    """Return a table of 80 made defects, the own one among them or not."""
    n, there = 80, bool(rng.random() < 0.7)
    rows = pd.DataFrame(
        {
            "defect": [f"D{k}" for k in range(n)],
            "zpl": rng.uniform(0.6, 3.6, n),
            "huang_rhys": np.exp(rng.uniform(np.log(0.05), np.log(12.0), n)),
        }
    )
    if there:
        rows.loc[0, "zpl"] = 2.0989 + 0.25 * rng.standard_normal()
        rows.loc[0, "huang_rhys"] = -np.log(0.45) * np.exp(0.2 * rng.standard_normal())
    path = Path(folder) / "library.csv"
    rows.to_csv(path, index=False)
    return path, there


def line_truths(card, array, sites):
    """Return which truths of the lines lie in the intervals on the cards of single sites."""
    found = {}
    number = array.sites["emitters"].to_numpy()
    for site in sites:
        if number[site] != 1:
            continue
        e = array.emitters[array.emitters["site"] == site].iloc[0]
        truths = {"zpl_energy": e["centre"], "zpl_width": 1e3 * e["width"], "debye_waller": 0.45}
        for quantity, truth in truths.items():
            if quantity in card[f"site {site}"].quantities:
                found.setdefault(quantity, []).append(held(card[f"site {site}"][quantity], truth))
    return found


def stream_truths(card, number, truths):
    """Return what the cards say of the photon streams: g2(0), words, the probability of one emitter."""
    found = {}
    for site, truth in truths.items():
        answer, kind = card[f"site {site}"], "one" if number[site] == 1 else "several"
        # corrected for the background, the answer is that of the emitters alone
        if "g2_zero" in answer.quantities and answer["g2_zero"].interval(0.9) is not None:
            found.setdefault("g2_zero", []).append(held(answer["g2_zero"], truth["g2_zero_ideal"]))
        word = answer["verdict"].value if "verdict" in answer.quantities else "not asked"
        found.setdefault(f"verdicts {kind}", []).append(word)
        if "single_probability" in answer.quantities:
            stated = [answer["single_probability"].value, number[site] == 1]
            found.setdefault("single_probability", []).append(stated)
    return found


def one(seed, spectra, streams):
    rng = generator(29, "loop", seed)
    mean = float(np.exp(rng.uniform(np.log(0.4), np.log(1.6))))
    design = Design(
        emitters_per_site=mean, peak=60.0, margin=50.0, rotation=float(rng.uniform(-5, 5))
    )
    array = make_array(design, rng)
    number = array.sites["emitters"].to_numpy()
    axis, found = spectrum_axis(), {"seed": seed}
    sites = occupied_sites(array, max(spectra, streams))
    with tempfile.TemporaryDirectory() as folder:
        (seen,) = analyse_map(
            [Input("array", data=array_map(array))],
            MapSettings(ions_per_site=IONS),
            Call(seed=seed),
        )
        lines, photons, truths = [], [], {}
        for site in sites[:spectra]:
            data = measurement(
                "emission",
                {"frame": (np.arange(2), "frame"), "wavelength": (axis, "nm")},
                {
                    "counts": (
                        ("frame", "wavelength"),
                        site_frames(array, site, MAKE, rng),
                        "counts",
                    )
                },
            )
            lines += analyse_spectrum(
                [Input(f"site {site}", data=data)],
                SpectrumSettings(instrument_width=0.3, temperature=295.0),
                Call(seed=seed),
            )
        for site in sites[:streams]:
            stream = site_stream(array, site, MAKE, rng)
            truths[site] = stream.attrs["truth"]
            photons += infer_g2(
                [Input(f"site {site}", data=stream)],
                G2Settings(
                    jitter=JITTER,
                    longest_lag=0.0,
                    signal_fraction=truths[site]["signal_fraction"],
                ),
                Call(seed=seed),
            )
        single = [a for a, s in zip(lines, sites, strict=False) if number[s] == 1]
        table = keep(folder, "lines.json", single)
        (population,) = analyse_ensemble([table], EnsembleSettings(), Call(seed=seed))
        path, there = library(folder, rng)
        (name,) = identify_emitter(
            [keep(folder, "one.json", single[:1])],
            IdentifySettings(library=str(path)),
            Call(seed=seed),
        )
        cards = join_answers(
            [
                keep(folder, "array.json", [seen, population]),
                keep(folder, "spectra.json", lines),
                keep(folder, "streams.json", photons),
            ],
            CardSettings(each="site"),
            Call(seed=seed),
        )
    card = {c.input.source: c for c in cards}
    whole = card["array"]
    for quantity, truth in {
        "conversion_yield": mean / IONS,
        "centre_mean": design.centre,
        "centre_scatter": 1e3 * design.centre_scatter,
        "width_mean": 1e3 * design.width,
        "width_scatter": 1e3 * design.width_scatter,
        "single_sites": int((number == 1).sum()),
        "empty_sites": int((number == 0).sum()),
    }.items():
        found[quantity] = [held(whole[quantity], truth)]
    found |= line_truths(card, array, sites[:spectra])
    found |= stream_truths(card, number, truths)
    shares = name["identity"].probabilities
    named = {k: v for k, v in shares.items() if k != "others"}
    best = max(named, key=lambda k: named[k])
    right = best == ("D0" if there else "none of these")
    found["identity"] = [shares[best], right, name["none_of_these"].value, not there]
    return found


def run(first, last, file, spectra, streams):
    for seed in range(first, last):
        start = time.process_time()
        row = one(seed, spectra, streams)
        row["cpu"] = time.process_time() - start
        with Path(file).open("a") as out:
            out.write(json.dumps(row, default=float) + "\n")
        print(seed, f"{row['cpu']:.1f} CPU-s", flush=True)


def reliability(kept):
    """Print stated and true shares of one emitter, by the stated probability."""
    for low, high in pairwise((0.0, 0.05, 0.5, 0.95, 1.0)):
        some = (kept[:, 0] >= low) & (kept[:, 0] < high + (high == 1.0))
        if some.any():
            stated, true = kept[some].mean(axis=0)
            print(
                f"P(one) {low:.2f}–{high:.2f}  n {some.sum():5d}: stated {stated:.3f}, true {true:.3f}"
            )


def show(file):
    rows = [json.loads(line) for line in Path(file).read_text().splitlines()]
    print(f"{len(rows)} seeds, {np.mean([r['cpu'] for r in rows]):.1f} CPU-s each")
    names = {k: None for r in rows for k, v in r.items() if isinstance(v, list)}
    for name in names:
        kept = [v for r in rows for v in r.get(name, [])]
        if name == "identity" or not kept:
            continue
        if name.startswith("verdicts"):
            print(f"{name:18s}", {v: kept.count(v) for v in sorted(set(kept))})
            continue
        if name == "single_probability":
            reliability(np.array(kept, float))
            continue
        inside = np.mean([k["inside"] for k in kept], axis=0)
        pulls = np.array([k["pull"] for k in kept if k["pull"] is not None] or [np.nan])
        print(
            f"{name:18s} n {len(kept):5d}: inside 68/90/95 % {inside.round(3)}, pull {pulls.mean():+.2f} ± {pulls.std():.2f}"
        )
    stated, right, none, gone = np.array([r["identity"] for r in rows], float).T
    print(
        f"identity: leader stated {stated.mean():.2f}, right {right.mean():.2f}; none stated {none.mean():.2f}, true {gone.mean():.2f}"
    )


if __name__ == "__main__":
    if sys.argv[1] == "show":
        show(sys.argv[2])
    else:
        counts = [int(v) for v in sys.argv[5:7]] or [40, 12]
        run(int(sys.argv[2]), int(sys.argv[3]), sys.argv[4], *counts)
