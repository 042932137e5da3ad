"""``matterscope demo``: the main job on data that the project made."""

from __future__ import annotations


def demo() -> int:
    """Run the main job."""
    return 0
