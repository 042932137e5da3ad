"""Detection of emitters against peers, and coverage of the yield.

    python benchmarks/emitters_maps.py detection [PYTHON_WITH_PEERS]
    python benchmarks/emitters_maps.py others [MAPS] [SEED]
    python benchmarks/emitters_maps.py yield [ARRAYS]

Detection: 512 × 512 px, 400 sites of pitch 24 px, Poisson 0.8 emitters each, spots of 1.8 px; F1 over
occupied sites within 3 px. Peers (another environment, near their defaults): Laplacian of Gaussian of
scikit-image, trackpy, DAOStarFinder. Others: the same setting on maps with another pitch, spot, background, glow,
brightness and its scatter; also the share of false sites, which the setting allows to be 0.05. Yield: share of arrays whose 68, 90 and 95 % intervals hold ε.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from scipy.spatial import cKDTree

from matterscope.core.random import generator
from matterscope.emitters.made.twin import Design, make_array
from matterscope.emitters.sites.arrays import occupation, register
from matterscope.emitters.sites.detection import find_sites

PEER = """
import sys, time, warnings, numpy as np
warnings.filterwarnings("ignore")
folder = sys.argv[1]
def log(c):
    from skimage.feature import blob_log
    s = (c - np.median(c)) / (c.max() - np.median(c))
    found = blob_log(s, min_sigma=1, max_sigma=3, num_sigma=5, threshold=0.1)
    return found[:, [1, 0]]
def trackpy_(c):
    import trackpy
    f = trackpy.locate(c, 7, minmass=None)
    return f[["x", "y"]].to_numpy()
def dao(c):
    from photutils.detection import DAOStarFinder
    from astropy.stats import sigma_clipped_stats
    _, median, std = sigma_clipped_stats(c, sigma=3.0)
    t = DAOStarFinder(threshold=5 * std, fwhm=4.2)(c - median)
    if t is None: return np.zeros((0, 2))
    x = "xcentroid" if "xcentroid" in t.colnames else "x_centroid"
    return np.column_stack([t[x], t[x.replace("x", "y", 1)]])
import pathlib
for path in sorted(pathlib.Path(folder).glob("*.npy")):
    c = np.load(path).astype(float)
    for name, f in (("log", log), ("trackpy", trackpy_), ("dao", dao)):
        start = time.process_time()
        try: found = np.asarray(f(c), float).reshape(-1, 2)
        except Exception as error: print(name, error, file=sys.stderr); continue
        np.save(path.with_suffix(f".{name}.found"), np.vstack([found, [[-1e9, time.process_time() - start]]]))
"""


def score(found, truth, reach=3.0):
    if not len(found):
        return 0.0
    distance, index = cKDTree(truth).query(found)
    hits = len({i for d, i in zip(distance, index, strict=True) if d < reach})
    return 2 * hits / (len(found) + len(truth))


def detection(peer=""):
    print(
        "peak counts | ours F1, CPU-s | LoG | trackpy | DAOStarFinder (F1, CPU-s), mean of 6 maps"
    )
    for peak in (8, 15, 40, 150):
        rows, peers = [], {"log": [], "trackpy": [], "dao": []}
        with tempfile.TemporaryDirectory() as folder:
            arrays = [
                make_array(Design(peak=peak), np.random.default_rng(100 + s)) for s in range(6)
            ]
            for s, array in enumerate(arrays):
                np.save(Path(folder) / f"{s}.npy", array.counts)
            if peer:
                subprocess.run([peer, "-c", PEER, folder], check=True)
            for s, array in enumerate(arrays):
                truth = array.sites[array.sites["emitters"] > 0][["x", "y"]].to_numpy()
                start = time.process_time()
                found = find_sites(array.counts.astype(float))
                rows.append(
                    (score(found.sites[["x", "y"]].to_numpy(), truth), time.process_time() - start)
                )
                for name, kept in peers.items():
                    path = Path(folder) / f"{s}.{name}.found.npy"
                    if path.exists():
                        got = np.load(path)
                        kept.append((score(got[:-1], truth), got[-1, 1]))
        text = " | ".join(
            f"{np.mean(v, axis=0)[0]:.2f}, {np.mean(v, axis=0)[1]:.2f}" if v else "-"
            for v in peers.values()
        )
        print(
            f"{peak:4d} | {np.mean(rows, axis=0)[0]:.3f}, {np.mean(rows, axis=0)[1]:.2f} | {text}",
            flush=True,
        )


OTHERS = {
    # pitch px, spot px, background, glow, counts of a spot, scatter of brightness
    "dense, sharp": (14.0, 1.2, 5.0, 3.0, 15.0, 0.25),
    "dense, strong glow": (16.0, 1.5, 10.0, 60.0, 30.0, 0.25),
    "dark, few counts": (20.0, 1.5, 1.0, 1.0, 6.0, 0.25),
    "broad spots, bright background": (32.0, 3.2, 120.0, 60.0, 40.0, 0.25),
    "broad spots, few counts": (36.0, 3.0, 10.0, 5.0, 6.0, 0.25),
    "uneven brightness": (24.0, 1.8, 20.0, 10.0, 30.0, 0.8),
    "bright": (24.0, 2.4, 300.0, 400.0, 800.0, 0.25),
}


def others(maps=6, seed=1):
    print("map | F1, precision, recall; false sites stated; CPU-s")
    for name, (pitch, spot, background, hump, peak, scatter) in OTHERS.items():
        rows = []
        for index in range(maps):
            design = Design(
                pitch=pitch,
                spot=spot,
                background=background,
                hump=hump,
                peak=peak,
                brightness_scatter=scatter,
            )
            array = make_array(design, generator(seed, f"others {name}", index))
            truth = array.sites[array.sites["emitters"] > 0][["x", "y"]].to_numpy()
            start = time.process_time()
            found = find_sites(array.counts.astype(float)).sites
            cpu = time.process_time() - start
            points = found[["x", "y"]].to_numpy()
            distance, index_of = cKDTree(truth).query(points)
            hits = len(set(index_of[distance < 1.7 * spot]))
            stated = float((1.0 - found["probability"]).mean())
            both = score(points, truth, 1.7 * spot)
            rows.append([both, hits / len(points), hits / len(truth), stated, cpu])
        f1, precision, recall, stated, cpu = np.mean(rows, axis=0)
        print(
            f"{name}: {f1:.3f}, {precision:.3f}, {recall:.3f}; {stated:.3f}; {cpu:.2f}", flush=True
        )


def yields(arrays=300):
    levels = (0.68, 0.90, 0.95)
    inside, bias, found_all = np.zeros(3), [], 0
    for s in range(arrays):
        rng = generator(17, "yield", s)
        mean, peak = (
            float(np.exp(rng.uniform(np.log(0.3), np.log(2.0)))),
            float(np.exp(rng.uniform(np.log(15), np.log(150)))),
        )
        design = Design(
            peak=peak, emitters_per_site=mean, rotation=float(rng.uniform(-10, 10)), margin=60.0
        )
        array = make_array(design, rng)
        found = find_sites(array.counts.astype(float))
        sites = register(found.sites[["x", "y"]].to_numpy(), array.counts.shape, 3.0)
        if sites is None:
            continue
        found_all += 1
        draws = occupation(array.counts.astype(float), found, sites, 0.0, rng).law.mean_number
        for k, level in enumerate(levels):
            low, high = np.quantile(draws, [0.5 - level / 2, 0.5 + level / 2])
            inside[k] += low < mean < high
        bias.append((np.median(draws) - mean) / draws.std())
        if (s + 1) % 20 == 0:
            print(
                f"{found_all} of {s + 1} arrays registered; coverage of 68/90/95 %:",
                np.round(inside / found_all, 3),
                f"mean pull {np.mean(bias):+.2f}, scatter {np.std(bias):.2f}",
                flush=True,
            )


if __name__ == "__main__":
    if sys.argv[1:2] == ["others"]:
        others(*(int(a) for a in sys.argv[2:4]))
    elif sys.argv[1:2] == ["yield"]:
        yields(int(sys.argv[2]) if len(sys.argv) > 2 else 300)
    else:
        detection(sys.argv[2] if len(sys.argv) > 2 else "")
