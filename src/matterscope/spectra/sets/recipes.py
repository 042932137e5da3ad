"""The recipe of a set: what is enumerated, relaxed, distorted and simulated; one TOML file.

In: a TOML file. Out: a `Recipe`, closed and validated, or one clear ConfigError.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Literal

from pydantic import Field

from matterscope.core.errors import ConfigError
from matterscope.core.settings import Settings, validate
from matterscope.io.limits import regular_file
from matterscope.spectra.sets.prototypes import PrototypeRecipe
from matterscope.spectra.sets.structures import METALS


class RelaxRecipe(Settings):
    """How structures are relaxed."""

    potential: Literal["chgnet-r2scan", "none"] = "chgnet-r2scan"
    steps: int = Field(10, ge=0, le=500)
    force: float = Field(0.08, gt=0)


class DistortRecipe(Settings):
    """Random strain (largest isotropic, standard deviation of the rest) and displacements (Å)."""

    strain: float = Field(0.012, ge=0, le=0.05)
    shear: float = Field(0.004, ge=0, le=0.02)
    displacement: float = Field(0.02, ge=0, le=0.2)


class FeffRecipe(Settings):
    """FEFF settings of the set; radius in Å, k in 1/Å, edge_step in eV."""

    quality: Literal["quick", "scf"] = "quick"
    radius: float = Field(4.2, gt=2, le=9)
    k_max: float = Field(3.5, gt=1, le=12)
    k_step: float = Field(0.08, gt=0)
    edge_step: float = Field(0.3, gt=0)


class DopantRecipe(Settings):
    """Which elements replace metals, in what share of the structures, and how many atoms at most."""

    elements: tuple[Literal["Al", "Mg"], ...] = ()
    share: float = Field(0.3, ge=0, le=1)
    most: int = Field(1, ge=1, le=3)


class Recipe(Settings):
    """A whole recipe, as it stands in the TOML file.

    ``layered-nmc`` enumerates layered oxides by rules of its own; ``prototype`` fills any crystal that
    the recipe describes.
    """

    family: Literal["layered-nmc", "prototype"] = "layered-nmc"
    prototype: PrototypeRecipe | None = None
    count: int = Field(330, ge=1, le=100_000)
    children: int = Field(3, ge=1, le=50)
    relax: RelaxRecipe = Field(default_factory=lambda: RelaxRecipe.model_validate({}))
    distort: DistortRecipe = Field(default_factory=lambda: DistortRecipe.model_validate({}))
    dopants: DopantRecipe = Field(default_factory=lambda: DopantRecipe.model_validate({}))
    feff: FeffRecipe = Field(default_factory=lambda: FeffRecipe.model_validate({}))
    sites: dict[str, int] = Field(default_factory=lambda: {"O": 2, "Ni": 2, "Mn": 1, "Co": 1})

    @property
    def elements(self) -> tuple[str, ...]:
        """Elements whose sites can be simulated."""
        return self.prototype.elements if self.prototype else ("O", *METALS)


def read_recipe(path: Path) -> Recipe:
    """Return the recipe of a TOML file; raise ConfigError with the faulty entry."""
    regular_file(path)
    try:
        content = tomllib.loads(path.read_text())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"the recipe is not TOML: {error}", where=str(path)) from None
    if not content:
        raise ConfigError(
            "the recipe is empty",
            where=str(path),
            hint="a set takes hours: say at least family and count, as recipes/nmc.toml does",
        )
    recipe = validate(Recipe, content, f"recipe {path.name}")
    if (recipe.family == "prototype") != (recipe.prototype is not None):
        raise ConfigError(
            "family and [prototype] do not belong together",
            where=str(path),
            got=f"family {recipe.family!r}, [prototype] {'given' if recipe.prototype else 'missing'}",
            expected='family = "prototype" with a table [prototype], as in recipes/spinel.toml',
        )
    unknown = set(recipe.sites) - set(recipe.elements)
    if unknown:
        raise ConfigError(
            "the recipe asks for sites of an element the family has not",
            where=str(path),
            got=", ".join(sorted(unknown)),
            expected=", ".join(recipe.elements),
        )
    return recipe
