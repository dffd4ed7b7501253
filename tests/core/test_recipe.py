"""Recipes: layers in order, an origin for every value, and an error in words for everything that cannot be meant."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twm_core.errors import UsageError
from twm_core.kinds import RECIPE_KINDS
from twm_core.recipe.layers import DEFAULT, Layer, Part, default_layer, file_layer, option_layer, resolve, to_layer, to_toml

BASE = Layer(
    DEFAULT,
    {
        "dataset": {"component": "roads"},
        "encoder": {"components": ["points"]},
        "dynamics": {"component": "gru", "hidden": 32},
        "decoder": {"components": ["states"]},
        "loss": {"components": ["huber", "kl"], "kl": {"free_nats": 1.0}},
        "training": {"steps": 10},
    },
)


def test_the_default_recipe_resolves_and_every_origin_is_the_default() -> None:
    recipe = resolve([default_layer()])
    assert set(recipe.slots) == set(RECIPE_KINDS)
    assert all(recipe.slots.values())
    assert set(recipe.origins.values()) == {DEFAULT}
    assert recipe.origin("dynamics.anything") == DEFAULT
    assert recipe.notes == ()


def test_a_higher_layer_wins_value_by_value() -> None:
    recipe = resolve(
        [BASE, Layer("a.toml", {"dynamics": {"hidden": 64}, "training": {"seed": 3}}), option_layer("training.steps", 5, "option")]
    )
    assert recipe.slots["dynamics"] == (Part("gru", {"hidden": 64}),)
    assert recipe.tables["training"] == {"steps": 5, "seed": 3}
    assert recipe.origin("dynamics.hidden") == "a.toml"
    assert recipe.origin("training.steps") == "option"
    assert recipe.origin("training.seed") == "a.toml"
    assert recipe.origin("loss.kl.free_nats") == DEFAULT


@given(st.lists(st.tuples(st.sampled_from(["a", "b", "c"]), st.integers(0, 9)), max_size=8))
def test_the_last_layer_that_sets_a_value_is_its_origin(sets: list[tuple[str, int]]) -> None:
    layers = [option_layer(f"training.{key}", value, f"layer {i}") for i, (key, value) in enumerate(sets)]
    recipe = resolve([BASE, *layers])
    expected: dict[str, Any] = {"steps": 10}
    for key, value in sets:
        expected[key] = value
    assert recipe.tables["training"] == expected
    for i, (key, _) in enumerate(sets):
        if key not in [k for k, _ in sets[i + 1 :]]:
            assert recipe.origin(f"training.{key}") == f"layer {i}"


def test_another_component_drops_the_options_of_the_former_and_a_note_says_which() -> None:
    file = Layer("a.toml", {"dynamics": {"component": "gru", "dropout": 0.1}})
    recipe = resolve([BASE, file, option_layer("dynamics.component", "rssm", "option --dynamics")])
    assert recipe.slots["dynamics"] == (Part("rssm"),)
    assert recipe.notes == ("option --dynamics chose dynamics 'rssm' instead of 'gru'; dropped its options dropout (a.toml)",)
    assert recipe.origin("dynamics.component") == "option --dynamics"


def test_dropped_defaults_are_not_worth_a_note() -> None:
    recipe = resolve([BASE, option_layer("dynamics.component", "rssm", "option")])
    assert recipe.slots["dynamics"] == (Part("rssm"),)
    assert recipe.notes == ()


def test_choosing_the_same_component_again_keeps_its_options() -> None:
    recipe = resolve([BASE, option_layer("dynamics.component", "gru", "option")])
    assert recipe.slots["dynamics"] == (Part("gru", {"hidden": 32}),)


def test_options_beside_the_choice_in_one_table_belong_to_the_new_component() -> None:
    recipe = resolve([BASE, Layer("a.toml", {"dynamics": {"classes": 4, "component": "rssm"}})])
    assert recipe.slots["dynamics"] == (Part("rssm", {"classes": 4}),)


def test_a_list_of_components_replaces_the_list_and_keeps_its_order() -> None:
    recipe = resolve([BASE, Layer("a.toml", {"loss": {"components": ["nll", "huber"], "nll": {"weight": 2}}})])
    assert recipe.slots["loss"] == (Part("nll", {"weight": 2}), Part("huber"))
    assert recipe.origin("loss.components") == "a.toml"
    assert recipe.origin("loss.nll.weight") == "a.toml"


@pytest.mark.parametrize("upside_down", [False, True])
def test_a_list_without_a_component_drops_its_options_and_a_note_says_which(upside_down: bool) -> None:
    table: dict[str, Any] = {"components": ["huber", "nll"], "nll": {"weight": 2}}
    shorter = Layer("b.toml", {"loss": dict(reversed(table.items())) if upside_down else table})
    recipe = resolve([BASE, Layer("a.toml", {"loss": {"kl": {"weight": 3.0}, "huber": {"beta": 2.0}}}), shorter])
    assert recipe.slots["loss"] == (Part("huber", {"beta": 2.0}), Part("nll", {"weight": 2}))
    assert recipe.notes == ("b.toml chose loss huber, nll without 'kl'; dropped its options weight (a.toml)",)
    assert resolve([BASE, shorter]).notes == ()


def test_options_for_a_component_that_is_not_chosen_are_refused_with_their_origin() -> None:
    with pytest.raises(UsageError, match=r"option --x sets loss\.nll\.weight, but 'nll' is not a chosen loss \(huber, kl\)") as caught:
        resolve([BASE, option_layer("loss.nll.weight", 2, "option --x")])
    assert caught.value.hint == "add --loss nll, or remove the option"


def test_the_remedy_for_options_of_an_unchosen_component_works() -> None:
    layers = [BASE, option_layer("loss.nll.weight", 2, "option"), option_layer("loss.components", ["nll"], "option")]
    assert resolve(layers).slots["loss"] == (Part("nll", {"weight": 2}),)


@pytest.mark.parametrize(
    ("values", "message", "hint"),
    [
        (
            {"dynamic": {}},
            "x: unknown table 'dynamic'",
            "tables are dataset, encoder, dynamics, decoder, loss, optimizer, fusion, training, plugins",
        ),
        ({"dynamics": "gru"}, "x: dynamics must be a table, got 'gru'", "see the recipe format in the docs"),
        ({"training": 3}, "x: training must be a table, got 3", "see the recipe format in the docs"),
        ({"dynamics": {"component": 3}}, "x: dynamics.component must be a name, got 3", 'write component = "dynamics-name"'),
        ({"loss": {"components": "kl"}}, "x: loss.components must be a list of names, got 'kl'", 'write components = ["loss-name"]'),
        ({"loss": {"components": []}}, "x: loss.components must be a list of names, got []", 'write components = ["loss-name"]'),
        ({"loss": {"components": [1]}}, "x: loss.components must be a list of names, got [1]", 'write components = ["loss-name"]'),
        ({"loss": {"components": ["kl", "kl"]}}, "x: loss.components names a component twice: ['kl', 'kl']", "name each once"),
        (
            {"loss": {"weight": 2}},
            "x: loss.weight = 2: options of a loss carry its name, because a recipe may have several",
            "write loss.NAME.weight",
        ),
    ],
)
def test_a_layer_of_the_wrong_shape_is_refused_in_words(values: dict[str, Any], message: str, hint: str) -> None:
    with pytest.raises(UsageError) as caught:
        resolve([BASE, Layer("x", values)])
    assert (caught.value.message, caught.value.hint) == (message, hint)


@pytest.mark.parametrize("slot", [k for k, kind in RECIPE_KINDS.items() if kind.default is None])
def test_a_slot_left_empty_is_refused(slot: str) -> None:
    with pytest.raises(UsageError, match=f"the recipe names no {slot}") as caught:
        resolve([Layer("x", {k: v for k, v in BASE.values.items() if k != slot})])
    assert caught.value.hint == f"choose one with --{slot}"


def test_a_kind_with_a_default_need_not_be_named_and_takes_options_at_once() -> None:
    assert resolve([BASE]).slots["optimizer"] == (Part("adamw"),)
    recipe = resolve([BASE, Layer("x", {"optimizer": {"weight_decay": 0.5}})])
    assert recipe.slots["optimizer"] == (Part("adamw", {"weight_decay": 0.5}),)
    other = resolve([BASE, Layer("x", {"optimizer": {"weight_decay": 0.5}}), Layer("y", {"optimizer": {"component": "laprop"}})])
    assert other.slots["optimizer"] == (Part("laprop"),)
    assert "y chose optimizer 'laprop' instead of 'adamw'; dropped its options weight_decay (x)" in other.notes


def test_options_before_a_component_is_chosen_are_refused() -> None:
    with pytest.raises(UsageError, match="x: options for dynamics before one is chosen"):
        resolve([Layer("x", {"dynamics": {"hidden": 3}})])


def test_a_dotted_path_becomes_nested_tables() -> None:
    assert option_layer("loss.kl.free_nats", 2.0, "o") == Layer("o", {"loss": {"kl": {"free_nats": 2.0}}})


def test_a_file_is_read_and_named_by_its_path(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('[dynamics]\ncomponent = "gru"\n', encoding="utf-8")
    assert file_layer(path) == Layer(str(path), {"dynamics": {"component": "gru"}})


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"cannot read recipe file .*none\.toml: No such file or directory"):
        file_layer(tmp_path / "none.toml")
    with pytest.raises(UsageError, match=r"cannot read recipe file .*: Is a directory"):
        file_layer(tmp_path)


@pytest.mark.parametrize("content", [b"[dynamics", b"a = \xff", b"a = 1\na = 2\n"])
def test_a_file_that_is_not_toml_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "broken.toml"
    path.write_bytes(content)
    with pytest.raises(UsageError, match=r"recipe file .*broken\.toml is not TOML"):
        file_layer(path)


VALUES = st.one_of(
    st.integers(-(10**6), 10**6),
    st.booleans(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text("abc\"'\\ \né#", max_size=6),
    st.lists(st.integers(0, 9), max_size=3),
    st.none(),
)
OPTIONS = st.dictionaries(st.sampled_from(["width", "depth", "mode"]), VALUES, max_size=3)


@given(st.lists(OPTIONS, min_size=6, max_size=6), OPTIONS, st.permutations(["l1", "l2", "l3"]))
def test_a_resolved_recipe_survives_toml(options: list[dict[str, Any]], training: dict[str, Any], losses: list[str]) -> None:
    slots = {k: [("one", o)] for k, o in zip(RECIPE_KINDS, options, strict=True)} | {"loss": [(n, options[4]) for n in losses]}
    recipe = resolve([Layer("file", tomllib.loads(to_toml(to_layer(slots, {"training": training}))))])

    def given_values(values: dict[str, Any]) -> dict[str, Any]:
        return {k: v for k, v in values.items() if v is not None}

    assert recipe.slots == {k: tuple(Part(n, given_values(o)) for n, o in v) for k, v in slots.items()}
    assert recipe.tables["training"] == given_values(training)
