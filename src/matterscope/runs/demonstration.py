"""The demo: the verbs of the product on data the project made, with the truth beside the answers.

In: an output folder and a seed. Out: one run per step in a store under that folder, and one page.
Every step goes through `runs.execute`, as a user's call does; nothing is prepared for the answer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.resources import files as resources
from pathlib import Path
from typing import Any

from matterscope import __version__
from matterscope.core.calls import Progress, silent
from matterscope.core.files import write_text
from matterscope.runs.answers import half_width, interval_text, number, subject
from matterscope.runs.catalogue import VERBS
from matterscope.runs.execute import Options, Run, execute
from matterscope.runs.report import answer_view, environment


@dataclass(frozen=True)
class Step:
    """One thing shown: a verb, its inputs (made by earlier steps or shipped), and what is true."""

    title: str
    sentence: str
    verb: str
    inputs: Callable[[dict[str, Run]], list[Any]] = lambda done: []
    config: dict[str, Any] = field(default_factory=dict)
    name: str = ""
    truth: Callable[[dict[str, Run]], list[dict[str, Any]]] = lambda done: []
    """One {quantity: value} per answer, in order; from the simulation, never from the inference."""
    show: int = 2
    """Answers shown in full; the others stand in the table and in their own report."""


def shipped(domain: str, name: str) -> Path:
    """Return the path of a file that ships with the package."""
    return Path(str(resources("matterscope").joinpath(domain, "shipped", name)))


def artifact(run: Run, index: int = 0) -> Path:
    """Return a file that an earlier step made."""
    made = [a for e in run.entries for a in e["diagnostics"].get("artifacts", [])]
    return run.folder / "artifacts" / str(made[index]["path"])


def _stored_truth(path: Path) -> list[dict[str, Any]]:
    from matterscope.io import read

    return [dict(d.attrs["truth"]) for d in read(path)]


def _told(name: str, *quantities: str) -> Callable[[dict[str, Run]], list[dict[str, Any]]]:
    """Return the truth that an earlier simulation step stated, for the named quantities."""

    def truth(done: dict[str, Run]) -> list[dict[str, Any]]:
        stated = [e["diagnostics"]["truth"] for e in done[name].entries]
        return [{q: s[q] for q in quantities if q in s} for s in stated]

    return truth


DEMO_SPECTRA = shipped("spectra", "demo_cu_k.h5")
STEPS: tuple[Step, ...] = (
    Step(
        "Copper in six oxides, from their K edges",
        "Spectra computed with FEFF10 for known structures, with noise and an axis of their own; the model was trained on another code's spectra of other materials.",
        "spectra infer",
        inputs=lambda done: [DEMO_SPECTRA],
        truth=lambda done: _stored_truth(DEMO_SPECTRA),
    ),
    Step(
        "A photon stream with a known emitter",
        "One three-level emitter, five per cent background, two detectors with jitter: every detection drawn one by one.",
        "emitters simulate",
        config={"kind": "stream", "preset": "hbn", "duration": 0.3},
        name="stream",
        show=0,
    ),
    Step(
        "Is it one emitter?",
        "The stream of the step before, read from its PTU file; the likelihood knows nothing of the simulation.",
        "emitters g2",
        inputs=lambda done: [artifact(done["stream"])],
        truth=_told("stream", "g2_zero"),
    ),
    Step(
        "A speckle pattern of a dozen unequal disks",
        "Ten photons per pixel behind a beam stop; the structure lies in a file that the answer never reads.",
        "scattering simulate",
        config={"kind": "disks", "n": 12, "photons": 10.0},
        name="speckle",
        show=0,
    ),
    Step(
        "How many disks, where, and how large?",
        "No training: the disks are fitted to the counts and must explain every pixel within its noise.",
        "scattering density",
        inputs=lambda done: [artifact(done["speckle"])],
        truth=_told("speckle", "disk_number", "disk_radius"),
    ),
)


def demonstrate(out: Path, seed: int, progress: Progress = silent) -> Path:
    """Run every step and write ``report.html`` under `out`; return its path."""
    out.mkdir(parents=True, exist_ok=True)
    done: dict[str, Run] = {}
    views, rows = [], []
    steps = [s for s in STEPS if s.verb in VERBS]
    for number_, step in enumerate(steps):
        run = execute(
            step.verb, step.inputs(done), step.config, Options(seed=seed, store=str(out / "runs"))
        )
        done[step.name or step.verb] = run
        views.append(
            {
                "title": step.title,
                "sentence": step.sentence,
                "command": command(run),
                "answers": [answer_view(run.folder, e) for e in run.entries[: step.show]],
            }
        )
        for entry, known in zip(run.entries, step.truth(done), strict=False):
            rows += _compare(entry, known)
        progress(number_ + 1, len(steps), "demo")
    judged = [r for r in rows if r["inside"] is not None]
    page = out / "report.html"
    template = environment().get_template("demo.html")
    write_text(
        page,
        template.render(
            title="The main job, on data with a known truth",
            version=__version__,
            seed=seed,
            rows=rows,
            steps=views,
            inside=sum(r["inside"] for r in judged),
            known=len(judged),
        ),
    )
    return page


def command(run: Run) -> str:
    """Return the command that repeats a run, with file names instead of paths."""
    from matterscope.runs.store import read_json

    text: str = read_json(run.folder / "run.json")["command"]
    return " ".join(Path(word).name if "/" in word else word for word in text.split(" "))


def _compare(entry: dict[str, Any], known: dict[str, Any]) -> list[dict[str, Any]]:
    rows = []
    for name, truth in known.items():
        answer = entry["quantities"].get(name)
        if answer is None:
            continue
        inside = covers(answer, truth)
        band = next((i for i in answer.get("intervals", []) if abs(i["level"] - 0.9) < 1e-9), None)
        units = "" if answer["units"] == "1" else f" {answer['units']}"
        rows.append(
            {
                "thing": subject(entry),
                "quantity": name.replace("_", " "),
                "truth": number(truth, half_width(answer)) + units,
                "answer": number(answer["value"], half_width(answer)) + units,
                "interval": interval_text(band, half_width(answer)) if band else _odds(answer),
                "verdict": {True: "inside", False: "outside", None: ""}[inside],
                "inside": inside,
            }
        )
    return rows


def covers(answer: dict[str, Any], truth: Any) -> bool | None:
    """Return whether the 90 % interval, or the likeliest values that make up 90 %, hold the truth."""
    band = next((i for i in answer.get("intervals", []) if abs(i["level"] - 0.9) < 1e-9), None)
    if band is not None and isinstance(truth, (int, float)):
        low, high = band["low"], band["high"]
        return (low is None or low <= truth) and (high is None or truth <= high)
    held = 0.0
    for value, share in sorted(answer.get("probabilities", {}).items(), key=lambda i: -i[1]):
        if held >= 0.9:
            return False
        held += share
        if value == str(truth) or (value.lstrip("-").isdigit() and float(value) == truth):
            return True
    return None


def _odds(answer: dict[str, Any]) -> str:
    ranked = sorted(answer.get("probabilities", {}).items(), key=lambda i: -i[1])[:3]
    return ", ".join(f"p({v}) = {number(p, 0.01)}" for v, p in ranked)
