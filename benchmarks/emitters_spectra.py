"""Cosmic rays and line fits on simulated spectra with known truth.

    python benchmarks/emitters_spectra.py [cosmics|lines] [SEED] [REPEATS]

Prints recall and false removals of cosmic rays, and scatter of line centre and width against the
Cramér–Rao bound, with the coverage of their intervals.
"""

from __future__ import annotations

import numpy as np
from scipy.ndimage import binary_dilation

from matterscope.core.units import HC
from matterscope.emitters.lines.cosmics import NARROWEST, find_cosmics
from matterscope.emitters.lines.zero_phonon import Light, edges_of, fit_line, zero_phonon_share
from matterscope.emitters.made.twin import expected_spectrum, spectrum_axis, spectrum_frames


def jumping(rng, frames=12, offset=600.0):
    axis = spectrum_axis(553, 787, 1340)
    place = np.cumsum(rng.random(frames) < 0.25)
    centres = 2.0 + rng.normal(0, 0.006, place.max() + 1)
    photons = rng.uniform(0.3, 1, frames) * 10 ** rng.uniform(3.5, 5)
    return np.stack(
        [
            expected_spectrum(
                axis,
                centres[place[f]],
                1e-5,
                0.3,
                photons[f],
                instrument=1.5 * 0.175,
                offset=offset,
            )
            for f in range(frames)
        ]
    )


def cosmics(seed=11, repeats=150):
    for pixels in (NARROWEST, 1.5):
        print(f"response taken as {pixels} px (the frames are drawn with 1.5)")
        search(np.random.default_rng(seed), repeats, pixels)


def search(rng, repeats, pixels):
    hit = {1: [0, 0], 2: [0, 0]}
    plain, wrong, clean, shift = [0, 0], 0, 0, []
    for _ in range(repeats):
        expected = jumping(rng)
        counts, struck = spectrum_frames(expected, rng, cosmics=2.0)
        mask, _, _ = find_cosmics(counts, pixels)
        median = counts - np.median(counts, axis=0) > 12 * np.sqrt(
            64 + np.maximum(expected - 600, 0)
        )
        near = binary_dilation(struck, np.ones((1, 5)))
        wrong += int((mask & ~near).sum())
        plain[0] += int((median & ~near).sum())
        clean += int((~near).sum())
        for f in range(len(counts)):
            runs = np.split(
                np.flatnonzero(struck[f]),
                np.flatnonzero(np.diff(np.flatnonzero(struck[f])) > 1) + 1,
            )
            for run in runs:
                if run.size:
                    kind = 1 if run.size == 1 else 2
                    hit[kind][0] += bool(mask[f, run].any())
                    hit[kind][1] += 1
            line = int(np.argmax(expected[f]))
            part = slice(line - 3, line + 4)
            if not near[f, part].any():
                lost = (counts[f, part] - 600)[mask[f, part]].sum()
                shift.append(lost / max((counts[f, part] - 600).sum(), 1))
    for kind, (found, total) in hit.items():
        print(
            f"strikes on {'one pixel' if kind == 1 else 'several pixels'}: recall {found}/{total} = {found / total:.4f}"
        )
    print(
        f"clean pixels altered: {wrong} of {clean} = {wrong / clean:.2e}; median over frames with a 12 σ cut: {plain[0]}"
    )
    print(
        f"share of the line's area lost, worst frame: {np.max(shift):.4f}, mean {np.mean(shift):.2e}"
    )


def lines(seed=5, repeats=200):
    rng = np.random.default_rng(seed)
    axis = spectrum_axis()
    edges = HC / edges_of(axis)[::-1]
    edges = np.sort(edges)
    print(
        "width meV, photons | centre scatter/CRB, width scatter/CRB | coverage 68 % centre, width; 95 % centre, width; DW bias, 95 % coverage"
    )
    for width, photons in ((0.0252, 2e4), (0.0252, 2e5), (0.005, 2e4), (0.0012, 2e4)):
        rows = []
        for _ in range(repeats):
            mean = expected_spectrum(axis, 2.0989, width, 0.45, photons)
            counts = (rng.poisson(mean - 600) + 600 + rng.normal(0, 8, axis.size))[::-1]
            light = Light(edges, counts, 8.0, 600.0, 1.0, np.ones(axis.size, bool))
            line = fit_line(light, 0.3 * 2.0989**2 / HC, rng)
            share = zero_phonon_share(light, line, rng)
            quantile = [
                np.quantile(v, [0.025, 0.16, 0.84, 0.975])
                for v in (line.centre, line.width, share.debye_waller)
            ]
            rows.append(
                [
                    np.median(line.centre),
                    np.median(line.width),
                    np.median(share.debye_waller),
                    *np.concatenate(quantile),
                ]
            )
        r = np.array(rows)
        bound = crb(edges, width, photons)
        inside = [
            np.mean((r[:, a] < t) & (t < r[:, b]))
            for a, b, t in (
                (4, 5, 2.0989),
                (8, 9, width),
                (3, 6, 2.0989),
                (7, 10, width),
                (11, 14, 0.45),
            )
        ]
        print(
            f"{1e3 * width:5.1f} {photons:.0e} | {r[:, 0].std() / bound[0]:.2f} {r[:, 1].std() / bound[1]:.2f} "
            f"(bias {(r[:, 0].mean() - 2.0989) / bound[0]:+.2f} {(r[:, 1].mean() - width) / bound[1]:+.2f} CRB) | "
            f"{inside[0]:.2f} {inside[1]:.2f}; {inside[2]:.2f} {inside[3]:.2f}; {r[:, 2].mean() - 0.45:+.4f} {inside[4]:.2f}",
            flush=True,
        )


def crb(edges, width, photons):
    """Bound of centre and width with Gaussian width, area and straight base unknown, in the fit's window."""
    from matterscope.physics.lineshapes import FWHM_OF_SIGMA, pixel_voigt

    energy = 0.5 * (edges[1:] + edges[:-1])
    window = (energy > 2.0989 - min(6 * width, 0.11)) & (energy < 2.0989 + 6 * width)
    e = edges[np.flatnonzero(window)[0] : np.flatnonzero(window)[-1] + 2]
    area, sigma = 0.45 * photons, 0.3 * 2.0989**2 / HC / FWHM_OF_SIGMA
    x = 0.5 * (e[1:] + e[:-1]) - 2.0989

    def mean(p):
        return p[2] * pixel_voigt(e, 2.0989 + p[0], sigma, p[1]) + p[3] + p[4] * x

    p = np.array([0.0, width, area, 1.0, 0.0])
    steps = np.array([1e-3 * width, 1e-3 * width, 1.0, 1.0, 1.0])
    slopes = np.stack(
        [(mean(p + d) - mean(p - d)) / (2 * s) for s, d in zip(steps, np.diag(steps), strict=True)]
    )
    information = (slopes / (mean(p) + 64)) @ slopes.T
    return np.sqrt(np.diag(np.linalg.inv(information)))[:2]


if __name__ == "__main__":
    import sys

    wanted, numbers = sys.argv[1:2], [int(a) for a in sys.argv[2:4]]
    for name, part in (("cosmics", cosmics), ("lines", lines)):
        if not wanted or wanted == [name]:
            part(*numbers)
