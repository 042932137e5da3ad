"""`materials audit`: faults in a user's table, found by rules; the table itself is left as it is.

In: tables. Out: findings with row, column, rule, evidence and severity; the columns say which rules apply.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from matterscope.core.calls import Call, Input
from matterscope.core.estimates import Estimate, InputRef, Quantity
from matterscope.core.files import sha256_of
from matterscope.core.pictures import Panel, Picture, bars
from matterscope.materials.alloys.audit import findings_of
from matterscope.materials.alloys.tables import read_alloys
from matterscope.materials.findings import ORDER, Finding, as_frame
from matterscope.materials.settings import AuditSettings
from matterscope.materials.training import holds_levels
from matterscope.materials.transitions.halide_impurities import holds_halides

if TYPE_CHECKING:
    import pandas as pd


REFERENCES = ["arXiv 2109.10798", "Patterns 3, 100450 (2022)"]
"""Whose published tables the rules were tried on."""
FEW = 3
"""Faulty rows of one rule that are flagged one by one; more stand in the table of findings."""


def audit_table(inputs: list[Input], settings: AuditSettings, call: Call) -> list[Estimate]:
    """Return one estimate with all findings of the inputs, read as one table of alloys; tables of levels apart."""
    paths = [i.path for i in inputs if i.path is not None]
    if (
        inputs
        and len(paths) == len(inputs)
        and all(holds_levels(p) or holds_halides(p) for p in paths)
    ):
        return [audit_levels(given, settings, call) for given in inputs]
    table = read_alloys(inputs, renormalise=settings.renormalise)
    findings = findings_of(table, residuals=settings.residuals)
    source = InputRef(table.source, "", "+".join(i.sha256 for i in inputs))
    return [findings_estimate(findings, len(table), source, settings, call)]


def audit_levels(given: Input, settings: AuditSettings, call: Call) -> Estimate:
    """Return the findings of one table of transition levels."""
    from matterscope.materials.transitions.audit import findings_of_levels

    assert given.path is not None
    findings, rows = findings_of_levels(given.path)
    return findings_estimate(findings, rows, given.ref, settings, call)


def findings_estimate(
    findings: list[Finding], rows: int, source: InputRef, settings: AuditSettings, call: Call
) -> Estimate:
    """Return findings as an estimate: counts, table, picture, and the list of corrections on request."""
    answer = Estimate("materials audit", source)
    frame = as_frame(findings)
    answer.tables["findings"] = frame
    answer.quantities["rows_audited"] = Quantity(rows, "1", reason="counted")
    for severity in ORDER:
        count = sum(f.severity == severity for f in findings)
        answer.quantities[f"findings_{severity}"] = Quantity(count, "1", reason="counted")
    summary = (
        frame.groupby(["rule", "severity"], sort=False).size().rename("findings").reset_index()
    )
    answer.tables["rules"] = summary
    answer.provenance["references"] = REFERENCES
    answer.pictures.append(_picture(summary))
    for finding in worth_a_flag(findings):
        where = f"{finding.row}, {finding.column}"
        code = "faulty-row" if finding.line else "group-of-rows"
        answer.flag(code, f"{where}: {finding.evidence}", finding.proposal)
    if settings.fix_list:
        path = call.artifact("corrections.csv")
        frame[frame["proposal"] != ""].to_csv(path, index=False)
        answer.diagnostics["artifacts"] = [{"path": path.name, "sha256": sha256_of(path)}]
    return answer


def worth_a_flag(findings: list[Finding]) -> list[Finding]:
    """Return findings on groups of rows, and single rows that are wrong where a rule names only a few."""
    loud = [f for f in findings if f.severity in {"error", "warning"}]
    rows = [f for f in loud if f.line and f.severity == "error"]
    few = [f for f in rows if sum(g.rule == f.rule for g in rows) <= FEW]
    return few + [f for f in loud if not f.line]


def _picture(summary: pd.DataFrame) -> Picture:
    names = [f"{r} ({s})" for r, s in zip(summary["rule"], summary["severity"], strict=True)]
    panel = Panel(
        [bars(range(len(names)), summary["findings"], "findings", "flagged")],
        x_ticks=names,
        y_label="findings",
        x_label="rule (severity)",
    )
    return Picture("findings", "Findings by rule", [panel], "How often each rule spoke.")
