"""Small dense networks with several heads, in numpy: trained anywhere, stored as plain arrays.

In: features (n, p) and targets with gaps. Out: a `Network` whose heads give class logits or values.
y = W_L φ(… φ(W_1 x + b_1) …) + b_L with φ(u) = u/(1 + e^−u); AdamW with a one-cycle rate
(Loshchilov and Hutter, ICLR 2019; Smith and Topin 2018).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]
Augment = Callable[[Singles, np.random.Generator], Singles]
"""(raw features, generator) → the same seen through random nuisances, drawn anew every epoch."""


@dataclass(frozen=True)
class Head:
    """One target: `classes` > 0 for a categorical one (labels 0 … k−1), 0 for a number."""

    name: str
    classes: int = 0
    weight: float = 1.0
    balance: float = 0.0
    """Class weights ∝ frequency^−balance; 0 leaves the frequencies as they are."""

    @property
    def width(self) -> int:
        """Outputs it takes."""
        return max(self.classes, 1)


@dataclass(frozen=True)
class Recipe:
    """How a network is trained."""

    hidden: tuple[int, ...] = (256, 256)
    epochs: int = 60
    batch: int = 96
    rate: float = 2.5e-3
    decay: float = 1e-2
    dropout: float = 0.1
    noise: float = 0.05
    """Gaussian noise on standardised features."""
    smoothing: float = 0.02
    mixing: float = 0.0
    """Beta parameter of mixup (Zhang et al., ICLR 2018); 0 switches it off."""
    huber: float = 0.1


@dataclass
class Network:
    """Weights, scaling and heads of one trained network.

    `scale` holds, per numeric head, (mean, width) of its training targets.
    """

    heads: tuple[Head, ...]
    weights: list[Singles]
    biases: list[Singles]
    centre: Singles
    spread: Singles
    scale: dict[str, tuple[float, float]] = field(default_factory=dict)

    def predict(self, features: NDArray[Any]) -> dict[str, Floats]:
        """Return per head: probabilities (n, k) or values (n,) in the units of the target."""
        x: Singles = (np.asarray(features, dtype=np.float32) - self.centre) / self.spread
        for w, b in zip(self.weights[:-1], self.biases[:-1], strict=True):
            x = _silu(x @ w + b)
        out = (x @ self.weights[-1] + self.biases[-1]).astype(float)
        result, at = {}, 0
        for head in self.heads:
            part = out[:, at : at + head.width]
            at += head.width
            if head.classes:
                result[head.name] = _softmax(part)
            else:
                mean, width = self.scale[head.name]
                result[head.name] = part[:, 0] * width + mean
        return result

    def as_arrays(self) -> dict[str, NDArray[Any]]:
        """Return the arrays that rebuild it, weights in half precision (2·10⁻³ relative)."""
        arrays: dict[str, NDArray[Any]] = {"centre": self.centre, "spread": self.spread}
        for k, (w, b) in enumerate(zip(self.weights, self.biases, strict=True)):
            arrays |= {f"w{k}": w.astype(np.float16), f"b{k}": b.astype(np.float16)}
        return arrays

    def as_json(self) -> dict[str, Any]:
        """Return heads and scales."""
        heads = [{"name": h.name, "classes": h.classes} for h in self.heads]
        return {"heads": heads, "scale": {k: list(v) for k, v in self.scale.items()}}

    @classmethod
    def rebuild(cls, arrays: dict[str, NDArray[Any]], meta: dict[str, Any]) -> Network:
        """Return the network that was stored."""
        depth = sum(1 for name in arrays if name.startswith("w"))
        single = {name: np.asarray(a, dtype=np.float32) for name, a in arrays.items()}
        return cls(
            tuple(Head(h["name"], int(h["classes"])) for h in meta["heads"]),
            [single[f"w{k}"] for k in range(depth)],
            [single[f"b{k}"] for k in range(depth)],
            single["centre"],
            single["spread"],
            {k: (float(v[0]), float(v[1])) for k, v in meta["scale"].items()},
        )


def _silu(x: NDArray[Any]) -> Singles:
    return np.asarray(x / (1.0 + np.exp(-x)))


def _softmax(x: NDArray[Any]) -> NDArray[Any]:
    e = np.exp(x - x.max(axis=1, keepdims=True))
    return np.asarray(e / e.sum(axis=1, keepdims=True))


def train_network(
    features: NDArray[Any],
    targets: dict[str, NDArray[Any]],
    heads: Sequence[Head],
    recipe: Recipe,
    rng: np.random.Generator,
    augment: Augment | None = None,
) -> Network:
    """Train one network.

    Parameters
    ----------
    features : array of shape (n, p)
        Raw features; they are centred and scaled here.
    targets : dict
        Head name → labels (n,): integers with −1 for unknown, or floats with NaN for unknown; classes may
        be given as probabilities (n, k) too, zeros for unknown.
    heads : sequence of Head
        What is learned; the losses add with their weights.
    recipe : Recipe
        Size and schedule.
    rng : numpy Generator
        Decides everything random.
    augment : callable, optional
        Nuisances drawn anew for every epoch.

    Returns
    -------
    Network
    """
    x = np.asarray(features, dtype=np.float32)
    centre, spread = x.mean(axis=0), x.std(axis=0) + np.float32(0.01)
    scaled, scale = _encode(targets, heads)
    state = _Training(x.shape[1], heads, recipe, rng, scaled)
    steps = recipe.epochs * max(len(x) // recipe.batch, 1)
    step = 0
    for _ in range(recipe.epochs):
        order = rng.permutation(len(x))
        seen = ((augment(x, rng) if augment else x) - centre) / spread
        for start in range(0, max(len(x) - recipe.batch + 1, 1), recipe.batch):
            rows = order[start : start + recipe.batch]
            state.step(seen[rows], rows, _one_cycle(step / steps) * recipe.rate)
            step += 1
    return Network(tuple(heads), state.weights, state.biases, centre, spread, scale)


def _one_cycle(t: float) -> float:
    if t < 0.3:
        return float(0.04 + 0.96 * 0.5 * (1 - np.cos(np.pi * t / 0.3)))
    return float(0.5 * (1 + np.cos(np.pi * (t - 0.3) / 0.7)) + 1e-5)


def _encode(
    targets: dict[str, NDArray[Any]], heads: Sequence[Head]
) -> tuple[dict[str, Singles], dict[str, tuple[float, float]]]:
    coded: dict[str, Singles] = {}
    scale: dict[str, tuple[float, float]] = {}
    for head in heads:
        values = np.asarray(targets[head.name])
        if head.classes:
            hot = values.astype(np.float32) if values.ndim == 2 else _one_hot(values, head.classes)
            counts = np.maximum(hot.sum(axis=0), 1.0)
            weights = (counts.mean() / counts) ** head.balance
            coded[head.name] = hot * (weights / (weights @ counts / counts.sum())).astype(
                np.float32
            )
        else:
            mean, width = float(np.nanmean(values)), float(np.nanstd(values) + 1e-12)
            scale[head.name] = (mean, width)
            coded[head.name] = ((values - mean) / width).astype(np.float32)
    return coded, scale


def _one_hot(labels: NDArray[Any], classes: int) -> Singles:
    hot = np.zeros((len(labels), classes), dtype=np.float32)
    known = np.flatnonzero(labels >= 0)
    hot[known, labels[known].astype(int)] = 1.0
    return hot


class _Training:
    """Weights and moments of AdamW while a network is trained."""

    def __init__(
        self,
        inputs: int,
        heads: Sequence[Head],
        recipe: Recipe,
        rng: np.random.Generator,
        targets: dict[str, Singles],
    ) -> None:
        sizes = [inputs, *recipe.hidden, sum(h.width for h in heads)]
        bound = [1 / np.sqrt(a) for a in sizes[:-1]]
        pairs = list(zip(sizes[:-1], sizes[1:], bound, strict=True))
        drawn = [rng.uniform(-s, s, (a, b)).astype(np.float32) for a, b, s in pairs]
        drawn += [rng.uniform(-s, s, b).astype(np.float32) for _, b, s in pairs]
        # one flat vector, of which weights and biases are views: one update instead of one per layer
        self.values = np.concatenate([p.ravel() for p in drawn])
        self.grad = np.zeros_like(self.values)
        self.weights, self.biases = _views(self.values, drawn, len(pairs))
        self.dw, self.db = _views(self.grad, drawn, len(pairs))
        self.heads, self.recipe, self.rng = heads, recipe, rng
        self.targets = {h.name: targets[h.name] for h in heads if h.classes}
        self.at, place = {}, 0
        for head in heads:
            self.at[head.name] = slice(place, place + head.width)
            place += head.width
        numbers = [h for h in heads if not h.classes]
        self.columns = np.array([self.at[h.name].start for h in numbers], dtype=np.int64)
        wanted = [targets[h.name] for h in numbers]
        given = np.stack(wanted, axis=1) if wanted else np.zeros((0, 0), dtype=np.float32)
        self.known = np.isfinite(given).astype(np.float32)
        self.numbers = np.nan_to_num(given).astype(np.float32)
        self.shares = np.array([h.weight for h in numbers], dtype=np.float32)
        self.first, self.second = np.zeros_like(self.values), np.zeros_like(self.values)
        self.scratch = np.zeros_like(self.values)
        self.count = 0

    def step(self, x: Singles, rows: NDArray[np.int64], rate: float) -> None:
        """Take one step on a batch of standardised features."""
        recipe, rng = self.recipe, self.rng
        x = x + np.float32(recipe.noise) * rng.standard_normal(x.shape, dtype=np.float32)
        parts: list[tuple[float, NDArray[np.int64]]] = [(1.0, rows)]
        if recipe.mixing:
            share = float(rng.beta(recipe.mixing, recipe.mixing))
            other = rng.permutation(len(rows))
            x = np.float32(share) * x + np.float32(1 - share) * x[other]
            parts = [(share, rows), (1 - share, rows[other])]
        inputs, slopes, out = self._forward(x)
        grad = sum(share * self._loss_gradient(out, which) for share, which in parts)
        self._backward(np.asarray(grad, dtype=np.float32), inputs, slopes)
        self._update(rate)

    def _forward(self, x: Singles) -> tuple[list[Singles], list[Singles], Singles]:
        inputs, slopes = [x], []
        keep = 1.0 - self.recipe.dropout
        for w, b in zip(self.weights[:-1], self.biases[:-1], strict=True):
            u = inputs[-1] @ w + b
            s = 1.0 / (1.0 + np.exp(-u))
            mask = (self.rng.random(u.shape, dtype=np.float32) < keep) / np.float32(keep)
            slopes.append(s * (1 + u * (1 - s)) * mask)
            inputs.append(u * s * mask)
        return inputs, slopes, inputs[-1] @ self.weights[-1] + self.biases[-1]

    def _loss_gradient(self, out: Singles, rows: NDArray[np.int64]) -> Singles:
        grad = np.zeros_like(out)
        smooth = self.recipe.smoothing
        for head in self.heads:
            if not head.classes:
                continue
            own = self.at[head.name]
            target = self.targets[head.name][rows]
            weight = target.sum(axis=1, keepdims=True)
            shares = target / np.maximum(weight, np.float32(1e-9))
            goal = (1 - smooth) * shares + smooth / head.classes
            slope = weight * (_softmax(out[:, own]) - goal)
            known = max(float((weight > 0).sum()), 1.0)
            grad[:, own] = (head.weight / known) * slope
        if self.columns.size:
            known_ones = self.known[rows]
            miss = (out[:, self.columns] - self.numbers[rows]) / np.float32(self.recipe.huber)
            slope = np.clip(miss, -1, 1) * known_ones
            grad[:, self.columns] = slope * (self.shares / np.maximum(known_ones.sum(axis=0), 1.0))
        return grad

    def _backward(self, grad: Singles, inputs: list[Singles], slopes: list[Singles]) -> None:
        for k in range(len(self.weights) - 1, -1, -1):
            np.matmul(inputs[k].T, grad, out=self.dw[k])
            np.sum(grad, axis=0, out=self.db[k])
            if k:
                grad = (grad @ self.weights[k].T) * slopes[k - 1]

    def _update(self, rate: float) -> None:
        self.count += 1
        c1, c2 = 1 - 0.9**self.count, 1 - 0.999**self.count
        first, second, scratch = self.first, self.second, self.scratch
        first *= np.float32(0.9)
        first += np.multiply(self.grad, np.float32(0.1), out=scratch)
        second *= np.float32(0.999)
        np.square(self.grad, out=scratch)
        second += np.multiply(scratch, np.float32(0.001), out=scratch)
        np.sqrt(np.divide(second, np.float32(c2), out=scratch), out=scratch)
        scratch += np.float32(1e-8)
        np.divide(first, scratch, out=scratch)
        self.values *= np.float32(1 - rate * self.recipe.decay)
        self.values -= np.multiply(scratch, np.float32(rate / c1), out=scratch)


def _views(flat: Singles, like: list[Singles], layers: int) -> tuple[list[Singles], list[Singles]]:
    """Return views of a flat vector, shaped like weights and then biases."""
    ends = np.cumsum([p.size for p in like])
    found = [flat[e - p.size : e].reshape(p.shape) for e, p in zip(ends, like, strict=True)]
    return found[:layers], found[layers:]
