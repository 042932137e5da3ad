"""Rebuild the classifiers that ship with `scattering`: published box, beam stop 28 of 256.

In: nothing. Out: NPZ weights and JSON cards in the folder of shipped models (some CPU-minutes each).
"""

from __future__ import annotations

import sys
from pathlib import Path

from matterscope import scattering

HOME = Path(__file__).resolve().parents[1] / "src" / "matterscope" / "scattering" / "shipped"
POPULATIONS = {"speckle-equal": "fixed", "speckle-normal": "normal"}


def main() -> None:
    names = sys.argv[1:] or list(POPULATIONS)
    for name in names:
        answer = scattering.train(
            name=name, law=POPULATIONS[name], each=150, photons=(0.1, 20.0), seed=20, artifacts=HOME
        )
        sys.stdout.write(f"{name}: {answer.provenance['model']['score']}\n")


if __name__ == "__main__":
    main()
