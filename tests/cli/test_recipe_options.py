"""Options that follow from the chosen components: precedence, messages, help."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Call = Callable[..., Any]


def resolved(call: Call, *words: object) -> tuple[dict[str, Any], dict[str, str]]:
    outcome = call("config", "--json", *words)
    assert outcome.status == 0, outcome.err
    answer = json.loads(outcome.out)
    return answer["recipe"], answer["origins"]


# Precedence


def test_defaults_hold_where_nobody_says_otherwise(toy: Call) -> None:
    recipe, origins = resolved(toy)
    assert recipe["dynamics"]["hidden"] == 256
    assert origins["dynamics.hidden"] == "default"


def test_a_file_wins_over_defaults_and_a_later_file_over_an_earlier(toy: Call, tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text("[dynamics]\nhidden = 1\nrate = 0.25\n")
    (tmp_path / "b.toml").write_text("[dynamics]\nhidden = 2\n")
    recipe, origins = resolved(toy, "-c", tmp_path / "a.toml", "--config", tmp_path / "b.toml")
    assert recipe["dynamics"]["hidden"] == 2
    assert recipe["dynamics"]["rate"] == 0.25
    assert origins["dynamics.hidden"] == str(tmp_path / "b.toml")


def test_an_option_wins_over_a_file_wherever_it_stands(toy: Call, tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text("[dynamics]\nhidden = 1\n")
    recipe, origins = resolved(toy, "--dynamics.hidden", "3", "-c", tmp_path / "a.toml")
    assert recipe["dynamics"]["hidden"] == 3
    assert origins["dynamics.hidden"] == "option --dynamics.hidden"


@pytest.mark.parametrize(
    ("words", "hidden"),
    [
        (["--dynamics.hidden", "3", "--set", "dynamics.hidden=4"], 4),
        (["--set", "dynamics.hidden=4", "--dynamics.hidden", "3"], 3),
        (["--set", "dynamics.hidden=4", "--dynamics.hidden=3", "--set", "dynamics.hidden=5"], 5),
        (["--dynamics.hidden", "3", "--dynamics.hidden", "6"], 6),
    ],
)
def test_of_two_options_for_one_value_the_later_wins(toy: Call, words: list[str], hidden: int) -> None:
    recipe, _ = resolved(toy, *words)
    assert recipe["dynamics"]["hidden"] == hidden


def test_the_short_option_and_the_path_set_the_same_value(toy: Call) -> None:
    assert resolved(toy, "--steps", "7", "--seed", "5")[0]["training"]["steps"] == 7
    assert resolved(toy, "--steps", "7", "--training.steps", "8")[0]["training"]["steps"] == 8
    assert resolved(toy, "--training.steps", "8", "--steps", "7")[1]["training.steps"] == "option --steps"


def test_a_component_may_be_chosen_before_or_after_its_options(toy: Call) -> None:
    before, _ = resolved(toy, "--dynamics", "ring", "--dynamics.slots", "9")
    after, _ = resolved(toy, "--dynamics.slots", "9", "--dynamics", "ring")
    assert before["dynamics"] == after["dynamics"] == {"component": "ring", "slots": 9}


def test_of_two_components_for_one_slot_the_last_wins(toy: Call) -> None:
    assert resolved(toy, "--dynamics", "ring", "--dynamics=leaky")[0]["dynamics"]["component"] == "leaky"


def test_repeating_a_slot_of_several_replaces_the_selection(toy: Call) -> None:
    recipe, origins = resolved(toy, "--encoder", "ear", "--encoder", "eye", "--encoder.eye.width", "16")
    assert recipe["encoder"]["components"] == ["ear", "eye"]
    assert recipe["encoder"]["eye"]["width"] == 16
    assert origins["encoder.components"] == "option --encoder"


def test_set_can_choose_components_too(toy: Call) -> None:
    recipe, _ = resolved(toy, "--dynamics.slots", "3", "--set", "dynamics.component=ring", "--set", 'encoder.components=["ear"]')
    assert recipe["dynamics"] == {"component": "ring", "slots": 3}
    assert recipe["encoder"]["components"] == ["ear"]


def test_a_qualified_name_has_the_same_options(toy: Call) -> None:
    assert resolved(toy, "--dynamics", "file:ring", "--dynamics.slots", "3")[0]["dynamics"]["slots"] == 3
    assert resolved(toy, "--loss", "file:square", "--loss.file:square.power", "3")[0]["loss"]["file:square"]["power"] == 3.0


def test_options_have_the_types_of_their_fields(toy: Call, tmp_path: Path) -> None:
    words = ["--dynamics.trace", "--dynamics.mode", "fast", "--dataset.path", tmp_path, "--dataset.sites", '["west"]']
    recipe, _ = resolved(toy, *words)
    assert recipe["dynamics"]["trace"] is True
    assert recipe["dynamics"]["mode"] == "fast"
    assert recipe["dataset"]["path"] == str(tmp_path)
    assert recipe["dataset"]["sites"] == ["west"]


def test_a_switch_can_be_turned_off(toy: Call, tmp_path: Path) -> None:
    (tmp_path / "on.toml").write_text("[dynamics]\ntrace = true\n")
    assert resolved(toy, "-c", tmp_path / "on.toml")[0]["dynamics"]["trace"] is True
    assert resolved(toy, "-c", tmp_path / "on.toml", "--no-dynamics.trace")[0]["dynamics"]["trace"] is False


def test_options_dropped_with_their_component_are_noted(toy: Call, tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text("[dynamics]\nhidden = 1\n")
    outcome = toy("check", "-c", tmp_path / "a.toml", "--dynamics", "ring")
    assert outcome.status == 0
    assert "option --dynamics chose dynamics 'ring' instead of 'leaky'; dropped its options hidden" in outcome.out


# Messages


def refused(call: Call, *words: object) -> str:
    outcome = call("check", *words)
    assert outcome.status == 2
    assert outcome.out == ""
    assert outcome.err.startswith("error: ")
    assert "Traceback" not in outcome.err
    return outcome.err


def test_an_unknown_component_gets_a_suggestion(toy: Call) -> None:
    message = refused(toy, "--dynamics", "laeky", "--dynamics.hidden", "3")
    assert "no dynamics is called 'laeky'; installed: leaky, ring" in message
    assert "hint: did you mean 'leaky'?" in message


def test_an_unknown_field_names_the_component_and_gets_a_suggestion(toy: Call) -> None:
    message = refused(toy, "--dynamics.hiden", "3")
    assert "no option --dynamics.hiden: dynamics leaky (file " in message
    assert "has no field 'hiden'; did you mean 'hidden'?" in message
    assert "hidden, rate, mode, trace" in message


def test_a_field_of_another_component_names_that_component(toy: Call) -> None:
    assert "hint: dynamics with that field: ring" in refused(toy, "--dynamics.slots", "3")


def test_an_option_for_a_component_that_is_not_chosen_says_how_to_choose_it(toy: Call) -> None:
    message = refused(toy, "--encoder.ear.volume", "3")
    assert "no option --encoder.ear.volume: encoder 'ear' is not chosen (eye)" in message
    assert "hint: add --encoder eye --encoder ear" in message


def test_an_option_for_a_component_that_does_not_exist_gets_a_suggestion(toy: Call) -> None:
    assert "did you mean 'square'?" in refused(toy, "--loss.sqare.power", "3")


def test_an_option_of_a_slot_of_several_must_carry_the_name(toy: Call) -> None:
    message = refused(toy, "--encoder.width", "3")
    assert "options of encoder carry the name of the component" in message
    assert "hint: write --encoder.eye.width" in message


def test_an_unknown_first_word_lists_the_tables(toy: Call) -> None:
    assert "options with a dot begin with dataset, encoder, dynamics, decoder, loss, optimizer, fusion, training, plugins" in refused(
        toy, "--model.width", "3"
    )
    assert "did you mean '--training.steps'?" in refused(toy, "--training.stepz", "3")


def test_a_switch_that_is_none_is_explained(toy: Call) -> None:
    assert "dynamics.hidden is not a switch" in refused(toy, "--no-dynamics.hidden")


def test_an_unknown_plain_option_gets_a_suggestion(toy: Call) -> None:
    assert "--stepz" in (message := refused(toy, "--stepz", "3"))
    assert "--steps" in message
    assert "hint: see twm check --help" in message


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--dynamics.hidden", "many"], ["'--dynamics.hidden'", "integer", "'many'"]),
        (["--dynamics.hidden", "0"], ["'--dynamics.hidden'", "greater than or equal to 1|x>=1", "got '0'"]),
        (["--encoder.eye.width", "9999"], ["'--encoder.eye.width'", "less than or equal to 512|1<=x<=512"]),
        (["--dynamics.rate", "1"], [r"dynamics.rate = 1.0 \(from option --dynamics.rate\)", "less than 1"]),
        (["--dynamics.mode", "fats"], ["'--dynamics.mode'", "'fats' is not one of 'slow', 'fast'"]),
        (["--dynamics.hidden"], ["--dynamics.hidden", "requires an argument"]),
        (["--set", "dynamics.hidden=many"], [r"dynamics.hidden = 'many' \(from option --set dynamics.hidden\)"]),
        (["--set", "dynamics.hiden=3"], [r"has no field 'hiden'; did you mean 'hidden'\?"]),
        (["--set", "dynamics.hidden"], ["--set 'dynamics.hidden' is not of the form path=value"]),
        (["--set", "model.hidden=3"], ["option --set model.hidden: unknown table 'model'"]),
        (["--dataset.sites", "3"], [r"dataset.sites = 3 \(from option --dataset.sites\)"]),
        (["--loss", "square", "--loss", "square"], ["names a component twice"]),
        (["--loss", "fussy"], ["loss fussy", "needs a stochastic latent", r"latent\(layout agents"]),
        (["-c", "absent.toml"], ["cannot read recipe file absent.toml"]),
    ],
)
def test_a_bad_value_is_one_message_with_what_was_given(toy: Call, words: list[str], expected: list[str]) -> None:
    message = refused(toy, *words)
    for part in expected:  # Typer's own wording differs between its versions
        assert re.search(part, message)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[dynamics]\nhidden = 'many'\n", "dynamics.hidden = 'many' (from "),
        ("[dynamics]\nhiden = 3\n", "has no field 'hiden'; did you mean 'hidden'?"),
        ("[dynamics]\ncomponent = 'laeky'\n", "did you mean 'leaky'?"),
        ("[model]\nhidden = 3\n", "unknown table 'model'"),
        ("[dynamics\n", "is not TOML"),
        ("[encoder]\nwidth = 3\n", "options of a encoder carry its name"),
    ],
)
def test_a_bad_file_is_one_message_that_names_the_file(toy: Call, tmp_path: Path, text: str, expected: str) -> None:
    (tmp_path / "bad.toml").write_text(text)
    message = refused(toy, "-c", tmp_path / "bad.toml")
    assert expected in message


def test_the_traceback_of_a_user_error_is_shown_on_request(toy: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TWM_TRACEBACK", "1")
    with pytest.raises(Exception, match="no dynamics is called"):
        toy("check", "--dynamics", "laeky")


# One-file plugins


def test_a_plugin_file_that_is_not_there_is_a_user_error(twm: Call) -> None:
    outcome = twm("check", "-p", "absent.py")
    assert outcome.status == 2
    assert "plugin file 'absent.py' does not exist" in outcome.err


def test_a_plugin_file_may_stand_before_the_command(twm: Call, toy_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TWM_PLUGINS", "optimizers")
    assert twm("-p", toy_folder / "toy_parts.py", "check", "-c", toy_folder / "toy.toml").status == 0


# Help


def test_help_has_a_panel_for_each_chosen_component_with_types_ranges_and_defaults(toy: Call) -> None:
    text = toy("train", "--help").out
    assert "\ndynamics leaky (file " in text
    assert "\nencoder eye (file " in text
    assert "\ntraining:\n" in text
    flat = " ".join(text.split()).replace("INTEGER", "<int>").replace("FLOAT", "<float>").replace("<int> RANGE", "<int range>")
    flat = flat.replace("[slow|fast]", "<slow|fast>").replace("PATH Folder", "<path> Folder")  # as Typer 0.26 writes types
    assert "--dynamics.hidden <int range> Width of the carried state. [default: 256; x>=1]" in flat
    assert "--encoder.eye.width <int range> Width of a token. [default: 32; 1<=x<=512]" in flat
    assert "--dynamics.rate <float> Share that leaks in a step. (above 0) (below 1) [default: 0.5]" in flat
    assert "--dynamics.mode <slow|fast> How it leaks. [default: slow]" in flat
    assert "--dynamics.trace / --no-dynamics.trace Keep a trace. [default: off]" in flat
    assert '--dataset.sites <toml> Sites, in [any] order. [default: ["north", "south"]]' in flat
    assert "--dataset.path <path> Folder of recordings." in flat


def test_help_shows_the_options_of_the_component_that_the_words_choose(toy: Call) -> None:
    text = toy("check", "--dynamics", "ring", "--help").out
    assert "--dynamics.slots" in text
    assert "--dynamics.hidden" not in text


def test_help_shows_the_values_of_files_as_defaults(toy: Call, tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text("[dynamics]\nhidden = 77\n")
    assert "[default: 77; x>=1]" in " ".join(toy("check", "-c", tmp_path / "a.toml", "--help").out.split())


def test_help_never_cuts_the_name_of_an_option(toy: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    assert "--training.validate_windows" in toy("train", "--help").out


def test_help_without_any_plugin_says_whose_options_are_missing(twm: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TWM_DISABLE_PLUGINS", "*")
    outcome = twm("train", "--help")
    assert outcome.status == 0
    assert "--training.steps" in outcome.out
    assert "warning: options of dynamics rssm-cat are not shown: no dynamics is called 'rssm-cat'" in outcome.err
