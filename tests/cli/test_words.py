"""Reading the words of a command line before Typer does."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twm_cli.options.fields import inline
from twm_cli.options.words import first_argument, occurrences, parse_setting, parse_value, rejoined, words_to_complete
from twm_core import UsageError

KNOWN = {"--dynamics": True, "-c": True, "--json": False}


def test_options_keep_the_order_of_the_words() -> None:
    words = ["-c", "a.toml", "--dynamics=gru", "--json", "-cb.toml", "--dynamics", "ring"]
    expected = [("-c", "a.toml"), ("--dynamics", "gru"), ("--json", None), ("-c", "b.toml"), ("--dynamics", "ring")]
    assert list(occurrences(words, KNOWN)) == expected


def test_a_value_that_looks_like_an_option_is_a_value() -> None:
    assert list(occurrences(["--dynamics", "--json", "--json"], KNOWN)) == [("--dynamics", "--json"), ("--json", None)]


def test_nothing_after_two_hyphens_is_an_option() -> None:
    assert list(occurrences(["--json", "--", "--dynamics", "gru"], KNOWN)) == [("--json", None)]


def test_an_unknown_option_is_seen_without_its_value() -> None:
    assert list(occurrences(["--far.away", "3", "--far.off=4"], KNOWN)) == [("--far.away", None), ("--far.off", "4")]


def test_an_option_at_the_end_without_its_value_is_left_to_typer() -> None:
    assert list(occurrences(["--json", "-c"], KNOWN)) == [("--json", None)]


def test_the_command_is_the_first_word_that_belongs_to_no_option() -> None:
    assert first_argument(["-p", "x.py", "train", "--json"], {"-p": True}) == 2
    assert first_argument(["--version"], {}) == 1
    assert first_argument(["-p"], {"-p": True}) == 1


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3", 3),
        ("3e-4", 3e-4),
        ("true", True),
        ("[1, 2]", [1, 2]),
        ('"3"', "3"),
        ("gru", "gru"),
        ("../data", "../data"),
        ("", ""),
        ("2024-01-01", "2024-01-01"),
        ("1\nother = 2", "1\nother = 2"),
        ("{a = 1}", {"a": 1}),
    ],
)
def test_values_are_toml_and_anything_else_is_a_string(text: str, value: object) -> None:
    parsed = parse_value(text)
    assert parsed == value
    assert type(parsed) is type(value)


scalars = st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | st.text()


@given(st.recursive(scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3), max_leaves=8))
def test_a_value_written_on_one_line_reads_back(value: object) -> None:
    assert "\n" not in inline(value)
    assert parse_value(inline(value)) == value


@pytest.mark.parametrize("setting", ["training.lr", "=3", "training..lr=3", ""])
def test_a_setting_without_path_and_value_is_refused(setting: str) -> None:
    with pytest.raises(UsageError, match="is not of the form path=value"):
        parse_setting(setting)


def test_bash_words_split_at_equal_signs_are_joined_again() -> None:
    environ = {"_TWM_COMPLETE": "complete_bash", "COMP_WORDS": "twm train --dynamics = gru --dynamics.h", "COMP_CWORD": "5"}
    assert rejoined(environ) == {"COMP_WORDS": "twm train --dynamics=gru --dynamics.h", "COMP_CWORD": "3"}


def test_the_word_being_typed_after_an_equal_sign_stays_the_current_one() -> None:
    environ = {"_TWM_COMPLETE": "complete_bash", "COMP_WORDS": "twm train --dynamics =", "COMP_CWORD": "4"}
    assert rejoined(environ) == {"COMP_WORDS": "twm train --dynamics=", "COMP_CWORD": "2"}


def test_no_shell_asks_for_completions_in_a_usual_call() -> None:
    assert words_to_complete({}) is None
    assert rejoined({}) == {}


def test_an_open_quote_does_not_stop_completion() -> None:
    environ = {"_TWM_COMPLETE": "complete_zsh", "_TYPER_COMPLETE_ARGS": "twm train --run 'my ru"}
    assert words_to_complete(environ) == ["train", "--run", "'my", "ru"]
