"""Run the stages of FEFF10 in a folder; a program of its own, never imported by the package.

In: a folder with ``feff.inp`` and the names of the stages. Out: FEFF's files there; exit status 0.
FEFF's Fortran keeps state between calls and prints to stdout, so every stage has its own process:
forked where the system can (the interpreter then starts once per spectrum instead of nine times),
and started afresh by feff10's own pipeline where it cannot.
"""

from __future__ import annotations

import os
import signal
import sys

PDEATHSIG = 1
"""Linux: the signal that a process gets when its parent ends."""


def end_with_parent() -> None:
    """Ask Linux to end this process with the one that started it: a killed builder leaves no FEFF behind."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(PDEATHSIG, signal.SIGKILL)


def forked(folder: str, stages: list[str]) -> int:
    """Run each stage in a fork of this process; return the first status that is not 0."""
    from feff10._feff10 import _worker_init

    for stage in stages:
        child = os.fork()
        if child == 0:
            end_with_parent()
            os.environ["FEFF10_WORKER_STAGE"] = stage
            os.environ["FEFF10_WORKER_DIR"] = folder
            _worker_init()  # runs the stage and leaves the process
            os._exit(71)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if status != 0:
            sys.stderr.write(f"stage {stage} ended with status {status}\n")
            return 1
    return 0


def started(folder: str, stages: list[str]) -> int:
    """Run the stages through feff10's public pipeline, one fresh interpreter each."""
    import feff10

    given = feff10.FeffInput.from_file(os.path.join(folder, "feff.inp"))  # noqa: PTH118
    chosen = [feff10.Stage.from_name(stage) for stage in stages]
    feff10.FeffPipeline(feff10.FeffConfig(folder, given, stages=chosen)).run()
    return 0


if __name__ == "__main__":
    end_with_parent()
    run = forked if hasattr(os, "fork") else started
    raise SystemExit(run(sys.argv[1], sys.argv[2:]))
