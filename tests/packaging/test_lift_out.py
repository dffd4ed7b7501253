"""First-party plugins have no privilege: each is lifted out of the project, packaged by itself, and keeps all its promises.

Core and command line are built without a single plugin, and every folder of `plugins/` becomes a distribution of its own,
`twm-lifted-NAME`, which requires `twm` as anybody's would. Each is installed by pip into a folder of its own. They meet in the
interpreter of a new virtual environment that has links to every library installed here, but nothing of the `twm` that is installed
here; the processes that the conformance kit starts run in that environment as well.

Core without any plugin, and with all of them blocked, must answer every command: with what was asked, or with one clear error.
"""

from __future__ import annotations

import json
import os
import re
import runpy
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import venv
from collections.abc import Callable, Sequence
from functools import cached_property
from importlib.metadata import distribution
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import tomli_w

import twm_core
from twm_core.plugin.registry import discover

ROOT = Path(__file__).parents[2]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
ENTRIES: dict[str, str] = PROJECT["project"]["entry-points"]["twm"]
TABLE = ROOT / "tests" / "plugins" / "test_conformance_first_party.py"
VARIANTS = 1
"""Of each component; `tests/plugins` checks all of them."""

NEEDS: dict[str, tuple[str, ...]] = {
    # A protocol is a choice of other components: those of these plugins must be there to be chosen.
    "protocols": ("highway", "datasets", "metrics", "baselines"),
}
"""Plugins that others refer to by the names of components; all other plugins are checked with nothing but core beside them."""

SLOW = {"datasets", "multimodal", "pictures"}
"""Those whose promises take more than ten seconds to check."""

MISSING = tomllib.loads((ROOT / "twm_core/recipe/preset_files/default.toml").read_text(encoding="utf-8"))["dataset"]["component"]
"""The first component that the default recipe wants."""

CHECK = """
import importlib.metadata, json, sys
import twm_core
from twm_core.plugin.registry import discover
from twm_core.testing.runner import run_checks

name, table, variants = json.loads(sys.argv[1])
registry = discover()
chosen = [r for r in registry.components() if r.plugin.distribution == name]
keys = [f"{r.component.kind}/{r.component.name}" for r in chosen]
options = {key: table[key][:variants] for key in keys if key in table}
results = run_checks(chosen, options=options, say=lambda line: print(line, file=sys.stderr))
visible = [d for d in importlib.metadata.distributions() if d.entry_points.select(group="twm") or d.name == "twm"]
print(json.dumps({
    "path": sys.path,
    "files": {n: getattr(m, "__file__", None) or "" for n, m in sys.modules.items()},
    "distributions": [[d.name, str(d.locate_file("")), [e.name for e in d.entry_points.select(group="twm")]] for d in visible],
    "rows": [[p.distribution, p.name, p.status, p.reason] for p in registry.plugins],
    "components": keys,
    "results": [[r.component, r.check, r.status, r.reason] for r in results],
}))
"""


Done = subprocess.CompletedProcess[str]


class Workshop:
    """Builds distributions, and an interpreter that sees the libraries installed here and, of twm, only what it is told to.

    Args:
        folder: Where all of it is put.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._installed: dict[str, Path] = {}

    @cached_property
    def python(self) -> Path:
        """An interpreter without twm: site-packages of its environment are links to everything here that twm did not install."""
        place = self.folder / "environment"
        venv.EnvBuilder(symlinks=True).create(place)
        own = {file.parts[0] for file in distribution("twm").files or ()}
        assert any(name.startswith("twm-") for name in own)  # else there is nothing to hide, and this test would prove little
        target = Path(sysconfig.get_path("purelib", "venv", {"base": str(place)}))
        for source in {Path(sysconfig.get_path(scheme)) for scheme in ("purelib", "platlib")}:
            for each in source.iterdir():
                if each.name not in own:
                    (target / each.name).symlink_to(each)
        return place / "bin" / "python"

    @cached_property
    def core(self) -> Path:
        """Core and command line as the project describes them, without any plugin."""
        project = {k: v for k, v in PROJECT["project"].items() if k != "entry-points"}
        tool = {"version": PROJECT["tool"]["hatch"]["version"], "build": _packages("twm_core", "twm_cli")}
        source = self._source("twm", {"project": project, "tool": {"hatch": tool}}, ROOT / "twm_core", ROOT / "cli" / "twm_cli")
        for file in ("README.md", "LICENSE"):
            shutil.copy(ROOT / file, source)
        return self._install(source)

    def lifted(self, name: str) -> Path:
        """The plugin of this entry point, as a distribution of its own."""
        if name not in self._installed:
            module = ENTRIES[name].partition(".")[0]
            project = {
                "name": f"twm-lifted-{name}",
                "version": "7.8.9",
                "dependencies": [f"twm>={twm_core.__version__}"],
                "entry-points": {"twm": {name: ENTRIES[name]}},
            }
            tool = {"hatch": {"build": _packages(module)}}
            source = self._source(f"twm-lifted-{name}", {"project": project, "tool": tool}, ROOT / "plugins" / module)
            self._installed[name] = self._install(source)
        return self._installed[name]

    def run(self, places: Sequence[Path], *words: str) -> Done:
        """Run the interpreter with these folders on its path, away from the project."""
        return _run(self.python, *words, cwd=self.away, PYTHONPATH=os.pathsep.join(map(str, places)))

    @cached_property
    def away(self) -> Path:
        """An empty folder, for processes that must not find anything where they run."""
        place = self.folder / "away"
        place.mkdir()
        return place

    def _source(self, name: str, pyproject: dict[str, Any], *packages: Path) -> Path:
        source = self.folder / "sources" / name
        for package in packages:
            shutil.copytree(package, source / package.name, ignore=shutil.ignore_patterns("__pycache__"))
        backend = {"build-system": PROJECT["build-system"]}
        (source / "pyproject.toml").write_text(tomli_w.dumps({**backend, **pyproject}), encoding="utf-8")
        return source

    def _install(self, source: Path) -> Path:
        site = self.folder / "sites" / source.name
        alone = ("--no-build-isolation", "--no-deps", "--no-index", "--no-cache-dir", "--disable-pip-version-check")
        done = _run(sys.executable, "-m", "pip", "install", "--quiet", *alone, "--target", str(site), str(source), cwd=self.folder)
        assert done.returncode == 0, done.stdout + done.stderr
        return site


def _packages(*packages: str) -> dict[str, Any]:
    return {"targets": {"wheel": {"packages": list(packages)}}}


def _run(*words: str | Path, cwd: Path, **environ: str) -> Done:
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("TWM_", "PYTHON"))}
    env = {**clean, "OMP_NUM_THREADS": "1", "COLUMNS": "140", **environ}
    return subprocess.run(words, cwd=cwd, env=env, capture_output=True, text=True, timeout=600, check=False)


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    """One for each worker, which makes what its tests ask for."""
    return Workshop(tmp_path_factory.mktemp("lifted"))


@pytest.fixture(scope="module")
def table() -> dict[str, list[dict[str, Any]]]:
    """The small options with which twm's own components are checked in the project."""
    with patch("twm_core.testing.conformance", lambda *_, **__: None):
        return runpy.run_path(str(TABLE))["OPTIONS"]


@pytest.mark.parametrize("name", [pytest.param(n, marks=[pytest.mark.slow] if n in SLOW else []) for n in ENTRIES])
def test_a_plugin_in_a_distribution_of_its_own_keeps_all_its_promises(
    workshop: Workshop, table: dict[str, list[dict[str, Any]]], name: str
) -> None:
    beside = {f"twm-lifted-{n}": (n, workshop.lifted(n)) for n in (name, *NEEDS.get(name, ()))}
    places = [workshop.core, *(place for _, place in beside.values())]
    words = json.dumps([f"twm-lifted-{name}", table, VARIANTS])
    done = workshop.run(places, "-c", CHECK, words)
    assert done.returncode == 0, done.stderr
    given = json.loads(done.stdout)

    # It ran on what was lifted out, and on nothing of the project.
    assert [p for p in given["path"] if Path(p).is_relative_to(ROOT)] == []
    assert [n for n, file in given["files"].items() if file and Path(file).is_relative_to(ROOT)] == []
    assert Path(given["files"]["twm_core"]).parent.parent == workshop.core
    assert Path(given["files"][ENTRIES[name]]).parent.parent == workshop.lifted(name)
    assert sorted(given["distributions"]) == sorted(
        [["twm", str(workshop.core), []], *([distribution, str(place), [n]] for distribution, (n, place) in beside.items())]
    )
    assert given["rows"] == [[distribution, n, "loaded", ""] for distribution, (n, _) in sorted(beside.items())]

    # It provides what it provides in the project, and every component passes.
    (plugin,) = [p for p in discover(environ={}).plugins if (p.distribution, p.name) == ("twm", name)]
    assert given["components"] == [f"{c.kind}/{c.name}" for c in plugin.components]
    assert [r for r in given["results"] if r[2] not in ("passed", "skipped")] == []
    assert {component for component, _, status, _ in given["results"] if status == "passed"} == set(given["components"])


@pytest.fixture(scope="module", params=["no plugin is installed", "every plugin is blocked"])
def bare(request: pytest.FixtureRequest, workshop: Workshop) -> Callable[..., Done]:
    """`twm` without any component."""
    if request.param == "no plugin is installed":
        return lambda *words: workshop.run([workshop.core], "-m", "twm_cli", *words)
    return lambda *words: _run(sys.executable, "-m", "twm_cli", *words, cwd=workshop.away, TWM_DISABLE_PLUGINS="*")


def test_the_interpreter_of_these_tests_sees_core_alone(workshop: Workshop) -> None:
    script = "import twm_core, twm_cli; from importlib.util import find_spec; import sys; print([n for n in sys.argv[1:] if find_spec(n)])"
    modules = sorted(v.partition(".")[0] for v in ENTRIES.values())
    done = workshop.run([workshop.core], "-c", script, *modules, "torch")
    assert (done.returncode, done.stdout.strip()) == (0, "['torch']"), done.stderr


def test_without_components_the_list_is_empty_and_names_what_is_blocked(bare: Callable[..., Done]) -> None:
    done, parsed = bare("list-plugins"), json.loads(bare("list-plugins", "--json").stdout)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[0] == "no components"
    assert parsed["components"] == []
    assert [p["name"] for p in parsed["plugins"]] == re.findall(r"^blocked +(\S+) .* TWM_DISABLE_PLUGINS names '\*'$", done.stdout, re.M)
    assert {p["status"] for p in parsed["plugins"]} <= {"blocked"}


def test_without_plugins_nothing_is_listed_and_with_all_blocked_all_are(workshop: Workshop) -> None:
    alone = json.loads(workshop.run([workshop.core], "-m", "twm_cli", "list-plugins", "--json").stdout)
    assert alone == {"schema": 1, "plugins": [], "components": [], "warnings": []}
    words = ("-m", "twm_cli", "list-plugins", "--json")
    blocked = json.loads(_run(sys.executable, *words, cwd=workshop.away, TWM_DISABLE_PLUGINS="*").stdout)
    assert {p["name"] for p in blocked["plugins"] if p["distribution"] == "twm"} == set(ENTRIES)


@pytest.mark.parametrize(
    ("words", "missing"),
    [
        ("describe rssm-cat", "no component is called 'rssm-cat'"),
        ("describe dynamics/rssm-cat", "no dynamics is called 'rssm-cat'; installed: none"),
        ("check", f"no dataset is called {MISSING!r}; installed: none"),
        ("train --dry-run", f"no dataset is called {MISSING!r}; installed: none"),
        ("config", f"no dataset is called {MISSING!r}; installed: none"),
        ("data import levelx --to store", "no reader is called 'levelx'; installed: none"),
    ],
)
def test_without_components_a_command_says_which_one_is_missing_and_where_to_look(
    bare: Callable[..., Done], words: str, missing: str
) -> None:
    done = bare(*words.split())
    assert (done.returncode, done.stdout) == (2, "")
    error, hint = done.stderr.splitlines()
    assert error == f"error: {missing}"
    assert re.match(r"hint: .*(twm list-plugins|install|TWM_DISABLE_PLUGINS)", hint), hint


@pytest.mark.parametrize("words", ["", "--help", "--version", "train --help", "check --help", "data --help", "data readers"])
def test_without_components_help_is_given_all_the_same(bare: Callable[..., Done], words: str) -> None:
    done = bare(*words.split())
    assert done.returncode == 0, done.stderr
    assert done.stdout
    assert "Traceback" not in done.stderr
