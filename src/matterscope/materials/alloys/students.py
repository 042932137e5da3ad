"""Networks that answer for a model of alloys where its tables would be too large to hold.

In: a model, a space whose sites are mixed all at once. Out: a student — three small networks taught with the
model's own answers — with its error on compounds it was not taught; that error widens every σ.
The first layer is a sum of what A, B and X contribute, so each is computed once for a composition of its site.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from matterscope.core.calls import Call
from matterscope.materials.alloys.compositions import SITES
from matterscope.materials.alloys.models import AlloyModel
from matterscope.materials.alloys.spaces import SiteGrid, Space
from matterscope.materials.alloys.species import properties, site_statistics

Array = NDArray[np.float64]
Single = NDArray[np.float32]

LARGEST_TABLE = 3_000_000
"""Products of site compositions up to which a property is tabulated by the model itself."""
LESSONS, PER_UNIT = 24_000, 2_000
EXAMINED = 1 / 8
"""Share of the lessons kept back to measure the error."""
NETWORKS, HIDDEN, EPOCHS = 3, (64, 64), 120
BLOCK = 8192


@dataclass(frozen=True)
class Layers:
    """One network after its first layer, which is tabulated by site."""

    first: tuple[Single, ...]
    """Contributions of each composition of A, B and X to the hidden units, shapes (n_site, hidden)."""
    weights: tuple[Single, ...]
    biases: tuple[Single, ...]

    def forward(self, hidden: Single) -> Single:
        """Return the outputs for first hidden layers, shape (rows, 2 properties)."""
        for weight, bias in zip(self.weights, self.biases, strict=True):
            np.maximum(hidden, 0, out=hidden)
            hidden = hidden @ weight + bias
        return hidden


@dataclass(frozen=True)
class Student:
    """Networks for several properties of one space.

    Parameters
    ----------
    names : tuple of str
    error : array of shape (properties,)
        Root mean square difference to the model on compounds kept back; already part of σ.
    low, high, spread : arrays of shape (properties,)
        Range and standard deviation of the model's answers.
    ends : mapping of the number of an end member to its values
        The model's own answers: labels of the table where there are any.
    """

    names: tuple[str, ...]
    networks: tuple[Layers, ...]
    centre: Single
    scale: Single
    error: Single
    low: Array
    high: Array
    spread: Array
    ends: Mapping[int, Single]

    def rows(
        self, a: NDArray[np.integer], b: NDArray[np.integer], x: NDArray[np.integer]
    ) -> tuple[Single, Single]:
        """Return values and σ of compounds given by the numbers of their site compositions, (rows, properties)."""
        count = len(self.names)
        total = np.zeros((len(a), 2 * count), np.float32)
        for start in range(0, len(a), BLOCK):
            part = slice(start, start + BLOCK)
            for net in self.networks:
                hidden = net.first[0][a[part]] + net.first[1][b[part]] + net.first[2][x[part]]
                total[part] += net.forward(hidden)
        total = total / np.float32(len(self.networks)) * self.scale + self.centre
        return total[:, :count], np.hypot(np.exp(total[:, count:]), self.error)

    def correct_ends(self, numbers: NDArray[np.int64], values: Single) -> None:
        """Put the model's own values of end members among the rows `numbers`, which ascend."""
        for number, own in self.ends.items():
            place = int(np.searchsorted(numbers, number))
            if place < len(numbers) and numbers[place] == number:
                values[place] = own


def too_large(model: AlloyModel, space: Space, name: str) -> bool:
    """Return whether a property's table over the mixed sites would be too large."""
    linear, _ = model.corners(model.models[name].mixed)
    sizes = [
        len(g.species) if s in linear else g.size for s, g in zip(SITES, space.grids, strict=True)
    ]
    return int(np.prod(sizes)) > LARGEST_TABLE


def teach(model: AlloyModel, names: Sequence[str], space: Space, call: Call) -> Student:
    """Return a student of the given properties of a space."""
    numbers = lesson_numbers(space, call.rng("lessons"))
    items = [
        {"model": model, "names": tuple(names), "space": space, "numbers": part}
        for part in np.array_split(numbers, max(1, len(numbers) // PER_UNIT))
    ]
    found = call.map(lesson_unit, items, "lessons")
    values = np.vstack([f["values"] for f in found])
    sigmas = np.vstack([f["sigmas"] for f in found])
    goal = np.column_stack([values, np.log(np.maximum(sigmas, 1e-6))])
    kept_back = np.arange(len(goal)) % round(1 / EXAMINED) == 0
    centre, scale = goal[~kept_back].mean(0), goal[~kept_back].std(0) + 1e-9
    features = [site_features(s, g) for s, g in zip(SITES, space.grids, strict=True)]
    place = space.split(numbers)
    inputs = np.column_stack([f[i] for f, i in zip(features, place, strict=True)])
    networks = []
    scaled = (goal - centre) / scale
    for number in range(NETWORKS):
        seed = number + call.seed
        networks.append(_trained(inputs[~kept_back], scaled[~kept_back], features, seed))
        call.progress(number + 1, NETWORKS, "networks taught")
    student = Student(
        tuple(names), tuple(networks), centre.astype(np.float32), scale.astype(np.float32),
        np.zeros(len(names), np.float32), values.min(0), values.max(0), values.std(0), {},
    )  # fmt: skip
    answer, _ = student.rows(*(i[kept_back] for i in place))
    error = np.sqrt(np.mean((answer - values[kept_back]) ** 2, axis=0))
    return Student(
        student.names, student.networks, student.centre, student.scale, error.astype(np.float32),
        student.low, student.high, student.spread, _own_ends(model, names, space),
    )  # fmt: skip


def lesson_numbers(space: Space, rng: np.random.Generator) -> NDArray[np.int64]:
    """Return compounds to be taught: even numbers of species on each site, then even in the fractions.

    Drawn evenly from the space nearly all would mix four species or more.
    """
    columns = []
    for grid in space.grids:
        parts = (grid.unrank(np.arange(grid.size)) > 0).sum(1)
        kinds = np.unique(parts)
        wanted = rng.choice(kinds, LESSONS)
        column = np.empty(LESSONS, np.int64)
        for kind in kinds:
            rows = np.flatnonzero(wanted == kind)
            column[rows] = rng.choice(np.flatnonzero(parts == kind), len(rows))
        columns.append(column)
    a, b, x = columns
    numbers = (a * space.grids[1].size + b) * space.grids[2].size + x
    return np.asarray(rng.permutation(np.unique(numbers)))


def lesson_unit(item: Mapping[str, Any], rng: np.random.Generator) -> dict[str, Any]:
    """Return the model's own answers for some compounds. Pure in `item`."""
    model, space = item["model"], item["space"]
    fractions = fractions_of(model, space, item["numbers"])
    answers = [model.predict_target(name, fractions) for name in item["names"]]
    return {
        "values": np.column_stack([v for v, _ in answers]),
        "sigmas": np.column_stack([s for _, s in answers]),
    }


def fractions_of(
    model: AlloyModel, space: Space, numbers: NDArray[np.integer]
) -> tuple[Array, Array, Array]:
    """Return fractions over the species of the model for compounds of a space."""
    result = []
    counts = space.unrank(numbers)
    for site, grid in zip(SITES, space.grids, strict=True):
        rows = np.zeros((len(numbers), len(model.species[site])))
        rows[:, [model.species[site].index(s) for s in grid.species]] = counts[site] / grid.steps
        result.append(rows)
    return result[0], result[1], result[2]


def site_features(site: str, grid: SiteGrid) -> Single:
    """Return inputs of a network for every composition of a site: shares, their roots, presence, statistics."""
    shares = grid.unrank(np.arange(grid.size)) / grid.steps
    table = properties(site, grid.species)
    table = (table - table.mean(0)) / (table.std(0) + 1e-9)
    parts = [shares, np.sqrt(shares), shares > 0, site_statistics(shares, table)]
    return np.column_stack(parts).astype(np.float32)


def _trained(inputs: Single, goal: Array, features: Sequence[Single], seed: int) -> Layers:
    import warnings

    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPRegressor

    network = MLPRegressor(
        hidden_layer_sizes=HIDDEN, batch_size=256, learning_rate_init=3e-3, max_iter=EPOCHS, alpha=1e-6,
        early_stopping=True, validation_fraction=0.1, n_iter_no_change=12, random_state=seed,
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the error is measured, not assumed
        network.fit(inputs, goal.astype(np.float32))
    first = network.coefs_[0].astype(np.float32)
    edges = np.cumsum([0, *(f.shape[1] for f in features)])
    tables = [f @ first[edges[i] : edges[i + 1]] for i, f in enumerate(features)]
    tables[0] = tables[0] + network.intercepts_[0].astype(np.float32)
    return Layers(
        tuple(tables),
        tuple(w.astype(np.float32) for w in network.coefs_[1:]),
        tuple(b.astype(np.float32) for b in network.intercepts_[1:]),
    )


def _own_ends(model: AlloyModel, names: Sequence[str], space: Space) -> dict[int, Single]:
    sizes = [len(g.species) for g in space.grids]
    pure = [
        g.rank(g.steps * np.eye(k, dtype=np.int64)) for g, k in zip(space.grids, sizes, strict=True)
    ]
    a, b, x = (p[i] for p, i in zip(pure, np.indices(sizes).reshape(3, -1), strict=True))
    numbers = (a * space.grids[1].size + b) * space.grids[2].size + x
    fractions = fractions_of(model, space, numbers)
    values = np.column_stack([model.predict_target(name, fractions)[0] for name in names])
    return {int(n): v.astype(np.float32) for n, v in zip(numbers, values, strict=True)}
