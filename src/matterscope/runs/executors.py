"""How units are computed: in this process, in spawned processes, on a Dask cluster.

In: a pure unit function and a list of items. Out: results in index order, the same bytes whatever
the executor and the number of workers: every unit has its own generator and one thread.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

from matterscope.core.calls import Mapper, Progress, Unit, map_inline, silent
from matterscope.core.errors import ConfigError, MatterscopeError, require
from matterscope.core.random import generator

THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "NUMBA_NUM_THREADS",
)
EXECUTORS = ("inline", "processes", "dask")


class UnitError(MatterscopeError):
    """A unit of work failed twice; the index and the error are in the text."""


def limit_threads(threads: int = 1) -> None:
    """Fix the threads of BLAS, OpenMP, numba and torch for this process, before science is imported."""
    for name in THREAD_VARIABLES:
        os.environ[name] = str(threads)
    import sys

    if "numpy" in sys.modules:
        from threadpoolctl import threadpool_limits

        threadpool_limits(threads)
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.set_num_threads(threads)


def _work(unit: Unit, seed: int, stream: str, numbered: tuple[int, Any]) -> Any:
    index, item = numbered
    return unit(item, generator(seed, stream, index))


def map_processes(
    unit: Unit,
    items: Sequence[Any],
    *,
    seed: int,
    stream: str,
    progress: Progress = silent,
    workers: int = 2,
    threads: int = 1,
    arrived: Callable[[int, Any], None] | None = None,
) -> list[Any]:
    """Run units in spawned processes; a dead worker's unit is tried once more."""
    from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
    from concurrent.futures.process import BrokenProcessPool
    from multiprocessing import get_context

    results: dict[int, Any] = {}
    tries = dict.fromkeys(range(len(items)), 0)
    while len(results) < len(items):
        pending = [i for i in range(len(items)) if i not in results]
        with ProcessPoolExecutor(
            min(workers, len(pending)),
            mp_context=get_context("spawn"),
            initializer=limit_threads,
            initargs=(threads,),
        ) as pool:
            # a short queue keeps a broken pool from blaming units that had not started
            waiting = iter(pending)
            running: dict[Future[Any], int] = {}
            try:
                for index in waiting:
                    running[
                        pool.submit(partial(_work, unit, seed, stream), (index, items[index]))
                    ] = index
                    if len(running) < 2 * workers:
                        continue
                    _collect(
                        wait(running, return_when=FIRST_COMPLETED).done, running, results, arrived
                    )
                    progress(len(results), len(items), stream)
                while running:
                    _collect(
                        wait(running, return_when=FIRST_COMPLETED).done, running, results, arrived
                    )
                    progress(len(results), len(items), stream)
            except BrokenProcessPool as error:
                lost = [i for i in running.values() if i not in results]
                for index in lost:
                    tries[index] += 1
                worst = max(lost, key=lambda i: tries[i])
                if tries[worst] > 1:
                    raise UnitError(
                        f"unit {worst} of {stream} ended its worker twice",
                        hint="the machine may be out of memory: use fewer workers",
                    ) from error
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
    return [results[i] for i in range(len(items))]


def _collect(
    done: Any,
    running: dict[Any, int],
    results: dict[int, Any],
    arrived: Callable[[int, Any], None] | None,
) -> None:
    for future in sorted(done, key=lambda f: running[f]):
        value = future.result()
        index = running.pop(future)
        results[index] = value
        if arrived:
            arrived(index, value)


def map_dask(
    unit: Unit,
    items: Sequence[Any],
    *,
    seed: int,
    stream: str,
    progress: Progress = silent,
    client: Any,
    arrived: Callable[[int, Any], None] | None = None,
) -> list[Any]:
    """Run units on a Dask cluster; results are put in index order."""
    from dask.distributed import as_completed

    futures = client.map(
        partial(_work, unit, seed, stream), list(enumerate(items)), pure=False, retries=1
    )
    place = {future.key: i for i, future in enumerate(futures)}
    results: dict[int, Any] = {}
    for future, value in as_completed(futures, with_results=True):
        index = place[future.key]
        results[index] = value
        if arrived:
            arrived(index, value)
        progress(len(results), len(items), stream)
    return [results[i] for i in range(len(items))]


@contextmanager
def opened(
    name: str, *, workers: int = 0, threads: int = 1, scheduler: str = ""
) -> Iterator[Mapper]:
    """Yield the mapper called `name`; a local Dask cluster is started on loopback and stopped again.

    Parameters
    ----------
    name : str
        One of `EXECUTORS`.
    workers : int
        Number of processes; 0 takes one per core.
    scheduler : str
        Address of a running Dask scheduler; only in a network you trust.
    """
    if name not in EXECUTORS:
        raise ConfigError(
            "there is no such executor", got=name, expected="one of " + ", ".join(EXECUTORS)
        )
    count = (
        workers or len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else workers or os.cpu_count() or 1
    )
    if name == "inline":
        yield map_inline
    elif name == "processes":
        yield partial(map_processes, workers=count, threads=threads)
    else:
        require("distributed", "the dask executor")
        from dask.distributed import Client, LocalCluster

        if scheduler:
            with Client(scheduler) as client:
                yield partial(map_dask, client=client)
        else:
            # dashboard_address: the default listens on every network interface
            with (
                LocalCluster(
                    n_workers=count, threads_per_worker=1, dashboard_address=None, host="127.0.0.1"
                ) as cluster,
                Client(cluster) as client,
            ):
                client.run(limit_threads, threads)
                yield partial(map_dask, client=client)
