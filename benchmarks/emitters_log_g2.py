"""The logarithmic g2 against an exact count of every pair, on the benchmark emitter.

python benchmarks/emitters_log_g2.py [seconds] [seed]

Laurence, Fore and Huser (Opt. Lett. 31, 829, 2006): the pairs with a lag in [low, high) are counted one by one
and divided by the windows that both detectors saw. The hybrid does so up to some microseconds and
correlates binned counts above; the table is their difference on the same lags.
"""

from __future__ import annotations

import sys
import time

import numpy as np

from matterscope.emitters.made.sources import Detection, simulate_stream
from matterscope.emitters.photons.correlation import log_correlation
from matterscope.physics.rates import ThreeLevels


def laurence(a: np.ndarray, b: np.ndarray, low: float, high: float) -> tuple[float, float]:
    """Return (g2, its counting error) of pairs b − a in [low, high) ps."""
    begin, end = min(a[0], b[0]), max(a[-1], b[-1])
    inside = a[a <= end - high]
    pairs = int(
        (np.searchsorted(b, inside + high, "left") - np.searchsorted(b, inside + low, "left")).sum()
    )
    middle = 0.5 * (low + high)
    left = np.count_nonzero(a <= end - high)
    right = np.count_nonzero(b >= begin + middle)
    mean = left * right * (high - low) / (end - begin - middle)
    return pairs / mean, np.sqrt(max(pairs, 1)) / mean


def main(seconds: float = 1.0, seed: int = 1) -> None:
    m = simulate_stream(
        [ThreeLevels(5e7, 3.3e8, 2e6, 5e5)],
        seconds,
        np.random.default_rng(seed),
        detection=Detection(),
    )
    time_ps, channel = m["time"].values, m["channel"].values
    a, b = time_ps[channel == 1], time_ps[channel == 2]
    begin = time.process_time()
    found = log_correlation(a, b, 1e12)
    print(f"{time_ps.size:,} photons, hybrid {time.process_time() - begin:.2f} CPU-s")
    print("lag from        to (ps)        hybrid    Laurence   difference   counting error")
    worst = {"below": 0.0, "above": 0.0}
    for k in range(20, found.lag.size, 5):
        low, high = float(found.low[k]), float(found.high[k])
        if found.counts[k] < 1e4:
            continue
        exact, error = laurence(a, b, low, high)
        gap = float(found.g2[k]) - exact
        side = "below" if high - low < 0.2 * low and low < 8e6 else "above"
        worst[side] = max(worst[side], abs(gap))
        print(
            f"{low:12.4g} {high:14.4g} {found.g2[k]:12.5f} {exact:10.5f} {gap:+12.2e} {error:12.1e}"
        )
    print(f"largest difference: below 8 µs {worst['below']:.1e}, above {worst['above']:.1e}")


if __name__ == "__main__":
    main(*(float(x) for x in sys.argv[1:2]), *(int(x) for x in sys.argv[2:3]))
