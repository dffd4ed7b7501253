"""Presets: whole recipes that stand in place of the defaults."""

from __future__ import annotations

import pytest

from twm_core.errors import UsageError
from twm_core.plugin.registry import discover
from twm_core.recipe.assembly import assemble
from twm_core.recipe.layers import Layer, default_layer, resolve
from twm_core.recipe.presets import about_preset, load_preset, preset_names

REGISTRY = discover(environ={})
SIZED = [(name, size) for name in preset_names() for size in (about_preset(name)[1] or [None])]


@pytest.mark.parametrize(("name", "size"), SIZED)
def test_every_preset_fits_in_every_size_and_leaves_nothing_out(name: str, size: str | None) -> None:
    values = {"preset": name} | ({"size": size} if size else {})
    plan = assemble(resolve([default_layer(), Layer("test", values)]), REGISTRY)
    assert plan.notes == ()
    assert about_preset(name)[0]


def test_a_preset_replaces_the_defaults_and_what_the_user_writes_comes_over_it() -> None:
    preset = {"preset": "default", "dynamics": {"component": "gru"}}
    recipe = resolve([default_layer(), Layer("file", preset), Layer("option", {"training": {"steps": 7}})])
    assert recipe.slots["dynamics"][0].component == "gru"
    assert recipe.origin("encoder.components") == "preset default"
    assert recipe.tables["training"]["steps"] == 7


def test_the_last_named_preset_counts() -> None:
    layers = [Layer("a", {"preset": "nowhere"}), Layer("b", {"preset": "default"})]
    assert resolve([default_layer(), *layers]).slots == resolve([default_layer()]).slots


@pytest.mark.parametrize(
    ("values", "message", "hint"),
    [
        ({"preset": "defalt"}, r"there is no preset 'defalt'; did you mean 'default'\?", "presets are"),
        ({"preset": "default", "size": "9m"}, "preset 'default' has no size '9m'", "one size only"),
        ({"size": "12m"}, "size '12m' without a preset", "--preset"),
    ],
)
def test_a_wrong_name_is_one_clear_error(values: dict[str, str], message: str, hint: str) -> None:
    with pytest.raises(UsageError, match=message) as refusal:
        resolve([default_layer(), Layer("run.toml", values)])
    assert refusal.value.hint is not None
    assert hint in refusal.value.hint


def test_sizes_are_laid_over_the_rest() -> None:
    for name in preset_names():
        _, sizes = about_preset(name)
        if sizes:
            assert load_preset(name, sizes[0], "test") != load_preset(name, sizes[-1], "test")
