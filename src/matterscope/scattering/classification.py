"""Trained statistics: the posterior of a shipped or trained classifier, where it applies.

In: a solved frame. Out: posteriors over N by name; empty where no model fits the set-up.
"""

from __future__ import annotations

from typing import Any


def shares_of_trained(solution: Any) -> dict[str, Any]:
    """Return the posteriors of the trained classifiers that apply to this pattern."""
    return {}
