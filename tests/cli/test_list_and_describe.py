"""`twm list-plugins` and `twm describe`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from twm_cli.output import table

Call = Callable[..., Any]


@pytest.fixture
def with_distributions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two installed distributions: one whose plugin cannot be imported, one that needs another twm."""
    for name, text, requires in (("acme-broken", "import absent_module\n", ""), ("acme-old", "", "twm<0.0.1")):
        module = name.replace("-", "_") + "_plugin"
        (tmp_path / f"{module}.py").write_text(text)
        info = tmp_path / f"{name.replace('-', '_')}-1.2.dist-info"
        info.mkdir()
        requirement = f"Requires-Dist: {requires}\n" if requires else ""
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.2\n{requirement}")
        (info / "entry_points.txt").write_text(f"[twm]\nmain = {module}\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def test_components_are_listed_by_kind_with_their_distribution(bare: Call) -> None:
    lines = bare("list-plugins").out.splitlines()
    assert lines[0].split() == ["KIND", "NAME", "DISTRIBUTION", "VERSION", "SUMMARY"]
    assert [line.split()[:4] for line in lines[1:4]] == [
        ["dataset", "toy-data", "file", "0.7"],
        ["encoder", "ear", "file", "0.7"],
        ["encoder", "eye", "file", "0.7"],
    ]


def test_one_kind_can_be_listed(bare: Call) -> None:
    out = bare("list-plugins", "--kind", "dynamics").out
    assert "leaky" in out
    assert "toy-data" not in out


def test_an_unknown_kind_gets_a_suggestion(bare: Call) -> None:
    outcome = bare("list-plugins", "--kind", "dynamic")
    assert outcome.status == 2
    assert "hint: did you mean 'dynamics'?" in outcome.err


def test_plugins_that_did_not_load_are_rows_with_their_reason(twm: Call, with_distributions: Path) -> None:
    out = twm("list-plugins").out
    assert "acme-broken" in out
    assert "No module named 'absent_module'" in " ".join(out.split())
    assert "acme-old 1.2 requires twm<0.0.1" in " ".join(out.split())


def test_only_plugins_that_need_attention_on_request(twm: Call, with_distributions: Path) -> None:
    out = twm("list-plugins", "--broken").out
    assert out.splitlines()[0].split() == ["STATUS", "PLUGIN", "DISTRIBUTION", "VERSION", "REASON"]
    assert "incompatible" in out
    assert "SUMMARY" not in out


def test_the_list_fits_into_a_hundred_columns(twm: Call, with_distributions: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    for words in ([], ["--timings"], ["--broken"]):
        assert max(map(len, twm("list-plugins", *words).out.splitlines())) <= 100


def test_timings_are_shown_on_request(bare: Call) -> None:
    assert "CPU MS" in bare("list-plugins", "--timings").out


def test_the_json_has_the_documented_fields(twm: Call, with_distributions: Path) -> None:
    answer = json.loads(twm("list-plugins", "--json").out)
    assert set(answer) == {"schema", "plugins", "components", "warnings"}
    assert answer["schema"] == 1
    fields = {"name", "distribution", "version", "value", "status", "reason", "seconds", "heavy", "components"}
    assert all(set(plugin) == fields for plugin in answer["plugins"])
    assert {p["distribution"]: p["status"] for p in answer["plugins"] if p["distribution"].startswith("acme")} == {
        "acme-broken": "broken",
        "acme-old": "incompatible",
    }
    fields = {"kind", "name", "distribution", "version", "plugin", "summary", "layout_version"}
    assert all(set(component) == fields for component in answer["components"])


def test_columns_are_aligned_and_the_last_one_wraps() -> None:
    text = table(("A", "LONG"), [("one", "word " * 8), ("three", "x")], columns=27)
    text = text.replace("\x1b[1m", "").replace("\x1b[0m", "")  # the heading is bold, which typer.echo strips in a pipe
    assert text.splitlines() == ["A      LONG", "one    word word word word", "       word word word word", "three  x"]


def test_describe_shows_fields_with_type_range_default_and_description(bare: Call) -> None:
    out = " ".join(bare("describe", "leaky").out.split())
    assert "dynamics leaky A toy dynamics." in out
    assert "distribution file 0.7" in out
    assert "layout version 1" in out
    assert "hidden int at least 1 256 Width of the carried state." in out
    assert "rate float above 0, below 1 0.5 Share that leaks in a step." in out
    assert 'mode one of slow, fast "slow" How it leaks.' in out


def test_describe_takes_kind_and_distribution(bare: Call) -> None:
    assert bare("describe", "dynamics/leaky").out == bare("describe", "file:leaky").out


def test_describe_says_why_it_cannot_show_what_a_component_maps(bare: Call) -> None:
    assert "default recipe  cannot show what it maps: no " in bare("describe", "leaky").out


def test_describe_of_an_unknown_name_gets_a_suggestion(bare: Call) -> None:
    outcome = bare("describe", "leeky")
    assert outcome.status == 2
    assert "no component is called 'leeky'; did you mean 'leaky'?" in outcome.err


def test_describe_prints_json(bare: Call) -> None:
    (answer,) = json.loads(bare("describe", "eye", "--json").out)
    assert answer["fields"]["width"] == {
        "type": "int",
        "range": "at least 1, at most 512",
        "default": "32",
        "description": "Width of a token.",
    }


def test_describe_shows_what_an_installed_component_maps_in_the_default_recipe(twm: Call) -> None:
    assert twm("check").status == 0
    out = twm("describe", "dynamics/rssm-cat").out
    assert "given           embedding(" in out
    assert "gives           latent(" in out


def test_a_kind_is_described_with_what_is_installed_of_it(twm: Call) -> None:
    text = twm("describe", "dynamics").out
    assert text.startswith("kind dynamics\n")
    assert "config base twm_core.kinds.dynamics:DynamicsConfig" in text
    assert "rssm-cat" in text
    assert "write one   twm new-plugin NAME --kind dynamics" in text
    (found,) = json.loads(twm("describe", "renderer", "--json").out)
    assert found["components"] == ["png", "gif"]
    assert found["in_recipe"] is False


def test_without_any_plugin_kinds_are_described_and_it_is_said_what_is_missing(twm: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TWM_DISABLE_PLUGINS", "*")
    text = " ".join(twm("describe", "encoder").out.split())
    assert "installed none" in text
    assert "plugins are blocked (TWM_DISABLE_PLUGINS names '*')" in text
    outcome = twm("describe", "rssm-cat")
    assert outcome.status == 2
    assert "plugins are blocked (TWM_DISABLE_PLUGINS names '*')" in outcome.err
