"""The renewal sampler against the eigen-solution on 20 random rate sets: χ² of every histogram.

python benchmarks/emitters_sampler.py [seed]
"""

from __future__ import annotations

import sys

import numpy as np
from scipy.stats import chi2

from matterscope.emitters.made.sources import renewal_times
from matterscope.emitters.photons.correlation import pair_histogram
from matterscope.physics.rates import ThreeLevels


def main(seed: int = 2026) -> None:
    rng = np.random.default_rng(seed)
    chances = []
    for index in range(20):
        levels = ThreeLevels(
            10 ** rng.uniform(6.5, 8),
            10 ** rng.uniform(7.5, 9),
            10 ** rng.uniform(5, 7),
            10 ** rng.uniform(5, 6.5),
        )
        efficiency = rng.uniform(0.02, 0.2)
        duration = 4e5 / (levels.emission_rate() * efficiency)
        times = renewal_times(levels, efficiency, duration, rng)
        stamps = np.floor(times * 1e12).astype(np.int64)
        lane = rng.integers(1, 3, stamps.size).astype(np.int8)
        width = max(int(min(8.0 / levels.eigenvalues()[0], 2e-6) * 1e12) // 200, 1)
        h = pair_histogram(stamps, lane, (1, 2), -200 * width, 200 * width, width)
        fine = np.linspace(h.edges[0], h.edges[-1], 40 * 400 + 1) * 1e-12
        truth = levels.correlation(0.5 * (fine[1:] + fine[:-1])).reshape(400, 40).mean(1)
        mean = h.expected * truth
        # bins are joined until 20 counts are expected
        joins = np.flatnonzero(np.diff(np.floor(np.cumsum(mean) / 20))) + 1
        index_of = np.concatenate([[0], joins])
        m = np.add.reduceat(mean, index_of)
        n = np.add.reduceat(h.counts.astype(float), index_of)
        chances.append(float(chi2.sf(np.sum((n - m) ** 2 / m), m.size)))
        print(f"{index:2d}: {stamps.size:,} photons, {m.size} bins, p = {chances[-1]:.3f}")
    print(f"smallest p {min(chances):.3f}, median {np.median(chances):.3f}")


if __name__ == "__main__":
    main(*(int(a) for a in sys.argv[1:2]))
