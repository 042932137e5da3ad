"""A thousand million photons through g2, block by block: memory and time.

python benchmarks/emitters_streaming.py [millions of photons]

The stream is a block of one million events of the benchmark emitter, repeated with the clock running on.
"""

from __future__ import annotations

import resource
import sys
import time

import numpy as np

from matterscope.core.calls import Call
from matterscope.core.estimates import InputRef
from matterscope.emitters.made.sources import Detection, simulate_stream
from matterscope.emitters.photons import antibunching
from matterscope.emitters.photons.coincidences import Evidence, count_pairs
from matterscope.emitters.photons.streams import Stream, choose_pair, survey
from matterscope.emitters.settings import G2Settings
from matterscope.physics.rates import ThreeLevels


def main(millions: int = 1000) -> None:
    m = simulate_stream(
        [ThreeLevels(5e7, 3.3e8, 2e6, 5e5)], 0.67, np.random.default_rng(0), detection=Detection()
    )
    t, c = m["time"].values[:1_000_000], m["channel"].values[:1_000_000]
    period = int(t[-1] - t[0]) + 1_000_000

    def blocks():
        for i in range(millions):
            yield t + i * period, c

    stream = Stream("synthetic", blocks)
    begin = time.process_time()
    found = survey(stream)
    pair = choose_pair(found, (), "synthetic")
    histogram = count_pairs(stream, pair, -500_000, 500_000)
    evidence = Evidence(histogram, False, "stream", found, pair, stream)
    answer = antibunching.answer_evidence(InputRef("synthetic"), evidence, G2Settings(), Call())
    spent = time.process_time() - begin
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    q = answer["g2_zero_raw"]
    print(
        f"{found.events:,} photons: {spent:.1f} CPU-s, peak {peak:.0f} MB, g2(0) {q.value:.4f} ± {q.sigma}"
    )


if __name__ == "__main__":
    main(*(int(a) for a in sys.argv[1:2]))
