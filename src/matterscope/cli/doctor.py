"""``matterscope doctor``: versions, extras, folders, threads; what is missing and how to get it."""

from __future__ import annotations

from matterscope.cli.errors import ANSWERED


def doctor() -> int:
    """Say what is installed, where things are, and what is missing."""
    import os
    import platform
    import shutil
    from importlib.metadata import PackageNotFoundError, version
    from importlib.util import find_spec

    from matterscope import __version__
    from matterscope.core.errors import EXTRA_OF_PACKAGE
    from matterscope.core.models import models_folder
    from matterscope.runs.store import default_root

    print(f"matterscope {__version__} · Python {platform.python_version()} · {platform.platform()}")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    print(f"cores {cores} · threads per process 1")
    root = default_root()
    place = next(p for p in (root, *root.parents) if p.exists())
    writable = (
        "writable"
        if os.access(place, os.W_OK)
        else "NOT writable: set MATTERSCOPE_RUNS or give --store"
    )
    print(f"run store {root} · {writable} · {shutil.disk_usage(place).free / 1e9:.0f} GB free")
    print(f"trained models {models_folder()}")
    print(f"data folder {os.environ.get('MATTERSCOPE_DATA', 'not set (MATTERSCOPE_DATA)')}")
    for name in ("numpy", "scipy", "pandas", "xarray", "scikit-learn", "numba", "iminuit"):
        try:
            print(f"  {name} {version(name)}")
        except PackageNotFoundError:
            print(f"  {name} MISSING: pip install {name}")
    extras = sorted(set(EXTRA_OF_PACKAGE.values()))
    for extra in extras:
        absent = [p for p, e in EXTRA_OF_PACKAGE.items() if e == extra and find_spec(p) is None]
        print(
            f"extra {extra}: "
            + (
                f"missing {', '.join(absent)}; pip install 'matterscope[{extra}]'"
                if absent
                else "installed"
            )
        )
    return ANSWERED
