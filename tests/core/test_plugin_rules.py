"""The table `plugins` of a recipe: what it pins is compared with what is installed, what it blocks is never imported."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import twm_core
from twm_core.errors import PluginError, UsageError
from twm_core.plugin.admission import Rules
from twm_core.plugin.discovery import Plugin
from twm_core.plugin.rules import check_pins, matches
from twm_core.recipe.assembly import Plan
from twm_core.recipe.layers import file_layer, resolve
from twm_core.recipe.pins import PluginsConfig, plugin_lists


def row(distribution: str, version: str = "1.2", status: Any = "loaded", reason: str = "") -> Plugin:
    return Plugin(name="main", distribution=distribution, version=version, value="a", status=status, reason=reason)


@pytest.mark.parametrize("pin", ["acme-worlds", "acme-worlds>=1,<2", "Acme_Worlds==1.2", "twm", f"twm=={twm_core.__version__}"])
def test_a_pin_that_holds_says_nothing(pin: str) -> None:
    check_pins([pin], [row("acme-worlds")], "run.toml")


@pytest.mark.parametrize(
    ("pin", "plugins", "message"),
    [
        ("acme>=1.2", [], "plugins.require (from run.toml) asks for acme>=1.2, which is not installed or has no plugin"),
        ("acme>=2", [row("acme")], "plugins.require (from run.toml) asks for acme>=2, installed is acme 1.2"),
        ("twm>=99", [], f"plugins.require (from run.toml) asks for twm>=99, installed is twm {twm_core.__version__}"),
        (
            "acme",
            [row("acme", status="broken", reason="SyntaxError: no")],
            "plugins.require (from run.toml) asks for acme, and its plugin main is broken: SyntaxError: no",
        ),
    ],
)
def test_a_pin_that_does_not_hold_names_what_is_there_and_the_line_that_installs(pin: str, plugins: list[Plugin], message: str) -> None:
    with pytest.raises(PluginError) as caught:
        check_pins([pin], plugins, "run.toml")
    assert caught.value.message == message
    assert caught.value.hint in (f'pip install "{pin}"', "mend or reinstall it")


@pytest.mark.parametrize(
    ("pin", "reason"),
    [
        ("acme=>1", "'acme=>1' is no requirement such as"),
        ("acme @ file:///x", "a pin has a name and versions, nothing else"),
        ("acme[extra]", "a pin has a name and versions, nothing else"),
        ("acme; python_version > '3'", "a pin has a name and versions, nothing else"),
    ],
)
def test_what_is_no_pin_is_refused(pin: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        PluginsConfig(require=(pin,))


@pytest.mark.parametrize(
    ("item", "yes"),
    [
        ("*", True),
        ("main", True),
        ("acme-worlds", True),
        ("Acme.Worlds", True),
        ("acme_worlds:main", True),
        ("acme-worlds:x", False),
        ("x", False),
    ],
)
def test_an_item_means_a_name_a_distribution_or_both(item: str, yes: bool) -> None:
    assert matches(item, distribution="acme-worlds", name="main") is yes


def test_the_last_layer_that_has_a_list_counts_and_two_recipes_hold_both() -> None:
    one = plugin_lists([("one", {"plugins": {"block": ["a"], "allow": ["x"]}}), ("two", {"plugins": {"block": ["b"]}}), ("three", {})])
    assert (one.items("block"), one.items("allow")) == ([("b", "plugins.block in two")], [("x", "plugins.allow in one")])
    rules = Rules.of({"TWM_DISABLE_PLUGINS": "c"}, [one, plugin_lists([("other", {"plugins": {"block": ["d"], "allow": ["y"]}})])])
    assert rules.blocked == (("c", "TWM_DISABLE_PLUGINS"), ("b", "plugins.block in two"), ("d", "plugins.block in other"))
    assert [found[0][0] for found in rules.allowed if found] == ["x", "y"]


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("acme", "a.toml: plugins must be a table, got 'acme'"),
        ({"block": "acme"}, "plugins.block = 'acme' (from a.toml): Input should be a valid tuple"),
        ({"block": [1]}, "plugins.block.0 = 1 (from a.toml): Input should be a valid string"),
        ({"blok": ["acme"]}, "plugins.blok (from a.toml): the table plugins has no field 'blok'; did you mean 'block'?"),
        ({"require": ["=>1"]}, "plugins.require = ['=>1'] (from a.toml): '=>1' is no requirement"),
    ],
)
def test_a_table_that_is_malformed_is_an_error_that_names_its_origin(table: Any, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        plugin_lists([("a.toml", {"plugins": table})])
    assert caught.value.message.startswith(message)


BAD = "raise AssertionError('imported although it is blocked')"


@pytest.fixture
def site(tmp_path: Path) -> dict[str, str]:
    """An environment with a plugin that must never be imported."""
    info = tmp_path / "acme_bad-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-bad\nVersion: 1.0\n", encoding="utf-8")
    (info / "entry_points.txt").write_text("[twm]\nbad = acme_bad\n", encoding="utf-8")
    (tmp_path / "acme_bad.py").write_text(f"open({str(tmp_path / 'imported')!r}, 'w').close()\n{BAD}\n", encoding="utf-8")
    importlib.invalidate_caches()
    return {**{k: v for k, v in os.environ.items() if not k.startswith("TWM_")}, "PYTHONPATH": str(tmp_path)}


@pytest.mark.parametrize(
    ("table", "reason"),
    [('block = ["acme-bad"]', "plugins.block in {} names 'acme-bad'"), ('allow = ["twm"]', "plugins.allow in {} does not name it")],
)
def test_what_a_recipe_file_blocks_is_not_imported(site: dict[str, str], tmp_path: Path, table: str, reason: str) -> None:
    recipe = tmp_path / "run.toml"
    recipe.write_text(f"[plugins]\n{table}\n", encoding="utf-8")
    command = [sys.executable, "-m", "twm_cli", "check", "-c", str(recipe), "--json"]
    done = subprocess.run(command, env=site, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "imported").exists()
    assert json.loads(done.stdout)["recipe"]["plugins"]
    # Without the file it is imported, and the row says what happened.
    subprocess.run([*command[:3], "list-plugins"], env=site, capture_output=True, text=True, check=True)
    assert (tmp_path / "imported").exists()
    from twm_core.plugin.registry import discover

    sys.path.insert(0, str(tmp_path))
    try:
        found = {p.name: p for p in discover(environ={}, lists=[plugin_lists([(str(recipe), file_layer(recipe).values)])]).plugins}["bad"]
    finally:
        sys.path.remove(str(tmp_path))
    assert (found.status, found.reason) == ("blocked", reason.format(recipe))


def test_a_plan_keeps_the_table_and_writes_it_only_if_there_is_one(tiny: Callable[..., Plan]) -> None:
    assert "plugins" not in tiny().resolved()
    assert tiny({"plugins.require": ["twm"]}).resolved()["plugins"] == {"require": ["twm"]}


def test_a_component_of_a_blocked_plugin_is_refused_wherever_the_list_was_written(tiny: Callable[..., Plan]) -> None:
    with pytest.raises(PluginError, match=r"encoder multiagent \(twm .*\): plugins\.block \(from test\) names 'twm:multiagent'"):
        tiny({"plugins.block": ["twm:multiagent"]})
    with pytest.raises(PluginError, match=r"plugins\.allow \(from test\) does not name twm:highway"):
        tiny({"plugins.allow": ["multiagent"]})


def test_a_pin_in_a_recipe_is_checked_when_it_is_assembled(tiny: Callable[..., Plan]) -> None:
    with pytest.raises(PluginError, match=r"plugins\.require \(from test\) asks for acme>=1, which is not installed"):
        tiny({"plugins.require": ["acme>=1"]})
    with pytest.raises(UsageError, match="is no requirement such as"):
        tiny({"plugins.require": ["=1"]})


def test_a_file_with_the_table_is_a_recipe_like_any_other(tmp_path: Path) -> None:
    path = tmp_path / "pins.toml"
    path.write_text('[plugins]\nrequire = ["twm"]\n', encoding="utf-8")
    from twm_core.recipe.layers import default_layer

    assert resolve([default_layer(), file_layer(path)]).tables["plugins"] == {"require": ["twm"]}
