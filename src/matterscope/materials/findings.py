"""What is doubtful in a table: one finding a fault, with row, column, rule and evidence.

In: facts found by rules. Out: findings, their table, and the one error that a strict caller raises.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Literal

from matterscope.core.errors import SchemaError

if TYPE_CHECKING:
    import pandas as pd

Severity = Literal["error", "warning", "unexpected", "information"]
ORDER: tuple[Severity, ...] = ("error", "warning", "unexpected", "information")


@dataclass(frozen=True)
class Finding:
    """One doubt about a table.

    Parameters
    ----------
    row : str
        Identifier and line ("id 3, line 3"), or a group of rows.
    column : str
        Column or columns concerned.
    rule : str
        Short name of the rule.
    evidence : str
        The numbers that show it, in a sentence.
    severity : str
        error: wrong; warning: probably wrong; unexpected: unlike its neighbours; information.
    proposal : str
        Value that would mend it, if the rule knows one.
    line : int
        Line in the file, 0 for groups.
    """

    row: str
    column: str
    rule: str
    evidence: str
    severity: Severity
    proposal: str = ""
    line: int = 0


def as_frame(findings: Sequence[Finding]) -> pd.DataFrame:
    """Return findings as a table, the worst first."""
    import pandas as pd

    ordered = sorted(findings, key=lambda f: (ORDER.index(f.severity), f.rule, f.line))
    columns = ["row", "column", "rule", "evidence", "severity", "proposal", "line"]
    return pd.DataFrame([asdict(f) for f in ordered], columns=columns)


def raise_first(findings: Iterable[Finding], source: str) -> None:
    """Raise a SchemaError for the first finding of severity "error"."""
    errors = [f for f in findings if f.severity == "error"]
    if errors:
        more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
        raise SchemaError(
            f"{errors[0].rule}: {errors[0].evidence}{more}",
            where=f"{source}, {errors[0].row}, {errors[0].column}".rstrip(", "),
            hint=errors[0].proposal or f"matterscope materials audit {source} lists all of them",
        )
