"""A call: everything a verb needs besides its inputs and settings.

In: seed, level, an executor and a progress line, given by whoever calls. Out: random streams, units
of work that are computed once, and words on progress. Verbs get a `Call`; they never see a store.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from matterscope.core.estimates import LEVELS, InputRef
from matterscope.core.random import generator

if TYPE_CHECKING:
    import numpy as np

Unit = Callable[[Any, "np.random.Generator"], Any]
"""A pure function of (item, random generator), importable by name; returns JSON data and arrays."""


class Mapper(Protocol):
    """How units are executed: in place, in processes, on a cluster; results in index order."""

    def __call__(
        self, unit: Unit, items: Sequence[Any], *, seed: int, stream: str, progress: Progress
    ) -> list[Any]:
        """Return the results of `unit` over `items`, in index order."""


class Progress(Protocol):
    """Words and numbers on how far the work is."""

    def __call__(self, done: int, total: int, what: str) -> None:
        """Report that `done` of `total` are finished."""


def silent(done: int, total: int, what: str) -> None:
    """Report progress to nobody."""


def map_inline(
    unit: Unit, items: Sequence[Any], *, seed: int, stream: str, progress: Progress = silent
) -> list[Any]:
    """Run units one after the other in this process; the reference for every other executor."""
    results = []
    for index, item in enumerate(items):
        results.append(unit(item, generator(seed, stream, index)))
        progress(index + 1, len(items), stream)
    return results


@dataclass(frozen=True)
class Input:
    """One input of a verb: a file with a selector, or a measurement already in memory.

    ``scan.prj:"4.3 V"`` is the path scan.prj with the selector ``4.3 V``.
    """

    source: str
    selector: str = ""
    path: Path | None = None
    data: Any = None
    sha256: str = ""

    @property
    def ref(self) -> InputRef:
        """What an estimate says about its input."""
        return InputRef(self.source, self.selector, self.sha256)


@dataclass
class Call:
    """Seed, level, executor and progress of one call."""

    seed: int = 0
    levels: tuple[float, ...] = LEVELS
    mapper: Mapper = map_inline
    progress: Progress = silent
    artifacts: Path | None = None
    """Folder for files a verb makes for the user (models, streams, HDF5); None: a new one under the
    system's folder for temporary files, made when it is first needed and left to the user."""

    def rng(self, stream: str, index: int = 0) -> np.random.Generator:
        """Return the named random stream of this call."""
        return generator(self.seed, stream, index)

    def map(self, unit: Unit, items: Sequence[Any], stream: str) -> list[Any]:
        """Run `unit` over `items` with the caller's executor; each unit has its own generator."""
        return self.mapper(unit, items, seed=self.seed, stream=stream, progress=self.progress)

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """Yield a folder that is removed afterwards."""
        with tempfile.TemporaryDirectory(prefix="matterscope-") as folder:
            yield Path(folder)

    def artifact(self, name: str) -> Path:
        """Return the path at which the verb writes the file `name` for the user."""
        if self.artifacts is None:
            self.artifacts = Path(tempfile.mkdtemp(prefix="matterscope-"))
        self.artifacts.mkdir(parents=True, exist_ok=True)
        return self.artifacts / name
