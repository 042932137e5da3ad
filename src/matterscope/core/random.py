"""Random streams: every unit of work has its own generator, named, never shared.

In: a run seed, the name of a stream and the index of a unit. Out: a numpy Generator.
The same three give the same numbers whatever the number of workers.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np


def stream_key(name: str) -> int:
    """Return the 32-bit key of a stream's name (from sha256, never from `hash`).

    Examples
    --------
    >>> stream_key("photons") == stream_key("photons") != stream_key("noise")
    True
    """
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big")


def generator(seed: int, stream: str, index: int = 0) -> np.random.Generator:
    """Return the generator of unit `index` in `stream` of the run with `seed`.

    Examples
    --------
    >>> a, b = generator(0, "ions", 3), generator(0, "ions", 3)
    >>> bool(a.random() == b.random())
    True
    """
    import numpy as np

    sequence = np.random.SeedSequence(seed, spawn_key=(stream_key(stream), index))
    return np.random.Generator(np.random.PCG64(sequence))
