"""Few coincidences: the posterior on a grid against the profile likelihood, on the same streams.

python benchmarks/emitters_sparse.py [streams] [seed] [unknown]

Streams of random emitters: their number Poisson(1) and at least one, unequal brightness, background 0 to
40 %, recovery 0.8 to 30 ns, half of them with a dark state, jitter 50 to 300 ps; 10 to 1000 coincidences
within ±100 ns. The cable delay is known to 0.5 ns, or not at all ("unknown"). Rows by coincidences; the
log score is the mean of ln p(true g2(0)) on [0, 1], larger is better; a flat density has 0.
"""

from __future__ import annotations

import itertools
import sys
import time

import numpy as np

from matterscope.emitters.made.sources import Detection, simulate_site
from matterscope.emitters.photons.correlation import pair_histogram
from matterscope.emitters.photons.dips import fit_dip
from matterscope.emitters.photons.posterior import (
    G2_GRID,
    Delay,
    DipPosterior,
    Population,
    under,
    weigh_dip,
)
from matterscope.physics.rates import ThreeLevels

EDGES = (10, 30, 100, 200, 1000)


def log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def draw(rng: np.random.Generator) -> tuple:
    """Return (edges ns, counts, expected, jitter of the pair ns, truth)."""
    n = 0
    while not n:
        n = rng.poisson(1.0)
    dark = rng.random() < 0.5
    levels = ThreeLevels(
        log_uniform(rng, 3e6, 3e8),
        log_uniform(rng, 3e7, 1e9),
        log_uniform(rng, 1e5, 1e7) if dark else 0.0,
        log_uniform(rng, 2e5, 5e6),
    )
    light = np.exp(0.4 * rng.standard_normal(n))
    total, noise = 2e5, rng.uniform(0.0, 0.4)
    jitter = rng.uniform(50e-12, 300e-12)
    pairs = log_uniform(rng, EDGES[0], EDGES[-1])
    stream = simulate_site(
        light / light.sum(),
        pairs / (0.25 * total**2 * 200e-9),
        rng,
        rate=total * (1.0 - noise),
        background_rate=total * noise,
        levels=levels,
        detection=Detection(jitter=jitter, delay=rng.normal(0.0, 0.5e-9)),
    )
    h = pair_histogram(
        stream["time"].values, stream["channel"].values, (1, 2), -100_000, 100_000, 250
    )
    return (
        h.edges / 1e3,
        h.counts.astype(float),
        h.expected,
        np.sqrt(2) * jitter * 1e9,
        stream.attrs["truth"],
    )


def likelihood_density(fit) -> np.ndarray:
    """Return the normalised profile likelihood on the grid of g2(0): the density a fit stands for."""
    grid = G2_GRID[::3]
    cost = np.array([fit.profile("g2_zero", g) for g in grid])
    log = -np.interp(G2_GRID, grid, cost - cost.min())
    density = np.exp(log)
    return density / np.trapezoid(density, G2_GRID)


def score(density: np.ndarray, truth: float) -> float:
    return float(np.log(max(np.interp(truth, G2_GRID, density), 1e-6)))


def main(streams: int = 300, seed: int = 1, unknown: bool = False) -> None:
    rows, cpu = [], [0.0, 0.0]
    while len(rows) < streams:
        rng = np.random.default_rng([seed, len(rows), 77])
        edges, counts, expected, sigma, truth = draw(rng)
        g0 = truth["g2_zero"]
        begin = time.process_time()
        prior = Delay(0.0, np.inf if unknown else 0.5)
        found = weigh_dip(edges, counts, expected, sigma=sigma, delay=prior)
        cpu[0] += time.process_time() - begin
        known, single = under(found, Population(1.0))
        q, w = found.quantity((0.68, 0.95)), known.quantity((0.68, 0.95))
        begin = time.process_time()
        fit = fit_dip(edges, counts, expected, sigma=sigma, delay=None if unknown else 0.0).fit
        ends = [fit.interval("g2_zero", v) for v in (0.68, 0.95)]
        cpu[1] += time.process_time() - begin
        rows.append(
            {
                "pairs": counts.sum(),
                "g0": g0,
                "one": float(truth["emitters"] == 1),
                "below": known.below(0.5),
                "single": single,
                "pit": known.below(g0),
                "log score": (
                    score(posterior_density(found), g0),
                    score(posterior_density(known), g0),
                    score(likelihood_density(fit), g0),
                    score(normal_density(fit), g0),
                ),
                "cover 68": tuple(inside(i, g0) for i in (q.intervals[0], w.intervals[0], ends[0])),
                "cover 95": tuple(inside(i, g0) for i in (q.intervals[1], w.intervals[1], ends[1])),
                "said": tuple(
                    (i.high or 9.0) < 0.5 for i in (q.intervals[1], w.intervals[1], ends[1])
                ),
            }
        )
        if len(rows) % 50 == 0 or len(rows) == streams:
            _report(rows, cpu)


def inside(interval, truth: float) -> float:
    return float(
        (interval.low or 0.0) <= truth <= (9.0 if interval.high is None else interval.high)
    )


def posterior_density(found: DipPosterior) -> np.ndarray:
    density = found.g2.copy()
    density[[0, -1]] *= 2.0
    return density / np.trapezoid(density, G2_GRID)


def normal_density(fit) -> np.ndarray:
    """Return value ± standard error as a density on [0, 1]; at a bound the 68 % limit is the error."""
    centre = min(fit.values["g2_zero"], 1.0)
    width = fit.sigma("g2_zero") or (fit.limit("g2_zero", 0.68).high or 1.0)
    density = np.exp(-0.5 * ((G2_GRID - centre) / max(width, 0.02)) ** 2)
    return density / np.trapezoid(density, G2_GRID)


def _report(rows: list[dict], cpu: list[float]) -> None:
    n = len(rows)
    print(
        f"\n{n} streams; posterior {1e3 * cpu[0] / n:.0f} ms, fit {1e3 * cpu[1] / n:.0f} ms a stream"
    )
    print(
        "columns: posterior with flat g2(0), posterior with the population, profile likelihood, value ± error"
    )
    pairs = np.array([r["pairs"] for r in rows])
    for low, high in [*itertools.pairwise(EDGES), (EDGES[0], 200), (0, 10**6)]:
        part = [r for r, p in zip(rows, pairs, strict=True) if low <= p < high]
        if len(part) < 2:
            continue
        table = np.array([r["log score"] for r in part])
        gain = table[:, 1] - table[:, 2]
        cover = [np.mean([r[f"cover {v}"] for r in part], 0) for v in (68, 95)]
        said = np.array([r["said"] for r in part])
        right = said & (np.array([r["g0"] for r in part]) < 0.5)[:, None]
        print(
            f"{low}-{high} pairs ({len(part)}): log score {' '.join(f'{v:+.3f}' for v in table.mean(0))}, "
            f"population − likelihood {gain.mean():+.3f} ± {gain.std() / np.sqrt(len(part)):.3f}; "
            f"68 %: {' '.join(f'{v:.2f}' for v in cover[0])}; 95 %: {' '.join(f'{v:.2f}' for v in cover[1])}; "
            f"below ½ said (right): {', '.join(f'{a} ({b})' for a, b in zip(said.sum(0), right.sum(0), strict=True))}"
        )
    few = [r for r, p in zip(rows, pairs, strict=True) if p < 200]
    for name, key, hit in (
        ("g2(0) < 1/2", "below", np.array([r["g0"] < 0.5 for r in few])),
        ("one emitter", "single", np.array([r["one"] for r in few])),
    ):
        p = np.array([r[key] for r in few])
        base = np.mean((hit.mean() - hit) ** 2)
        print(
            f"below 200 pairs, P({name}): reliability error {reliability(p, hit):.3f}, Brier {np.mean((p - hit) ** 2):.3f} (base rate {base:.3f})"
        )
    pit = np.array([r["pit"] for r in few])
    print(
        f"below 200 pairs, PIT with the population: mean {pit.mean():.3f} (0.5), standard deviation {pit.std():.3f} (0.289)",
        flush=True,
    )


def reliability(p: np.ndarray, hit: np.ndarray, bins: int = 5) -> float:
    """Return Σ share·|mean p − mean hit| over bins with equal numbers of streams."""
    parts = np.array_split(np.argsort(p), bins)
    return float(sum(x.size * abs(p[x].mean() - hit[x].mean()) for x in parts) / p.size)


if __name__ == "__main__":
    main(*(int(a) for a in sys.argv[1:3]), unknown="unknown" in sys.argv)
