"""The house is as DESIGN says: one-way imports, light help, closed tables that resolve, small files."""

from __future__ import annotations

import ast
import importlib
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import pytest

import matterscope
from matterscope.cli.options import SHARED, parameters
from matterscope.core.quantities import QUANTITIES
from matterscope.core.settings import Settings
from matterscope.core.units import UNITS
from matterscope.io.formats import FORMATS
from matterscope.runs.catalogue import CHECKS, VERBS, resolve

SOURCE = Path(matterscope.__file__).parent
ROOT = SOURCE.parents[1]
HEAVY = [
    "numpy",
    "scipy",
    "pandas",
    "xarray",
    "sklearn",
    "skimage",
    "matplotlib",
    "torch",
    "numba",
    "zarr",
    "h5py",
    "dask",
    "fastapi",
    "ase",
    "pymatgen",
]
DOMAINS = ["spectra", "emitters", "scattering", "materials"]


def loaded_by(*words):
    code = f"import sys\nfrom matterscope.cli.app import build\ntry:\n    build({list(words)!r})(args={list(words)!r}, standalone_mode=False)\nexcept SystemExit: pass\nprint('LOADED', [m for m in {HEAVY!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert "LOADED" in done.stdout, done.stderr
    return done.stdout.split("LOADED")[1].strip()


@pytest.mark.parametrize(
    "words",
    [
        ["--help"],
        *[[d, "--help"] for d in DOMAINS],
        ["runs", "--help"],
        ["data", "--help"],
        ["check", "--help"],
        ["demo", "--help"],
        ["doctor", "--help"],
    ],
    ids=" ".join,
)
def test_help_loads_no_science(words):
    assert loaded_by(*words) == "[]"


@pytest.mark.parametrize("name", [n for n in VERBS if " " in n])
def test_the_help_of_every_verb_loads_no_science(name):
    assert loaded_by(*name.split(" ", 1), "--help") == "[]"


def test_importing_the_package_loads_no_science():
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            f"import sys, matterscope, matterscope.spectra, matterscope.emitters; print([m for m in {HEAVY!r} if m in sys.modules])",
        ],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("name", VERBS)
def test_every_verb_of_the_table_resolves_and_its_settings_are_options(name):
    verb = VERBS[name]
    assert callable(resolve(verb.function))
    settings = resolve(verb.settings)
    assert issubclass(settings, Settings)
    made = parameters(settings, verb.inputs, verb.metavar)
    assert set(SHARED) <= {p.name for p in made}
    for field in settings.model_fields.values():
        assert field.description
        assert field.description.endswith((".", "?"))


@pytest.mark.parametrize("kind", CHECKS)
def test_every_check_of_the_table_resolves(kind):
    assert callable(resolve(CHECKS[kind]))


@pytest.mark.parametrize("entry", FORMATS, ids=lambda f: f.name)
def test_every_format_of_the_table_resolves(entry):
    module = importlib.import_module(f"matterscope.io.{entry.module}")
    assert callable(module.sniff)
    assert callable(module.read)
    assert callable(module.write) if entry.writes else True


def test_quantities_have_units_of_the_table_and_a_definition():
    for name, (units, meaning) in QUANTITIES.items():
        assert re.fullmatch(r"[a-z0-9_]+", name), name
        assert units == "" or units in UNITS, name
        assert meaning, name


@pytest.mark.parametrize("domain", DOMAINS)
def test_public_functions_never_have_the_name_of_a_module(domain):
    package = importlib.import_module(f"matterscope.{domain}")
    modules = {m.name for m in pkgutil.iter_modules(package.__path__)}
    assert not modules & set(package.__all__)
    for name in package.__all__:
        assert callable(getattr(package, name)), name


def test_files_are_short_and_no_room_is_a_junk_room():
    for path in SOURCE.rglob("*.py"):
        assert path.stem not in {"utils", "util", "helpers", "misc", "common", "manager"}, path
        assert len(path.read_text().splitlines()) <= 520, path


def taken(path, known):
    """Modules of the house that a file imports, wherever in the file it does so, types included."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (a.name for a in node.names if a.name in known)
        elif isinstance(node, ast.ImportFrom) and node.module:
            parts = [f"{node.module}.{a.name}" for a in node.names]
            yield from (p if p in known else node.module for p in parts)


def test_no_two_files_take_from_each_other():
    paths = {
        ".".join(p.relative_to(SOURCE.parent).with_suffix("").parts): p
        for p in SOURCE.rglob("*.py")
        if p.name != "__init__.py"
    }
    arrows = {(name, to) for name, p in paths.items() for to in taken(p, paths) if to in paths}
    assert len(arrows) > 500
    assert {(a, b) for a, b in arrows if (b, a) in arrows} == set()


def planted(tmp_path, home, line):
    import shutil

    tree = tmp_path / "src"
    shutil.copytree(
        SOURCE, tree / "matterscope", ignore=shutil.ignore_patterns("__pycache__", "shipped")
    )
    target = tree / "matterscope" / home
    target.write_text(line + "\n" + target.read_text())
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    program = Path(sys.executable).with_name("lint-imports")
    return subprocess.run(
        [str(program), "--no-cache"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(tree), "PATH": ""},
        capture_output=True,
        text=True,
        timeout=100,
    )


@pytest.mark.parametrize(
    ("home", "line"),
    [
        ("emitters/settings.py", "import matterscope.spectra.settings"),
        ("core/errors.py", "import pickle"),
        ("learn/splits.py", "import matterscope.runs.store"),
    ],
)
def test_a_planted_wrong_import_is_found(tmp_path, home, line):
    done = planted(tmp_path, home, line)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "BROKEN" in done.stdout


def test_imports_point_one_way(tmp_path):
    done = planted(tmp_path, "core/errors.py", "")
    assert done.returncode == 0, done.stdout
