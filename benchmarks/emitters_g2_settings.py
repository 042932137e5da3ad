"""Bias and coverage of `emitters g2` far from the benchmark stream: one row per kind of stream.

python benchmarks/emitters_g2_settings.py [streams per row] [seed] [row, row …]

Every stream goes through the whole verb without hints, but for the jitter of the detectors. Rows: few
counts, strong background, long and short recovery, unequal detectors, strong bunching, none, two unequal
emitters, blinking, dead time, a cable of 40 ns; pulsed light with few and many counts, blinking, two emitters.
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass, field

import numpy as np

from matterscope import emitters
from matterscope.emitters.made.sources import Detection, Excitation, simulate_site
from matterscope.physics.rates import ThreeLevels

HBN = ThreeLevels(5e7, 3.3e8, 2e6, 5e5)


@dataclass(frozen=True)
class Row:
    """One kind of stream."""

    levels: ThreeLevels = HBN
    brightness: tuple[float, ...] = (1.0,)
    rate: float = 1.4e6
    background: float = 0.05
    photons: float = 3e5
    detection: Detection = field(default_factory=Detection)
    excitation: Excitation = field(default_factory=Excitation)


PULSES = Excitation(12.5e-9, 0.2)
SLOW = Excitation(50e-9, 0.2, 0.02, 0.02)
DOT = ThreeLevels(1e9, 1e9)
ROWS = {
    "benchmark": Row(),
    "30 k photons": Row(photons=3e4),
    "100 kcounts/s, 300 k photons": Row(rate=1e5),
    "background 40 %": Row(background=0.4),
    "recovery 12 ns": Row(ThreeLevels(2e7, 7e7, 4e6, 2e6), rate=6e5),
    "recovery 0.9 ns": Row(ThreeLevels(3e8, 8e8, 2e6, 5e5), photons=6e5),
    "detectors 85 : 15": Row(detection=Detection(balance=0.85)),
    "bunching 6": Row(ThreeLevels(3e8, 3e8, 3e6, 2.5e5)),
    "no dark state": Row(ThreeLevels(5e7, 3.3e8)),
    "two emitters 2 : 1": Row(brightness=(1.0, 0.5), rate=1e6),
    "blinking, 5 ms": Row(excitation=Excitation(blink_on=5e-3, blink_off=3e-3)),
    "dead time 80 ns": Row(detection=Detection(dead_time=80e-9)),
    "cable 40 ns": Row(detection=Detection(delay=40e-9)),
    "pulsed": Row(DOT, excitation=PULSES, rate=3e5, photons=2e5),
    "pulsed, few counts": Row(DOT, excitation=PULSES, rate=1e5, photons=3e4),
    "pulsed, background 30 %": Row(DOT, excitation=PULSES, rate=3e5, background=0.3, photons=2e5),
    "pulsed, two emitters": Row(DOT, (1.0, 1.0), excitation=PULSES, rate=2e5, photons=2e5),
    "pulsed, blinking 20 ms": Row(DOT, excitation=SLOW, rate=2e5, photons=2e5),
}


def truth_of(row: Row) -> float:
    """Return g2(0) before any correction, 1 − ρ²(1 − g2 of the emitters alone).

    Under continuous light it stands against the mean rate, so that ρ is the share of emitters in all
    counts, dark times included; pulsed peaks are read against the envelope of blinking, where ρ is that
    of the bright times.
    """
    light = row.rate * np.array(row.brightness)
    noise = light.sum() * row.background / (1.0 - row.background)
    ideal = 1.0 - float((light**2).sum()) / float(light.sum()) ** 2
    lit = light.sum() * (1.0 if row.excitation.period else row.excitation.duty)
    return 1.0 - (lit / (lit + noise)) ** 2 * (1.0 - ideal)


def main(streams: int = 60, seed: int = 1, wanted: tuple[str, ...] = ()) -> None:
    print("row: truth, mean g2(0) (bias ± error); coverage 68 / 95 %; verdicts; CPU-s a stream")
    for number, (name, row) in enumerate(ROWS.items()):
        if wanted and not any(w in name for w in wanted):
            continue
        truth, found, cpu = truth_of(row), [], 0.0
        light = row.rate * sum(row.brightness)
        noise = light * row.background / (1.0 - row.background)
        for index in range(streams):
            stream = simulate_site(
                row.brightness,
                row.photons / ((light + noise) * row.excitation.duty),
                np.random.default_rng([seed, number, index]),
                rate=row.rate,
                # while the emitter is dark the laser's background stays
                background_rate=noise,
                levels=row.levels,
                detection=row.detection,
                excitation=row.excitation,
            )
            begin = time.process_time()
            answer = emitters.g2(stream, jitter=353.2, longest_lag=0.0)
            cpu += time.process_time() - begin
            found.append(answer)
        print(f"{name}: {summary(found, truth)}; {cpu / streams:.2f}", flush=True)


def summary(answers: list, truth: float) -> str:
    values, inside, verdicts = [], [], {}
    for a in answers:
        verdict = str(a["verdict"].value)
        verdicts[verdict] = verdicts.get(verdict, 0) + 1
        g2 = a["g2_zero"]
        if g2.value is None:
            continue
        values.append(g2.value)
        inside.append(
            [
                (i.low or 0.0) <= truth <= (9.0 if i.high is None else i.high)
                for i in (g2.interval(0.68), g2.interval(0.95))
            ]
        )
    if len(values) < 2:
        return f"{truth:.4f}; {verdicts}; no values"
    v, cover = np.array(values), np.mean(inside, 0)
    modes = {str(a.diagnostics.get("mode", "no dip")) for a in answers}
    return (
        f"{truth:.4f}, {v.mean():.4f} ({v.mean() - truth:+.4f} ± {v.std(ddof=1) / np.sqrt(v.size):.4f}); "
        f"{cover[0]:.2f} / {cover[1]:.2f}; {verdicts}; {sorted(modes)}"
    )


if __name__ == "__main__":
    main(*(int(a) for a in sys.argv[1:3]), wanted=tuple(sys.argv[3:]))
