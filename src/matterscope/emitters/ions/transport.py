"""Ion transport: where ions stop in a stack of films, and what they break on the way.

In: an ion, its energy, a stack of layers (thickness, density, displacement energies), a mask.
Out: end points, fates and vacancies of a number of ions; ranges, capture and profiles with errors.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from ase.data import atomic_masses, atomic_numbers
from ase.formula import Formula
from numpy.typing import NDArray

from matterscope.core.calls import Call
from matterscope.core.errors import ConfigError
from matterscope.emitters.ions import collisions

BLOCK = 250
"""Ions of one unit of work; each block has its own random stream."""

DENSITIES = {
    # g/cm³
    "hBN": 2.1,
    "BN": 2.1,
    "C": 2.0,
    "diamond": 3.515,
    "SiO2": 2.32,
    "Si": 2.321,
    "PMMA": 1.19,
    "Au": 19.3,
    "Al2O3": 3.98,
    "Si3N4": 3.1,
    "SiC": 3.21,
}
FORMULAS = {"hBN": "BN", "diamond": "C", "PMMA": "C5H8O2"}
DISPLACEMENT = {"H": 10.0, "B": 25.0, "C": 28.0, "N": 28.0, "O": 28.0, "Si": 15.0, "Au": 25.0}
"""Displacement energies in eV (the usual defaults of transport codes); others take 25 eV."""
LATTICE_BINDING = 3.0

FACTORS: dict[str, dict[str, tuple[float, ...]]] = {
    # electronic stopping of SRIM-2013 over Lindhard–Scharff: up to 20 keV, then at 25, 30, 40 keV;
    # single measured facts, Ziegler, Ziegler and Biersack, Nucl. Instrum. Methods B 268, 1818 (2010)
    "BN": {
        "C": (1.140, 1.18, 1.27, 1.25),
        "B": (1.172, 1.25, 1.30, 1.30),
        "N": (1.200, 1.20, 1.26, 1.34),
        "He": (1.067, 1.0635, 1.06, 1.04),
        "Ar": (1.270,) * 4,
        "Si": (1.167,) * 4,
        "O": (1.113, 1.135, 1.157, 1.20),
    },
    "C": {
        "C": (1.574, 1.56, 1.53, 1.50),
        "B": (1.618, 1.56, 1.54, 1.57),
        "N": (1.656, 1.66, 1.63, 1.59),
        "He": (1.178, 1.174, 1.17, 1.15),
        "Ar": (1.754,) * 4,
        "Si": (1.612,) * 4,
        "O": (1.536, 1.512, 1.488, 1.44),
    },
    "SiO2": {
        "C": (0.974, 0.99, 1.04, 1.05),
        "B": (1.016, 1.04, 1.08, 1.12),
        "N": (1.011, 1.01, 1.03, 1.09),
        "He": (0.950, 0.965, 0.98, 1.00),
        "Ar": (0.990,) * 4,
        "Si": (0.929,) * 4,
        "O": (0.928, 0.936, 0.944, 0.96),
    },
}


@dataclass(frozen=True)
class Layer:
    """One layer: its name, elements with atomic shares, thickness (nm) and atomic density (1/Å³)."""

    name: str
    shares: tuple[tuple[str, float], ...]
    thickness: float
    density: float
    opening: float | None = None
    """Diameter (nm) of a round opening about the beam axis; None: a closed film."""

    @property
    def formula(self) -> str:
        """Return the chemical formula that the stopping factors are listed under."""
        return FORMULAS.get(self.name, self.name)


@dataclass(frozen=True)
class Beam:
    """An ion and how its cascade is counted.

    Parameters
    ----------
    ion : str
        Symbol of the element.
    energy : float, keV, in [1, 100]
    displacement : dict
        Displacement energies (eV) that differ from the defaults.
    cascades : bool
        Whether recoils are followed; without them only the ions' ranges are known.
    strict_replacement : bool
        True: a projectile takes the place of an atom of its own species whenever it is left with less
        than the displacement energy. False: only when it stops there, which is how SRIM-2013 counts;
        the number of vacancies is then 10–15 % larger.
    """

    ion: str
    energy: float
    displacement: dict[str, float] = field(default_factory=dict)
    cascades: bool = True
    strict_replacement: bool = False
    cutoff: float = 5.0


@dataclass(frozen=True)
class Implant:
    """What became of n ions: end points (nm), fates, vacancies per ion and layer, depth histogram."""

    layers: tuple[Layer, ...]
    fate: NDArray[np.int8]
    ends: NDArray[np.float64]
    end_layer: NDArray[np.int16]
    vacancies: NDArray[np.float64]
    edges: NDArray[np.float64]
    vacancy_profile: NDArray[np.float64]
    """Vacancies per ion in each depth bin."""
    budget: NDArray[np.float64]
    """Energy per ion (eV): electronic, nuclear, carried out."""

    @property
    def stopped(self) -> NDArray[np.bool_]:
        """Return which ions stopped inside the stack."""
        return np.asarray(self.fate == collisions.STOPPED)

    def captured(self, layer: int) -> NDArray[np.bool_]:
        """Return which ions stopped in this layer."""
        return np.asarray(self.stopped & (self.end_layer == layer))

    def ranges(self) -> dict[str, tuple[float, float]]:
        """Return projected range, straggle, lateral straggle (nm; value, standard error)."""
        z = self.ends[self.stopped, 2]
        across = self.ends[self.stopped, :2].ravel()
        n = max(z.size, 2)
        straggle, lateral = float(z.std(ddof=1)), float(np.sqrt(np.mean(across**2)))
        fourth = float(np.mean((z - z.mean()) ** 4)) / max(straggle, 1e-12) ** 4
        sideways = float(np.mean(across**4)) / max(lateral, 1e-12) ** 4
        return {
            "projected_range": (float(z.mean()), straggle / np.sqrt(n)),
            "range_straggle": (straggle, straggle * np.sqrt(max(fourth - 1, 0.5) / (4 * n))),
            "lateral_straggle": (lateral, lateral * np.sqrt(max(sideways - 1, 0.5) / (8 * n))),
        }


def parse_layers(text: str, substrate: str = "") -> tuple[Layer, ...]:
    """Return the layers of ``"C:17nm,hBN:30nm"``; a density (g/cm³) follows an @: ``"AlN@3.26:20nm"``.

    Examples
    --------
    >>> stack = parse_layers("C:17nm,hBN:30nm")
    >>> [(layer.name, layer.thickness) for layer in stack], round(stack[1].density, 4)
    ([('C', 17.0), ('hBN', 30.0)], 0.1019)
    """
    found = [_parse_layer(part.strip()) for part in text.split(",") if part.strip()]
    if not found:
        raise ConfigError("a layer stack needs at least one layer", got=repr(text))
    if substrate:
        found.append(_parse_layer(f"{substrate}:inf"))
    return tuple(found)


def _parse_layer(text: str) -> Layer:
    match = re.fullmatch(
        r"([A-Za-z0-9]+)(?:@([0-9.]+))?:\s*(inf|[0-9.]+(?:e-?\d+)?)\s*(nm|Å|A|um|µm)?", text
    )
    if match is None:
        raise ConfigError(
            "a layer is not written as NAME:THICKNESS",
            got=repr(text),
            expected="for example C:17nm or AlN@3.26:20nm",
        )
    name, density, thickness, units = match.groups()
    scale = {"nm": 1.0, None: 1.0, "Å": 0.1, "A": 0.1, "um": 1e3, "µm": 1e3}[units]
    if density is None and name not in DENSITIES:
        raise ConfigError(
            f"the density of the layer {name} is not known",
            expected="one of " + ", ".join(DENSITIES),
            hint=f"write it in g/cm³: {name}@3.2:{thickness}nm",
        )
    return make_layer(name, float(thickness) * scale, float(density or DENSITIES[name]))


def make_layer(name: str, thickness: float, density: float) -> Layer:
    """Return a layer of a material given by name or formula; thickness in nm, density in g/cm³."""
    try:
        counts = Formula(FORMULAS.get(name, name)).count()
        masses = {s: float(atomic_masses[atomic_numbers[s]]) for s in counts}
    except (ValueError, KeyError):
        raise ConfigError("a layer's name is no chemical formula", got=repr(name)) from None
    total = sum(counts.values())
    mean_mass = sum(masses[s] * c for s, c in counts.items()) / total
    if not (thickness > 0 and density > 0):
        raise ConfigError(f"layer {name} must have a positive thickness and density", got=thickness)
    shares = tuple((s, c / total) for s, c in counts.items())
    return Layer(name, shares, thickness, density * 0.602214 / mean_mass)


def stopping_known(ion: str, layer: Layer) -> bool:
    """Return whether the electronic stopping of `ion` in `layer` was checked against tables."""
    return ion in FACTORS.get(layer.formula, {})


def _check(beam: Beam) -> None:
    if not 1.0 <= beam.energy <= 100.0:
        raise ConfigError(
            "the ion energy is outside the range of this transport",
            got=f"{beam.energy} keV",
            expected="1 to 100 keV",
            hint="velocity-proportional stopping does not hold above, binary collisions not below",
        )
    if beam.ion not in atomic_numbers or atomic_numbers[beam.ion] < 1:
        raise ConfigError("the ion is not an element", got=repr(beam.ion))


def kernel_tables(beam: Beam, layers: tuple[Layer, ...]) -> tuple[Any, ...]:
    """Return species, pair and layer arrays (Å, eV) as `collisions.transport` takes them."""
    symbols = [beam.ion, *sorted({s for layer in layers for s, _ in layer.shares})]
    z = np.array([float(atomic_numbers[s]) for s in symbols])
    m = np.array([float(atomic_masses[atomic_numbers[s]]) for s in symbols])
    displacement = np.array([beam.displacement.get(s, DISPLACEMENT.get(s, 25.0)) for s in symbols])
    binding = np.minimum(np.full(z.size, LATTICE_BINDING), displacement)
    z1, z2, m1, m2 = z[:, None], z[None, :], m[:, None], m[None, :]
    screen = 0.8854 * 0.529177 / (z1**0.23 + z2**0.23)
    reduce = screen * m2 / (z1 * z2 * collisions.COULOMB * (m1 + m2))
    share = 4 * m1 * m2 / (m1 + m2) ** 2
    # Lindhard–Scharff, eV^½ Å²
    stopping = 1.212 * z1 ** (7 / 6) * z2 / ((z1 ** (2 / 3) + z2 ** (2 / 3)) ** 1.5 * np.sqrt(m1))
    bottoms = np.cumsum([10 * layer.thickness for layer in layers])
    composition = np.zeros((len(layers), z.size))
    factors = np.ones((len(layers), z.size, 4))
    for i, layer in enumerate(layers):
        for s, c in layer.shares:
            composition[i, symbols.index(s, 1)] = c
        for k, s in enumerate(symbols):
            factors[i, k] = FACTORS.get(layer.formula, {}).get(s, (1.0,) * 4)
    density = np.array([layer.density for layer in layers])
    coefficient = density[:, None] * (composition @ stopping.T)
    spread = _straggling(z, m, composition, density)
    return (
        (z, displacement, binding),
        (screen, reduce, share, m1 / m2),
        (bottoms, density, np.cumsum(composition, axis=1), coefficient, factors, spread),
    )


def _straggling(z: Any, m: Any, composition: Any, density: Any) -> NDArray[np.float64]:
    """Return Bohr's variance 4πZ₁²e⁴NZ₂ (eV²/Å) and the free flight's a (Å), ε/eV, ε_min; (l, 4)."""
    zt, mt = composition @ z, composition @ m
    screen = 0.8854 * 0.529177 / (z[0] ** 0.23 + zt**0.23)
    reduce = screen * mt / (z[0] * zt * collisions.COULOMB * (m[0] + mt))
    # the energy at which a head-on collision gives 5 eV to an atom of the layer
    least = 5.0 * reduce * (m[0] + mt) ** 2 / (4 * m[0] * mt)
    bohr = 4 * np.pi * (z[0] * collisions.COULOMB) ** 2 * zt * density
    return np.stack([bohr, screen, reduce, least], axis=1)


def _block(item: dict[str, Any], rng: np.random.Generator) -> tuple[Any, ...]:
    """Follow `item["n"]` ions that enter within the entry radius (Å) about the axis; a unit of work."""
    beam, layers, n = item["beam"], item["layers"], item["n"]
    species, pairs, tables = kernel_tables(beam, layers)
    entries = np.zeros((n, 2))
    if item["radius"] > 0:
        angle, r = 2 * np.pi * rng.random(n), item["radius"] * np.sqrt(rng.random(n))
        entries = np.stack([r * np.cos(angle), r * np.sin(angle)], axis=1)
    mask = next((i for i, layer in enumerate(layers) if layer.opening is not None), -1)
    radius = 5.0 * (layers[mask].opening or 0.0) if mask >= 0 else 0.0
    below = -1.0 if beam.strict_replacement else beam.cutoff
    limits = (beam.cutoff, below, item["deepest"], beam.cascades)
    return tuple(
        collisions.transport(
            rng,
            1e3 * beam.energy,
            entries,
            species,
            pairs,
            tables,
            (mask, radius),
            limits,
            item["edges"],
        )
    )


def implant(
    beam: Beam,
    layers: tuple[Layer, ...],
    ions: int,
    call: Call,
    *,
    entry_diameter: float = 0.0,
    bins: int = 120,
    stream: str = "ions",
) -> Implant:
    """Send `ions` ions into a stack and follow them and their cascades.

    Parameters
    ----------
    beam : Beam
    layers : tuple of Layer
        From the surface down; the last may be infinitely thick (a substrate), else the stack is
        freestanding.
    ions : int
    call : Call
        Gives random streams and executor; blocks of `BLOCK` ions are the units of work.
    entry_diameter : float, nm
        Ions enter evenly over a disc of this diameter; 0: on the axis.
    bins : int
        Depth bins of the vacancy profile.
    """
    _check(beam)
    finite = sum(layer.thickness for layer in layers if np.isfinite(layer.thickness))
    # light ions above 1 keV go no deeper than about 30 nm per keV in anything denser than water
    deepest = 10 * (finite + 40.0 * beam.energy + 100.0)
    shown = finite if np.isfinite(layers[-1].thickness) else finite + 12.0 * beam.energy
    edges = np.linspace(0, 10 * min(shown, deepest / 10), bins + 1)
    base = {
        "beam": beam,
        "layers": layers,
        "radius": 5 * entry_diameter,
        "edges": edges,
        "deepest": deepest,
    }
    sizes = [BLOCK] * (ions // BLOCK) + ([ions % BLOCK] if ions % BLOCK else [])
    parts = call.map(_block, [base | {"n": n} for n in sizes], stream)
    fate, ends, layer, _, vacancies = (np.concatenate([p[i] for p in parts]) for i in range(5))
    return Implant(
        layers,
        fate,
        ends / 10,
        layer,
        vacancies,
        edges / 10,
        sum(p[5] for p in parts) / ions,
        sum(p[6] for p in parts) / ions,
    )


def with_film(layers: tuple[Layer, ...], thickness: float) -> tuple[Layer, ...]:
    """Return the stack with its first layer made `thickness` nm thick; 0 leaves it out."""
    if thickness <= 0:
        return layers[1:]
    return (replace(layers[0], thickness=thickness), *layers[1:])
