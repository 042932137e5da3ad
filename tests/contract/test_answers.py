"""Every verb answers in the same language: known quantities, an uncertainty or a reason, a picture, a digest.

Each verb has a scene here, cheap and without real data, or a reason why it has none.
"""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest

import matterscope
from matterscope.core.files import canonical_json
from matterscope.core.quantities import QUANTITIES
from matterscope.runs.catalogue import VERBS
from support.commands import parse

DEMO = Path(matterscope.__file__).parent / "spectra" / "shipped" / "demo_cu_k.h5"


def made(tmp_path, verb, name, **config):
    """Return a file made by a simulating verb."""
    run = matterscope.run(verb, store=tmp_path / "made", **config)
    return next((run.folder / "artifacts").glob(name))


def stream(tmp_path):
    return [made(tmp_path, "emitters simulate", "stream.*", kind="stream", duration=0.1)]


def pattern(tmp_path):
    return [made(tmp_path, "scattering simulate", "patterns.*", n=5, pixels=65)]


def energies(tmp_path):
    path = tmp_path / "energies.csv"
    rows = ["V_Cd,0,2.67,Cd", "V_Cd,-1,3.212,Cd", "V_Cd,-2,3.611,Cd", "Cd_i,2,0.9,", "Cd_i,0,3.5,"]
    path.write_text("\n".join(["defect,charge,energy,atoms_removed", *rows]))
    return [path]


def alloys(tmp_path):
    path = tmp_path / "alloys.csv"
    path.write_text("formula,gap (eV)\nCsPbI3,1.7\nCsPb0.5Sn0.5I3,1.3\nCsSnI3,1.35\nCsPbBr3,999\n")
    return [path]


BANDS = {"gap": 1.5, "electron_mass": 0.1, "hole_mass": 0.8, "volume_per_site": 35.0}


def crystal(tmp_path):
    path = tmp_path / "nio.vasp"
    path.write_text(
        "NiO\n1.0\n0 2.09 2.09\n2.09 0 2.09\n2.09 2.09 0\nNi O\n1 1\nDirect\n0 0 0\n0.5 0.5 0.5\n"
    )
    return [path]


def nothing(tmp_path):
    return []


SCENES = {
    "check": (lambda tmp: [DEMO], {}),
    "spectra infer": (lambda tmp: [f"{DEMO}:CuO"], {}),
    "spectra simulate": (nothing, {"ion": "Ni2+", "engine": "multiplet", "ten_dq": 1.1}),
    "spectra decks": (crystal, {"codes": ("feff", "vasp")}),
    "spectra compare": (lambda tmp: [f"{DEMO}:CuO", f"{DEMO}:Cu2O"], {}),
    "spectra mixture": (lambda tmp: [f"{DEMO}:CuO", f"{DEMO}:Cu2O", f"{DEMO}:CaCuO2"], {"components": 2, "draws": 20}),
    "spectra reduce": (lambda tmp: [f"{DEMO}:CuO"], {}),
    "spectra card": (nothing, {"name": "cu-k-xanes"}),
    "spectra plan": (nothing, {"have": ("O:K", "Ni:K", "Mn:K", "Co:K", "Ni:L3", "Mn:L3")}),
    "emitters simulate": (nothing, {"kind": "stream", "duration": 0.05}),
    "emitters g2": (stream, {"longest_lag": 0.0}),
    "emitters plan": (nothing, {"ions": 200, "scan": False}),
    "scattering simulate": (nothing, {"n": 4, "pixels": 65}),
    "scattering plan": (nothing, {"n": 5, "structures": 2, "check": 1, "beamstops": (7.0,)}),
    "scattering density": (pattern, {}),
    "materials diagram": (energies, BANDS),
    "materials fermi": (energies, BANDS),
    "materials levels": (nothing, {"host": ("CdTe",), "impurity": ("Cu",), "site": ("Cd",)}),
    "materials correct": (nothing, {"charge": 2, "epsilon": (10.4,), "length": (13.1,)}),
    "materials enumerate": (nothing, {}),
    "materials convert": (alloys, {}),
    "materials audit": (alloys, {}),
    "materials slme": (nothing, {"sq": ("1.5",)}),
}  # fmt: skip
ELSEWHERE = {
    "spectra train": "needs a data set of spectra with structures",
    "spectra evaluate": "needs a data set; tests/unit/test_spectra_transfer.py",
    "spectra fuse": "needs a built set; tests/unit/test_spectra_fusion.py",
    "spectra search": "needs a built set; tests/unit/test_spectra_search.py",
    "spectra crystal-field": "a fit of many CPU seconds; tests/unit/test_spectra_crystal_field.py",
    "spectra build": "runs a relaxer and FEFF for minutes",
    **dict.fromkeys(
        [
            *(
                f"emitters {v}"
                for v in (
                    "card",
                    "convert",
                    "ensemble",
                    "identify",
                    "lifetime",
                    "lineshape",
                    "linewidth",
                    "map",
                    "polarization",
                    "saturation",
                    "spectrum",
                    "trace",
                    "train",
                )
            ),
            *(
                f"materials {v}"
                for v in (
                    "correct",
                    "diagram",
                    "fermi",
                    "levels",
                    "predict",
                    "screen",
                    "suggest",
                    "train",
                )
            ),
            *(f"scattering {v}" for v in ("evaluate", "train")),
            *(f"spectra {v}" for v in ("compare-features", "decks", "explain", "map", "oxidation")),
        ],
        "needs a table, a file or a run; tests/unit and tests/realdata",
    ),
}
"""Verbs without a scene: their contract is held by tests of their own, with the reason."""


def test_every_verb_has_a_scene_or_a_reason():
    assert set(SCENES) | set(ELSEWHERE) >= set(VERBS), set(VERBS) - set(SCENES) - set(ELSEWHERE)


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    """One run of each scene, made when it is first asked for."""
    runs = {}

    def answer(verb):
        if verb not in runs:
            folder = tmp_path_factory.mktemp("scene")
            inputs, config = SCENES[verb]
            given = inputs(folder)
            runs[verb] = (
                given,
                config,
                matterscope.run(verb, *given, store=folder / "runs", **config),
            )
        return runs[verb]

    return answer


@pytest.mark.parametrize("verb", sorted(SCENES))
def test_answers_speak_the_vocabulary_and_say_how_sure_they_are(verb, answers):
    _, _, run = answers(verb)
    assert run.entries
    for entry in run.entries:
        json.dumps(entry, allow_nan=False)
        for name, q in entry["quantities"].items():
            assert name in QUANTITIES, f"{name} is not in core.quantities"
            assert q.get("intervals") or q.get("probabilities") or q.get("uncertainty")
            if QUANTITIES[name][0]:
                assert q["units"] == QUANTITIES[name][0], name
            for band in q.get("intervals", []):
                if None not in (band["low"], band["high"], q["value"]) and not isinstance(
                    q["value"], str
                ):
                    assert band["low"] <= band["high"], name
            levels = [i["level"] for i in q.get("intervals", [])]
            assert levels == sorted(levels)
        for flag in entry["flags"]:
            assert flag["code"]
            assert flag["message"]


@pytest.mark.parametrize("verb", sorted(set(SCENES) - {"check"}))
def test_answers_have_pictures_and_references(verb, answers):
    _, _, run = answers(verb)
    assert any(e["figures"] for e in run.entries)
    assert any(e["provenance"].get("references") for e in run.entries), "nothing to cite"


@pytest.mark.parametrize("verb", sorted(SCENES))
def test_reports_stay_small_and_load_nothing_from_elsewhere(verb, answers):
    _, _, run = answers(verb)
    text = (run.folder / "report.html").read_text()
    assert len(text) < 1_000_000
    assert "<img" not in text.replace('<img src="data:', "")
    assert "<link" not in text


@pytest.mark.parametrize("verb", sorted(SCENES))
def test_the_same_call_gives_the_same_digest(verb, answers, tmp_path):
    given, config, run = answers(verb)
    assert matterscope.run(verb, *given, store=tmp_path, **config).digest == run.digest


@pytest.mark.parametrize("verb", sorted(v for v in SCENES if " " in v))
def test_the_public_function_gives_the_recorded_quantities(verb, answers):
    given, config, run = answers(verb)
    domain, name = verb.split(" ", 1)
    found = getattr(getattr(matterscope, domain), name.replace("-", "_"))(*given, **config)
    for estimate, entry in zip(
        found if isinstance(found, list) else [found], run.entries, strict=True
    ):
        fresh = json.loads(canonical_json(estimate.as_json()["quantities"]))
        assert fresh == entry["quantities"]


@pytest.mark.parametrize("verb", sorted(SCENES))
def test_the_recorded_command_is_one_that_the_program_takes(verb, answers):
    _, _, run = answers(verb)
    command = json.loads((run.folder / "run.json").read_text())["command"]
    words = shlex.split(command)
    assert words[0] == "matterscope"
    parse(words[1:])
