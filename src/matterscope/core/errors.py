"""The one exception tree: what a caller can get wrong, said so that it can be mended.

In: nothing. Out: exceptions whose text has five parts: what, where, got, expected, what to do.

    MatterscopeError
    ├── DataError            something is wrong with an input
    │   ├── ReadError        the file cannot be read
    │   ├── SchemaError      it was read, and is not the measurement that was asked for
    │   └── UnitError        units are missing or of another dimension
    ├── ConfigError          a parameter or a recipe is out of its range
    ├── ModelError           a trained model is missing, damaged or does not fit
    └── NotInstalled         an optional package is missing
"""

from __future__ import annotations

EXTRA_OF_PACKAGE = {
    "torch": "learn",
    "dask": "scale",
    "distributed": "scale",
    "pymatgen": "structures",
    "feff10": "feff",
    "chgnet": "relax",
    "pyarrow": "tables",
    "duckdb": "tables",
    "openpyxl": "tables",
    "defusedxml": "tables",
    "shap": "explain",
    "hdf5plugin": "detectors",
}
"""Import name → the extra of this project that installs it."""


class MatterscopeError(Exception):
    """Base of all errors of this package.

    Parameters
    ----------
    what : str
        The fault in one sentence.
    where : str, optional
        File and line, offset, axis index or parameter owner.
    got, expected : object, optional
        The value met, and the values allowed.
    hint : str, optional
        What the user can do about it.
    """

    def __init__(
        self,
        what: str,
        *,
        where: str = "",
        got: object = None,
        expected: object = None,
        hint: str = "",
    ) -> None:
        self.what, self.where, self.got, self.expected, self.hint = what, where, got, expected, hint
        super().__init__(self.message())

    def message(self) -> str:
        """Return the full text: one sentence, then the hint on a line of its own."""
        text = self.what.rstrip(".")
        if self.where:
            text += f" ({self.where})"
        if self.got is not None:
            text += f"; got {self.got}"
        if self.expected is not None:
            text += f", expected {self.expected}"
        return text + "." + (f"\nHint: {self.hint}" if self.hint else "")

    def __str__(self) -> str:
        return self.message()

    def __reduce__(self) -> tuple[object, ...]:
        # errors cross process borders; keyword arguments would be lost otherwise
        state = {"where": self.where, "got": self.got, "expected": self.expected, "hint": self.hint}
        return (_rebuild, (type(self), self.what, state))


def _rebuild(kind: type[MatterscopeError], what: str, state: dict[str, object]) -> MatterscopeError:
    return kind(what, **state)  # type: ignore[arg-type]


class DataError(MatterscopeError):
    """Something is wrong with an input."""


class ReadError(DataError):
    """A file cannot be read."""


class SchemaError(DataError):
    """A measurement does not satisfy the schema of its kind."""


class UnitError(DataError):
    """Units are missing, unknown or of the wrong dimension."""


class ConfigError(MatterscopeError):
    """A parameter, an option or a recipe is out of its allowed set."""


class ModelError(MatterscopeError):
    """A trained model is missing, damaged, or does not fit the input."""


class NotInstalled(MatterscopeError):
    """An optional package is missing."""


def require(package: str, purpose: str) -> None:
    """Raise `NotInstalled` with the exact command unless `package` can be imported.

    Parameters
    ----------
    package : str
        Import name, e.g. ``"torch"``.
    purpose : str
        What it is needed for, e.g. ``"training a network"``.
    """
    from importlib.util import find_spec

    if find_spec(package) is not None:
        return
    extra = EXTRA_OF_PACKAGE.get(package)
    command = f"pip install 'matterscope[{extra}]'" if extra else f"pip install {package}"
    raise NotInstalled(
        f"{purpose} needs the package {package}, which is not installed", hint=command
    )
