"""Bright share, dwell times and number of states of made traces, with switches anywhere inside the bins.

    python benchmarks/emitters_trace.py [TRACES] [SEED]

Random telegraph of 400 and 60 counts a bin (excess noise 1.5), 3000 bins of 10 ms, mean bright dwell given in bins, dim
dwell half of it. Prints how often the 68 and 95 % intervals hold the law behind the recording: the bright share 2/3 and
both mean dwell times. The last row draws dwells from a gamma law of shape 1/3, whose variance is three times that of
exponential ones.
"""

from __future__ import annotations

import sys
import time

import numpy as np

from matterscope import emitters
from matterscope.core.schema import measurement

BINS, BIN = 3000, 0.01


def telegraph(rng: np.random.Generator, dwell: float, shape: float = 1.0) -> np.ndarray:
    """Return the share of each bin that is bright; dwell times in bins, gamma of `shape`."""
    number = int(3 * BINS / dwell) + 50
    times = np.empty(2 * number)
    first = int(rng.random() < 1 / 3)
    means = (dwell, 0.5 * dwell) if first == 0 else (0.5 * dwell, dwell)
    times[0::2], times[1::2] = (rng.gamma(shape, m / shape, number) for m in means)
    ends = np.concatenate([[0.0], np.cumsum(times)])
    bright = np.concatenate(
        [[0.0], np.cumsum(np.where(np.arange(2 * number) % 2 == first, times, 0.0))]
    )
    return np.diff(np.interp(np.arange(BINS + 1.0), ends, bright))


def holds(quantity, truth):
    """Return whether the 68 and 95 % intervals hold a truth."""
    bands = [quantity.interval(v) for v in (0.68, 0.95)]
    return [bool(b.low <= truth <= b.high) for b in bands]


def main(traces: int = 40, seed: int = 1) -> None:
    print("dwell bins | states | stated − true share | 68 / 95 %: share, bright dwell, dim dwell")
    for dwell, shape in (
        (600.0, 1.0),
        (100.0, 1.0),
        (20.0, 1.0),
        (5.0, 1.0),
        (2.0, 1.0),
        (20.0, 1 / 3),
    ):
        gaps, rows, states, start = [], [], [], time.process_time()
        for index in range(traces):
            rng = np.random.default_rng([seed, int(10 * dwell), int(10 * shape), index])
            share = telegraph(rng, dwell, shape)
            mean = 60.0 + 340.0 * share
            counts = rng.poisson(mean * rng.gamma(mean / 0.5, 0.5 / mean))
            at = (np.arange(BINS) + 0.5) * BIN
            trace = measurement(
                "trace",
                {"time": (at, "s")},
                {"counts": (("time",), counts.astype(float), "counts")},
            )
            answer = emitters.trace(trace)
            states.append(int(answer["states"].value))
            if "bright_time_share" not in answer.quantities:
                continue
            gaps.append(answer["bright_time_share"].value - share.mean())
            if not answer["bright_dwell_time"].intervals:
                continue
            truths = {
                "bright_time_share": 2 / 3,
                "bright_dwell_time": dwell * BIN,
                "dim_dwell_time": 0.5 * dwell * BIN,
            }
            rows.append([holds(answer[n], v) for n, v in truths.items()])
        found = {n: states.count(n) for n in sorted(set(states))}
        inside = "; ".join(f"{a:.2f} / {b:.2f}" for a, b in np.mean(rows, axis=0))
        cpu = (time.process_time() - start) / traces
        print(
            f"{dwell:4.0f} ({shape:.2f}) | {found} | {np.mean(gaps):+.4f} | {len(rows)}: {inside} | {cpu:.2f} CPU-s",
            flush=True,
        )


if __name__ == "__main__":
    main(*(int(a) for a in sys.argv[1:3]))
