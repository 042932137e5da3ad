"""``check``: can this file be trusted? Reading, schema, and the verdict of its domain.

In: files of any kind. Out: one estimate per measurement with the verdict PASS, WARN or FAIL and the
findings as flags with remedies.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from matterscope.core.calls import Call, Input
from matterscope.core.estimates import Estimate, InputRef, Quantity
from matterscope.runs.catalogue import CHECKS, resolve

if TYPE_CHECKING:
    import xarray as xr

    from matterscope.runs.settings import CheckSettings


def check_files(inputs: list[Input], settings: CheckSettings, call: Call) -> list[Estimate]:
    """Return a verdict for every measurement of the inputs."""
    from matterscope.io.reading import read

    answers = []
    for given in inputs:
        options: dict[str, Any] = {"energy": settings.energy} if settings.energy else {}
        assert given.path is not None
        for dataset in read(
            given.path, kind=settings.kind or None, selector=given.selector, **options
        ):
            source = dataset.attrs["source"]
            ref = InputRef(given.source, str(source.get("selector", "")), given.sha256)
            estimate = _assess(dataset, call)
            estimate.capability, estimate.input = "check", ref
            answers.append(estimate)
    return answers


def _assess(dataset: xr.Dataset, call: Call) -> Estimate:
    kind = str(dataset.attrs["kind"])
    target = CHECKS.get(kind)
    estimate: Estimate = resolve(target)(dataset) if target else Estimate("check")
    for warning in dataset.attrs.get("warnings", []):
        estimate.flag(warning["code"], warning["message"], warning.get("remedy", ""))
    verdict = estimate.diagnostics.setdefault("verdict", "WARN" if estimate.flags else "PASS")
    estimate.quantities["verdict"] = Quantity(
        verdict, "1", reason="a judgement of the file, not a measured quantity"
    )
    estimate.diagnostics["kind"] = kind
    estimate.diagnostics["shape"] = {name: list(v.shape) for name, v in dataset.data_vars.items()}
    return estimate
