"""What exists is documented, and what is documented exists: hooks, kinds, commands, options, variables, fields, promises."""

from __future__ import annotations

import inspect
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from pages import MANUAL, ROOT

import twm_core
from twm_cli.main import COMMANDS, main
from twm_core.hooks import HookSpecs
from twm_core.kinds import KINDS, RECIPE_KINDS
from twm_core.testing.checks import CHECKS

HOOKS = {name: f for name, f in vars(HookSpecs).items() if name.startswith("twm_")}
RECIPE_COMMANDS = ("train", "check", "config")


def section(page: str, heading: str) -> str:
    """The text under a heading of the second level."""
    parts = re.split(r"^## (.*)$", (MANUAL / page).read_text(encoding="utf-8"), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))[heading]


def options_in(text: str) -> set[str]:
    """The options in the first column of a table, long forms where there are two."""
    cells = re.findall(r"^\| (`-.*?`) \| ", text, flags=re.MULTILINE)
    return {re.findall(r"--[\w-]+", c)[0] for c in cells}


@cache
def described(command: str) -> str:
    done = subprocess.run([sys.executable, "-m", "twm_cli", *command.split(), "--help"], capture_output=True, text=True, check=True)
    return done.stdout


def real_options(command: str) -> set[str]:
    """The options that help lists, without those of components and fields."""
    found = re.findall(r"^  (?:-\w, )?(--[\w.-]+)", described(command), flags=re.MULTILINE)
    return {o for o in found if "." not in o}


def test_generated_pages_are_up_to_date() -> None:
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, str(ROOT / "docs/generate.py"), "--check"], env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_readme_names_every_component_that_twm_lists(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list-plugins", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)["components"]
    ours = {(c["kind"], c["name"]) for c in listed if c["distribution"] == "twm"}
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\| (\w+) \| `([\w-]+)` \|", readme, flags=re.MULTILINE)) == ours


def test_every_field_of_every_component_is_on_its_page(capsys: pytest.CaptureFixture[str]) -> None:
    # Read through `twm describe`, not through the script that wrote the page.
    assert main(["list-plugins", "--json"]) == 0
    for c in json.loads(capsys.readouterr().out)["components"]:
        if c["distribution"] != "twm":
            continue
        assert main(["describe", f"{c['kind']}/{c['name']}", "--json"]) == 0
        (shown,) = json.loads(capsys.readouterr().out)
        text = section("reference/components.md", f"{c['kind']} {c['name']}")
        assert re.findall(r"^\| `(\w+)` \|", text, flags=re.MULTILINE) == list(shown["fields"])


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_a_page_that_names_its_method(kind: str) -> None:
    page = (MANUAL / f"contracts/{kind}.md").read_text(encoding="utf-8")
    base = KINDS[kind].config
    methods = [
        n for n, f in vars(base).items() if inspect.isfunction(f) and not n.startswith("_") and "NotImplemented" in inspect.getsource(f)
    ]
    assert methods or kind not in RECIPE_KINDS or kind == "optimizer"
    for name in methods:
        assert f"`{name}(" in page
    shared = (MANUAL / "contracts/index.md").read_text(encoding="utf-8")
    assert f"`{base.__name__}`" in shared
    assert KINDS[kind].interface.replace(":", ".") in shared
    assert re.search(rf"^\| {kind} \|", (MANUAL / "index.md").read_text(encoding="utf-8"), flags=re.MULTILINE)


@pytest.mark.parametrize("kind", KINDS)
def test_every_promise_is_on_its_page(kind: str) -> None:
    text = section("reference/checks.md", f"{kind}: {len(CHECKS[kind])} checks")
    assert re.findall(r"^\| `(\w+)` \|", text, flags=re.MULTILINE) == [c.name for c in CHECKS[kind]]


@pytest.mark.parametrize("hook", HOOKS)
def test_every_hook_is_documented_with_its_arguments(hook: str) -> None:
    (row,) = re.findall(rf"^\| `{hook}` \|(.*?)\|", (MANUAL / "plugins/hooks.md").read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert re.findall(r"`(\w+)`", row) == [a for a in inspect.signature(HOOKS[hook]).parameters if a != "self"]


def test_no_hook_is_documented_that_does_not_exist() -> None:
    text = "".join(p.read_text(encoding="utf-8") for p in MANUAL.rglob("*.md"))
    assert set(re.findall(r"\btwm_(?:components|commands|run\w*|step\w*|checkpoint\w*)\b", text)) == set(HOOKS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_of_every_command_is_documented(command: str) -> None:
    documented = options_in(section("reference/commands.md", f"twm {command}"))
    if command in RECIPE_COMMANDS:
        documented |= options_in(section("reference/commands.md", "Recipe options"))
    assert documented == real_options(command) - {"--help"}


def test_every_option_of_twm_itself_is_documented() -> None:
    assert options_in(section("reference/commands.md", "twm")) == real_options("")


def test_every_command_has_a_section_and_no_other_does() -> None:
    headings = re.findall(r"^## twm ([\w-]+)$", (MANUAL / "reference/commands.md").read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert headings == list(COMMANDS)


def sources() -> Iterator[Path]:
    for room in ("twm_core", "cli", "plugins"):
        yield from (ROOT / room).rglob("*.py")


def test_every_variable_of_the_environment_is_documented() -> None:
    used = {v for p in sources() for v in re.findall(r'"(TWM_[A-Z_]+)"', p.read_text(encoding="utf-8"))}
    assert used
    assert set(re.findall(r"^\| `(TWM_\w+)` \|", section("use/command-line.md", "Environment"), flags=re.MULTILINE)) == used


def test_the_readme_names_every_folder_of_the_first_levels() -> None:
    tree = (ROOT / "README.md").read_text(encoding="utf-8").partition("## The tree")[2]
    named = set(re.findall(r"^\| `([\w./]+)` \|", tree, flags=re.MULTILINE))
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    if tracked.returncode:
        pytest.skip("not a clone, so there is no list of files that belong to it")
    files = [Path(f) for f in tracked.stdout.splitlines()]
    folders = {f.parts[0] for f in files if len(f.parts) > 1}
    folders |= {f"twm_core/{f.parts[1]}" for f in files if f.parts[0] == "twm_core" and len(f.parts) > 2}
    assert named >= folders
    assert all((ROOT / n).is_dir() for n in named)


def test_the_api_page_and_the_public_names_of_twm_core_agree() -> None:
    shown = "".join(p.read_text(encoding="utf-8") for p in (MANUAL / "reference").glob("*.md"))
    modules = set(re.findall(r"^::: ([\w.]+)$", shown, flags=re.MULTILINE))
    for name in twm_core.__all__:
        home = getattr(getattr(twm_core, name), "__module__", "")
        if name in ("KINDS", "hookimpl"):  # values, explained in the pages on kinds and hooks
            continue
        assert f"twm_core.{name}" in modules or home in modules, name


def test_every_feature_of_agents_is_documented_with_its_unit_and_frame() -> None:
    from twm_core.data.schema import TRAFFIC_FEATURES

    documented: dict[str, str] = {}
    for names, unit in re.findall(r"^\| (`.*?) \| (.*?) \|", section("contracts/dataset.md", "Features"), flags=re.MULTILINE):
        documented |= dict.fromkeys(re.findall(r"`(\w+)`", names), unit)
    real = {n: "flag" if f.kind == "flag" else f"{f.unit}, {f.frame}" for n, f in TRAFFIC_FEATURES.items()}
    assert documented == real


def test_every_intervention_is_documented() -> None:
    from typing import get_args

    from twm_core.simulation.interventions import Intervention

    for page in ("contracts/simulator.md", "use/simulate.md"):
        text = (MANUAL / page).read_text(encoding="utf-8")
        assert all(f"`{i.__name__}`" in text for i in get_args(Intervention)), page


def test_every_member_of_readers_and_simulators_is_in_the_table_of_its_contract() -> None:
    from twm_core.data.importing.reader import Reader
    from twm_core.simulation.interface import Simulator

    for interface, page in ((Reader, "contracts/reader.md"), (Simulator, "contracts/simulator.md")):
        named = re.findall(r"^\| (`.*?) \| ", section(page, "Interface"), flags=re.MULTILINE)
        members = {m for cell in named for m in re.findall(r"`(\w+)[(`]", cell)}
        assert members >= interface.__abstractmethods__ | set(interface.__annotations__)


def test_every_key_of_a_traffic_batch_is_documented_with_its_type_axes_and_role() -> None:
    from twm_core.data.schema import MOTION, traffic_observations

    seen = traffic_observations(features=MOTION, dt=0.1, context=1, horizon=1, protocol="", lanes=2, sites=2)
    text = section("contracts/dataset.md", "Batch")
    rows = re.findall(r"^\| `([\w.]+)` \| (\w+) `\[([\w,]+)\]`(?: or [^|]*)? \| (.*) \|$", text, flags=re.MULTILINE)
    documented = {key: (dtype, axes.replace(",", " "), meaning.startswith("target:")) for key, dtype, axes, meaning in rows}
    assert documented.pop("action")
    assert documented == {k.key: (k.dtype, k.axes, k.role == "target") for k in seen.keys}
