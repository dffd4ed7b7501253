"""`twm config` and `twm check`."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

Call = Callable[..., Any]


def test_the_printed_recipe_resolves_to_itself(toy: Call, bare: Call, tmp_path: Path) -> None:
    words = ["--dynamics.rate", "0.3", "--encoder", "ear", "--encoder", "eye", "--dataset.sites", '["a b", "c#d"]']
    first = toy("config", *words)
    (tmp_path / "again.toml").write_text(first.out)
    second = bare("config", "-c", tmp_path / "again.toml")
    assert tomllib.loads(second.out) == tomllib.loads(first.out)
    assert tomllib.loads(first.out) == json.loads(toy("config", "--json", *words).out)["recipe"]


def test_every_value_is_followed_by_its_origin(toy: Call, toy_folder: Path) -> None:
    lines = [line for line in toy("config", "--steps", "9").out.splitlines() if "=" in line]
    assert all("  # " in line for line in lines)
    text = "\n".join(" ".join(line.split()) for line in lines)
    assert "steps = 9 # option --steps" in text
    assert "hidden = 256 # default" in text
    assert f'component = "leaky" # {toy_folder / "toy.toml"}' in text


def test_check_prints_what_flows_and_which_losses_were_left_out(toy: Call) -> None:
    outcome = toy("check", "--dynamics.hidden", "12")
    assert outcome.status == 0
    assert "-> embedding(agents 32)" in outcome.out
    assert "-> latent(layout agents, width 12, family none)" in outcome.out


def test_check_prints_one_json_object(toy: Call) -> None:
    answer = json.loads(toy("check", "--json").out)
    assert answer["specs"]["latent"]["width"] == 256
    assert answer["parts"]["dynamics"] == [{"name": "leaky", "distribution": "file", "version": "0.7", "layout_version": 1}]
    assert set(answer) == {"recipe", "parts", "specs", "notes"}


def test_parts_that_do_not_fit_end_in_status_2_with_both_sides(toy: Call) -> None:
    outcome = toy("check", "--loss", "fussy")
    assert outcome.status == 2
    assert "loss fussy (file " in outcome.err
    assert "hint: " in outcome.err
