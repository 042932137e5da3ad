"""The settings of a verb: one closed pydantic model, the same for options, TOML, forms and records.

In: names and values from any of the four. Out: a frozen model, or one clear ConfigError.
Every field has units, bounds and one sentence.
"""

from __future__ import annotations

from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from matterscope.core.errors import ConfigError

S = TypeVar("S", bound="Settings")


class Settings(BaseModel):
    """Base of all settings: closed, frozen, validated defaults."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)


def option(
    default: Any,
    description: str,
    *,
    units: str = "",
    advanced: bool = False,
    positional: bool = False,
    **bounds: Any,
) -> Any:
    """Return a settings field.

    Parameters
    ----------
    default : object
        Its value when nothing is said; ``...`` makes it required.
    description : str
        One sentence.
    units : str
        Unit of the number, shown in the help and the form.
    advanced : bool
        Listed after the others.
    positional : bool
        Given as the first word on the command line instead of as an option (``simulate KIND``).
    **bounds
        ``ge``, ``gt``, ``le``, ``lt``, ``min_length`` …
    """
    return Field(
        default,
        description=description,
        json_schema_extra={"units": units, "advanced": advanced, "positional": positional},
        **bounds,
    )


def positional(settings: type[Settings]) -> list[str]:
    """Return the settings that are words of the command line instead of options, in their order."""
    extras = {n: f.json_schema_extra for n, f in settings.model_fields.items()}
    return [n for n, extra in extras.items() if isinstance(extra, dict) and extra.get("positional")]


def validate(settings: type[S], values: dict[str, Any], owner: str) -> S:
    """Return the settings made from `values`; raise a ConfigError that names the parameter, owner and value."""
    try:
        return settings.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"]) or "settings"
        if first["type"] == "extra_forbidden":
            raise ConfigError(
                f"{owner} has no setting '{name}'",
                expected="one of " + ", ".join(settings.model_fields),
            ) from None
        raise ConfigError(
            f"{name} of {owner} is not allowed: {first['msg'][:1].lower()}{first['msg'][1:]}",
            got=repr(first["input"]),
            hint=f"matterscope {owner} --help lists the settings",
        ) from None
