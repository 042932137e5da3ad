"""Bright share of the time and number of states of made traces, with switches anywhere inside the bins.

    python benchmarks/emitters_trace.py [TRACES] [SEED]

Random telegraph of 400 and 60 counts a bin (excess noise 1.5), 3000 bins of 10 ms, mean bright dwell given in bins, dim
dwell half of it. Prints how often 68 and 95 % intervals of the bright share hold the share of time that was truly
bright, and of the law behind it.
"""

from __future__ import annotations

import sys
import time

import numpy as np

from matterscope import emitters
from matterscope.core.schema import measurement

BINS, BIN = 3000, 0.01


def telegraph(rng: np.random.Generator, dwell: float) -> np.ndarray:
    """Return the share of each bin that is bright; dwell times in bins."""
    number = int(3 * BINS / dwell) + 50
    times = np.empty(2 * number)
    first = int(rng.random() < 1 / 3)
    means = (dwell, 0.5 * dwell) if first == 0 else (0.5 * dwell, dwell)
    times[0::2], times[1::2] = (rng.exponential(m, number) for m in means)
    ends = np.concatenate([[0.0], np.cumsum(times)])
    bright = np.concatenate(
        [[0.0], np.cumsum(np.where(np.arange(2 * number) % 2 == first, times, 0.0))]
    )
    return np.diff(np.interp(np.arange(BINS + 1.0), ends, bright))


def main(traces: int = 40, seed: int = 1) -> None:
    print(
        "dwell bins | states found | stated − true share, coverage 68 / 95 % of the share; of the law 2/3 | CPU-s"
    )
    for dwell in (100.0, 20.0, 5.0, 2.0):
        rows, states, cpu = [], [], 0.0
        for index in range(traces):
            rng = np.random.default_rng([seed, int(10 * dwell), index])
            share = telegraph(rng, dwell)
            mean = 60.0 + 340.0 * share
            counts = rng.poisson(mean * rng.gamma(mean / 0.5, 0.5 / mean))
            at = (np.arange(BINS) + 0.5) * BIN
            trace = measurement(
                "trace",
                {"time": (at, "s")},
                {"counts": (("time",), counts.astype(float), "counts")},
            )
            begin = time.process_time()
            answer = emitters.trace(trace)
            cpu += time.process_time() - begin
            states.append(int(answer["states"].value))
            q = answer["bright_time_share"]
            if q.value is None:
                continue
            bands = [q.interval(v) for v in (0.68, 0.95)]
            rows.append(
                [
                    q.value - share.mean(),
                    *(b.low <= share.mean() <= b.high for b in bands),
                    *(b.low <= 2 / 3 <= b.high for b in bands),
                ]
            )
        r = np.array(rows, float).mean(axis=0)
        found = {n: states.count(n) for n in sorted(set(states))}
        print(
            f"{dwell:5.0f} | {found} | {r[0]:+.4f}, {r[1]:.2f} / {r[2]:.2f}; {r[3]:.2f} / {r[4]:.2f} | {cpu / traces:.2f}",
            flush=True,
        )


if __name__ == "__main__":
    main(*(int(a) for a in sys.argv[1:3]))
