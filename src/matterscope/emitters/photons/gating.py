"""A stream by its blinking states: which stretches are bright, and the stream of those alone.

In: a stream. Out: stretches of each state found without a threshold, and a `Stream` of one state for
lags that are short against its stretches.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from matterscope.core.errors import DataError
from matterscope.emitters.photons.hidden_states import HiddenStates, bright_state, choose_states
from matterscope.emitters.photons.streams import Blocks, Ints, Stream, joined_counts

LEAST_COUNTS = 20.0
"""Mean counts per bin below which the levels cannot be told apart bin by bin."""


@dataclass(frozen=True)
class Gate:
    """Stretches of one state: `starts` and `stops`, ps, of times from the first event on."""

    name: str
    starts: Ints
    stops: Ints
    share: float
    """Share of the recording."""
    rate: float
    """Mean rate of its levels, counts/s."""

    def inside(self, time: Ints) -> NDArray[np.bool_]:
        """Return which times lie in the stretches."""
        index = np.searchsorted(self.starts, time, "right") - 1
        found = index >= 0
        found[found] = time[found] < self.stops[index[found]]
        return np.asarray(found)


def rate_steps(stream: Stream, step: int) -> tuple[NDArray[np.int64], int]:
    """Return counts of all inputs in whole steps of `step` ps, and the time of the first event."""
    parts: list[tuple[int, NDArray[np.int64]]] = []
    first = last = None
    for time, channel in stream.blocks():
        inputs = time[channel > 0]
        if not inputs.size:
            continue
        first = int(inputs[0]) if first is None else first
        last = int(inputs[-1])
        bins = (inputs - first) // step
        parts.append((int(bins[0]), np.bincount(bins - bins[0])))
    if first is None or last is None:
        raise DataError("the stream holds no events", where=stream.name, got=0)
    return joined_counts(parts, max(int((last - first) // step), 1)), first


def find_gates(stream: Stream, bin_ms: float) -> list[Gate]:
    """Return the bright and the dim stretches of a stream, found by a hidden Markov model.

    Raises
    ------
    DataError
        The bins hold too few counts, or one level explains them all.
    """
    step = round(bin_ms * 1e9)
    counts, first = rate_steps(stream, step)
    if counts.size < 20 or counts.mean() < LEAST_COUNTS:
        raise DataError(
            "the states of this stream cannot be told apart bin by bin",
            where=stream.name,
            got=f"{counts.size} bins of {bin_ms:g} ms with {counts.mean():.1f} counts each",
            expected=f"at least 20 bins with {LEAST_COUNTS:g} counts",
            hint="change --trace-bin, or leave --state out",
        )
    found, _ = choose_states(counts)
    if found.means.size < 2:
        raise DataError(
            "this stream shows one level only: it has no states",
            where=stream.name,
            hint="leave --state out, or change --trace-bin",
        )
    return [
        _gate(name, found, part, first, step)
        for name, part in zip(("bright", "dim"), _groups(found), strict=True)
    ]


def _groups(found: HiddenStates) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    bright = found.path >= bright_state(found)
    return bright, ~bright


def _gate(name: str, found: HiddenStates, part: NDArray[np.bool_], first: int, step: int) -> Gate:
    # the bin on either side of a switch holds both states
    switch = np.flatnonzero(np.diff(part.astype(np.int8)))
    pure = part.copy()
    pure[switch] = False
    pure[np.minimum(switch + 1, pure.size - 1)] = False
    pure = pure if pure.any() else part
    edges = np.flatnonzero(np.diff(np.r_[0, pure.astype(np.int8), 0]))
    levels = found.means[found.path][pure]
    return Gate(
        name,
        (first + edges[::2] * step).astype(np.int64),
        (first + edges[1::2] * step).astype(np.int64),
        float(pure.mean()),
        float(levels.mean() / (step * 1e-12)) if levels.size else 0.0,
    )


def gated(stream: Stream, gate: Gate, reach: int) -> Stream:
    """Return the stream of one state: its stretches moved together, `reach` ps apart.

    No pair with a lag shorter than `reach` spans two stretches, so that only such lags mean anything.
    """
    length = gate.stops - gate.starts
    begins = np.concatenate([[0], np.cumsum(length + reach)[:-1]]).astype(np.int64)
    shift = gate.starts - begins

    def blocks() -> Blocks:
        for time, channel in stream.blocks():
            keep = gate.inside(time)
            if keep.any():
                index = np.searchsorted(gate.starts, time[keep], "right") - 1
                yield time[keep] - shift[index], channel[keep]

    about = stream.about | {"state": gate.name, "share_of_recording": gate.share}
    return replace(
        stream,
        blocks=blocks,
        acquisition=0.0,
        about=about,
        flags=list(stream.flags),
        longest_lag=float(reach),
    )


def streams_of(stream: Stream, state: str, bin_ms: float, reach: int) -> list[tuple[str, Stream]]:
    """Return (label, stream) of the whole (state ""), of one state, or of "each" of them."""
    if not state:
        return [("", stream)]
    return [(g.name, gated(stream, g, reach)) for g in wanted_gates(stream, state, bin_ms)]


def wanted_gates(stream: Stream, state: str, bin_ms: float) -> list[Gate]:
    """Return the gates of one state, or of each."""
    gates = [g for g in find_gates(stream, bin_ms) if state in ("each", g.name)]
    if not gates:
        raise DataError(
            "no such state", where=stream.name, got=repr(state), expected="bright, dim or each"
        )
    return gates
