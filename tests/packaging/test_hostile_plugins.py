"""Fourteen hostile distributions installed side by side: each is named with its reason, and everything else goes on working.

The distributions are folders as pip leaves them (`*.dist-info` and a module), put on the path of a fresh interpreter, because what
torch, numpy and an earlier import have left in this process would hide what a declaration brings in.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

import pytest

HEAD = "from twm_core import Component, hookimpl\n"


def declaring(kind: str = "dynamics", name: str = "leaky", config: str = "nowhere:Config", prefix: str = "") -> str:
    record = f"Component(kind={kind!r}, name={name!r}, summary='A test.', config={config!r}, build='nowhere:build')"
    return f"{HEAD}{prefix}\n@hookimpl\ndef twm_components():\n    return [{record}]\n"


@dataclass(frozen=True, kw_only=True)
class Hostile:
    """One distribution, and what `twm list-plugins` must say about it."""

    text: str
    status: str
    reason: str
    entry: str = "plugin"
    requires: str = ""
    target: str = ""


HOSTILE = {
    "h-import-error": Hostile(
        text="import absent_module",
        status="broken",
        reason=r"ModuleNotFoundError: No module named 'absent_module' \(.*h_import_error.py line 1\)",
    ),
    "h-exits": Hostile(text="import sys\nsys.exit(7)", status="broken", reason=r"SystemExit: 7 \(.*h_exits.py line 2\)"),
    "h-misspelled-hook": Hostile(
        text=HEAD + "@hookimpl\ndef twm_component(): return []",
        status="broken",
        reason="unknown hook 'twm_component'; did you mean 'twm_components'?".replace("?", r"\?"),
    ),
    "h-needs-newer-twm": Hostile(
        text="raise AssertionError('imported although incompatible')",
        requires="twm>=99",
        status="incompatible",
        reason=r"h-needs-newer-twm 1\.2\.3 requires twm>=99, this is twm .+",
    ),
    "h-torch": Hostile(
        text=declaring(name="heavy", prefix="import torch"),
        status="loaded",
        reason="its declaration imports torch and numpy; import them in the module that `build` names",
    ),
    "h-namesake": Hostile(text=declaring(name="rssm-cat"), status="loaded", reason=""),
    "h-raises": Hostile(
        text=HEAD + "@hookimpl\ndef twm_components(): return 1 / 0",
        status="broken",
        reason=r"twm_components raised ZeroDivisionError: division by zero \(.*h_raises.py line 3\)",
    ),
    "h-no-component": Hostile(
        text=HEAD + "@hookimpl\ndef twm_components(): return ['leaky']",
        status="broken",
        reason="twm_components returned str 'leaky' in its list instead of a Component",
    ),
    "h-missing-module": Hostile(
        text="", target="h_absent.plugin", status="broken", reason="ModuleNotFoundError: No module named 'h_absent'"
    ),
    "h-wrong-argument": Hostile(
        text=HEAD + "@hookimpl\ndef twm_step_finished(step, losses): pass",
        status="broken",
        reason=r"PluginValidationError: .*twm_step_finished\(step, losses\).*'losses'.*",
    ),
    "h-prints": Hostile(text=declaring(name="loud", prefix='print(\'{"not": "json"}\')'), status="loaded", reason=""),
    "h-same-entry": Hostile(text=declaring(name="leaky"), entry="rssm", status="loaded", reason=""),
    "h-bad-name": Hostile(
        text=declaring(name="Leaky_2"),
        status="broken",
        reason=r"twm_components raised PluginError: component dynamics 'Leaky_2': a name is .*",
    ),
    "h-bad-config": Hostile(text=declaring(name="nowhere", config="h_bad_config:Absent"), status="loaded", reason=""),
}

REPORT = """
import dataclasses, json, sys
from twm_core.plugin.registry import discover
registry = discover()
errors = {}
for kind, name in json.loads(sys.argv[1]):
    try:
        found = registry.find(kind, name)
        found.load_config()
        errors[name] = None
    except Exception as error:
        errors[name] = f"{type(error).__name__}: {error}"
rows = [dataclasses.asdict(p) for p in registry.plugins]
print(json.dumps({"rows": rows, "warnings": registry.warnings, "errors": errors, "torch": "torch" in sys.modules}))
"""


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of an interpreter that sees all hostile distributions."""
    folder = tmp_path_factory.mktemp("site")
    for name, hostile in HOSTILE.items():
        module = name.replace("-", "_")
        info = folder / f"{module}-1.2.3.dist-info"
        info.mkdir()
        requires = f"Requires-Dist: {hostile.requires}\n" if hostile.requires else ""
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.2.3\n{requires}")
        (info / "entry_points.txt").write_text(f"[twm]\n{hostile.entry} = {hostile.target or module}\n")
        (folder / f"{module}.py").write_text(hostile.text)
    clean = {k: v for k, v in os.environ.items() if not k.startswith("TWM_")}
    return {**clean, "PYTHONPATH": str(folder), "OMP_NUM_THREADS": "1"}


def run(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], env=environment, capture_output=True, text=True, timeout=600, check=False)


def report(environment: dict[str, str], *names: tuple[str, str]) -> dict[str, Any]:
    done = run(environment, "-c", REPORT, json.dumps(names))
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def given(environment: dict[str, str]) -> dict[str, Any]:
    """What one interpreter found among all of them."""
    return report(
        environment,
        ("dynamics", "rssm-cat"),
        ("dynamics", "h-namesake:rssm-cat"),
        ("dynamics", "twm:rssm-cat"),
        ("dynamics", "nowhere"),
        ("dynamics", "h-raises:leaky"),
        ("dataset", "highway"),
    )


def rows(given: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {r["distribution"]: r for r in given["rows"] if r["distribution"] != "twm"}


@pytest.mark.parametrize("name", HOSTILE)
def test_each_hostile_plugin_is_a_row_with_distribution_version_and_reason(given: dict[str, Any], name: str) -> None:
    row, hostile = rows(given)[name], HOSTILE[name]
    assert (row["name"], row["version"], row["status"]) == (hostile.entry, "1.2.3", hostile.status)
    assert re.fullmatch(hostile.reason, row["reason"]), row["reason"]


def test_only_the_plugin_that_imports_torch_is_heavy(given: dict[str, Any]) -> None:
    assert [r["distribution"] for r in given["rows"] if r["heavy"]] == ["h-torch"]
    spent = {name: row["seconds"] for name, row in rows(given).items()}
    assert spent.pop("h-torch") > max(spent.values())


def test_every_first_party_plugin_loads_among_them(given: dict[str, Any]) -> None:
    first_party = [r for r in given["rows"] if r["distribution"] == "twm"]
    assert {r["name"] for r in first_party} >= {"highway", "rssm"}
    assert {r["name"]: r["reason"] for r in first_party if r["status"] != "loaded"} == {}
    assert given["errors"]["highway"] is None


def test_a_namesake_neither_wins_nor_breaks_the_built_in_component(given: dict[str, Any]) -> None:
    assert given["errors"]["rssm-cat"].startswith("AmbiguousComponentError: dynamics 'rssm-cat' is provided by h-namesake 1.2.3 and twm ")
    assert "say h-namesake:rssm-cat or twm:rssm-cat" in given["errors"]["rssm-cat"]
    assert given["errors"]["twm:rssm-cat"] is None


def test_a_config_that_leads_nowhere_is_an_error_only_when_used(given: dict[str, Any]) -> None:
    assert given["errors"]["nowhere"].startswith(
        "PluginError: dynamics nowhere (h-bad-config 1.2.3): config 'h_bad_config:Absent' does not exist"
    )


def test_asking_for_a_component_of_a_broken_plugin_tells_the_reason(given: dict[str, Any]) -> None:
    assert "plugin plugin of h-raises 1.2.3 is broken: twm_components raised ZeroDivisionError" in given["errors"]["h-raises:leaky"]
    assert "plugins did not load (twm list-plugins --broken)" in given["errors"]["h-raises:leaky"]


def test_blocking_everything_imports_nothing(environment: dict[str, str]) -> None:
    given = report({**environment, "TWM_DISABLE_PLUGINS": "*"})
    assert {r["status"] for r in given["rows"]} == {"blocked"}
    assert not given["torch"]


def test_the_allow_list_leaves_only_what_it_names(environment: dict[str, str]) -> None:
    given = report({**environment, "TWM_PLUGINS": "h-same-entry"})
    assert [(r["distribution"], r["name"]) for r in given["rows"] if r["status"] != "blocked"] == [("h-same-entry", "rssm")]
    assert not given["torch"]


def test_the_command_line_lists_them_all_without_a_traceback(environment: dict[str, str]) -> None:
    done = run(environment, "-m", "twm_cli", "list-plugins", "--json")
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    json.loads(done.stdout)
    for name in HOSTILE:
        assert name in done.stdout
