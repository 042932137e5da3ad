"""``check``: can this file be trusted? Reading, schema, and the verdict of its domain.

In: files of any kind. Out: one estimate per measurement with the verdict PASS, WARN or FAIL and the
findings as flags with remedies.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from matterscope.core.calls import Call, Input
from matterscope.core.estimates import Estimate, InputRef, Quantity
from matterscope.runs.catalogue import CHECKS, resolve
from matterscope.runs.soundness import findings, picture, summary

if TYPE_CHECKING:
    import xarray as xr

    from matterscope.runs.settings import CheckSettings


def check_files(inputs: list[Input], settings: CheckSettings, call: Call) -> list[Estimate]:
    """Return a verdict for every measurement of the inputs."""
    from matterscope.io.reading import kinds_claimed, read
    from matterscope.runs import holdings

    answers = []
    for given in inputs:
        options: dict[str, Any] = {"energy": settings.energy} if settings.energy else {}
        assert given.path is not None
        held = None if settings.kind or settings.energy else holdings.assess(given.path)
        if held is not None:
            held.input = given.ref
            answers.append(held)
            continue
        found = read(given.path, kind=settings.kind or None, selector=given.selector, **options)
        others = [] if settings.kind else kinds_claimed(given.path)
        for dataset in found:
            source = dataset.attrs["source"]
            ref = InputRef(given.source, str(source.get("selector", "")), given.sha256)
            estimate = _assess(dataset, others)
            estimate.capability, estimate.input = "check", ref
            answers.append(estimate)
    return answers


def _assess(dataset: xr.Dataset, kinds: list[str]) -> Estimate:
    kind = str(dataset.attrs["kind"])
    target = CHECKS.get(kind)
    estimate: Estimate = resolve(target)(dataset) if target else Estimate("check")
    found = findings(dataset)
    for finding in found:
        estimate.flag(finding.code, finding.message, finding.remedy)
    for warning in dataset.attrs.get("warnings", []):
        estimate.flag(warning["code"], warning["message"], warning.get("remedy", ""))
    for sentence in dataset.attrs.get("flags", []):
        estimate.flag("read_with_a_guess", f"{sentence[:1].upper()}{sentence[1:]}.")
    own = estimate.diagnostics.get("verdict", "WARN" if estimate.flags else "PASS")
    verdict = "FAIL" if any(f.level == "FAIL" for f in found) else own
    estimate.diagnostics["verdict"] = verdict
    estimate.quantities["verdict"] = Quantity(
        verdict, "1", reason="a judgement of the file, not a measured quantity"
    )
    others = [k for k in kinds if k != kind]
    guess = f"; --kind reads it as {' or '.join(others)} instead" if others else ""
    estimate.quantities["measurement_kind"] = Quantity(
        summary(dataset), "1", reason=f"read as {dataset.attrs['source']['reader']}{guess}"
    )
    if not estimate.pictures:
        estimate.pictures.append(picture(dataset))
    estimate.diagnostics["kind"] = kind
    estimate.diagnostics["shape"] = {name: list(v.shape) for name, v in dataset.data_vars.items()}
    return estimate
