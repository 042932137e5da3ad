"""The closed loop from array over map and spectra to yield and population, truths inside or not.

    python benchmarks/emitters_closed_loop.py [SEEDS]

Each seed draws an array of 20 × 20 sites with random λ, its map and 100 spectra, runs the verbs on
them, and asks whether yield, mean centre, scatter of centres and mean width lie in their intervals.
"""

from __future__ import annotations

import sys

import numpy as np
import pandas as pd

from matterscope.core.calls import Call, Input
from matterscope.core.random import generator
from matterscope.core.units import HC
from matterscope.emitters.ensembles import analyse_ensemble
from matterscope.emitters.made_arrays import array_map
from matterscope.emitters.maps import analyse_map
from matterscope.emitters.settings import EnsembleSettings, MapSettings
from matterscope.emitters.twin import Design, expected_spectrum, make_array, spectrum_axis
from matterscope.emitters.zero_phonon import Light, edges_of, fit_line


def one(seed):
    rng = generator(23, "loop", seed)
    mean = float(np.exp(rng.uniform(np.log(0.4), np.log(1.6))))
    design = Design(
        emitters_per_site=mean, peak=60.0, margin=50.0, rotation=float(rng.uniform(-5, 5))
    )
    array = make_array(design, rng)
    (answer,) = analyse_map(
        [Input("loop", data=array_map(array))], MapSettings(ions_per_site=100.0), Call(seed=seed)
    )
    axis = spectrum_axis()
    edges = np.sort(HC / edges_of(axis))
    rows = []
    for _, emitter in array.emitters.head(100).iterrows():
        expected = expected_spectrum(axis, emitter["centre"], emitter["width"], 0.45, 3e4)
        counts = (rng.poisson(expected - 600) + 600 + rng.normal(0, 8, axis.size))[::-1]
        line = fit_line(
            Light(edges, counts, 8.0, 600.0, 1.0, np.ones(axis.size, bool)),
            0.3 * 2.0989**2 / HC,
            rng,
        )
        rows.append(
            (np.median(line.centre), line.centre.std(), np.median(line.width), line.width.std())
        )
    table = pd.DataFrame(
        rows, columns=["centre_eV", "centre_sigma_eV", "width_eV", "width_sigma_eV"]
    )
    (population,) = analyse_ensemble(
        [Input("loop", data=table)], EnsembleSettings(), Call(seed=seed)
    )
    return {
        "conversion_yield": (answer["conversion_yield"], mean / 100),
        "centre_mean": (population["centre_mean"], 2.0989),
        "centre_scatter": (population["centre_scatter"], 9.6),
        "width_mean": (population["width_mean"], 25.2),
        "width_scatter": (population["width_scatter"], 2.5),
    }


def main(seeds=50):
    inside, pulls = {}, {}
    for seed in range(seeds):
        for name, (quantity, truth) in one(seed).items():
            kept = inside.setdefault(name, [])
            kept.append(
                [
                    b.low <= truth <= b.high
                    for b in (quantity.interval(v) for v in (0.68, 0.9, 0.95))
                ]
            )
            pulls.setdefault(name, []).append((quantity.value - truth) / quantity.sigma)
        if (seed + 1) % 10 == 0:
            print(f"{seed + 1} seeds; share inside 68/90/95 %; mean pull")
            for name, kept in inside.items():
                print(
                    f"  {name:18s}",
                    np.mean(kept, axis=0).round(2),
                    f"{np.mean(pulls[name]):+.2f} ± {np.std(pulls[name]):.2f}",
                    flush=True,
                )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 50)
