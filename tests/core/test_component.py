"""A component's record refuses what breaks the rules of declaration, in words."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twm_core import KINDS, Component, PluginError

GOOD: dict[str, Any] = {
    "kind": "loss",
    "name": "my-loss",
    "summary": "A loss.",
    "config": "pack.config:Config",
    "build": "pack.model:build",
}


@pytest.mark.parametrize("kind", list(KINDS))
def test_a_component_of_every_kind_is_accepted(kind: str) -> None:
    component = Component(**{**GOOD, "kind": kind})
    assert (component.kind, component.layout_version, component.upgrade) == (kind, 1, None)


@pytest.mark.parametrize("name", ["a", "huber", "rssm-cat", "gru2", "a-1-b"])
def test_hyphenated_lower_case_names_are_accepted(name: str) -> None:
    assert Component(**{**GOOD, "name": name}).name == name


@pytest.mark.parametrize("name", ["", "A", "my_loss", "my--loss", "-loss", "loss-", "1loss", "my loss", "löss", "a:b", "loss\n"])
def test_other_names_are_refused(name: str) -> None:
    with pytest.raises(PluginError, match="a name is lower case letters and digits with single hyphens between"):
        Component(**{**GOOD, "name": name})


@given(st.lists(st.from_regex(r"[a-z][a-z0-9]{0,5}", fullmatch=True), min_size=1, max_size=4))
def test_words_joined_by_hyphens_are_names(words: list[str]) -> None:
    assert Component(**{**GOOD, "name": "-".join(words)}).name == "-".join(words)


def test_an_unknown_kind_is_refused_and_the_kinds_are_listed() -> None:
    with pytest.raises(PluginError, match="component reward 'my-loss': unknown kind 'reward'") as caught:
        Component(**{**GOOD, "kind": "reward"})
    assert (
        caught.value.hint
        == "kinds are dataset, encoder, dynamics, decoder, loss, optimizer, reader, renderer, simulator, metric, baseline, protocol"
    )


@pytest.mark.parametrize("summary", ["", "  \n"])
def test_an_empty_summary_is_refused(summary: str) -> None:
    with pytest.raises(PluginError, match="component loss 'my-loss': the summary is empty"):
        Component(**{**GOOD, "summary": summary})


@pytest.mark.parametrize("field", ["config", "build", "upgrade"])
@pytest.mark.parametrize("reference", ["", "pack.model", "pack.model:", ":build", "pack/model:build", "pack.model:a.b", "pack model:b"])
def test_references_must_name_module_and_attribute(field: str, reference: str) -> None:
    with pytest.raises(PluginError, match=f"{field} '{reference}' is not of the form 'package.module:attribute'"):
        Component(**{**GOOD, field: reference})


def test_layouts_are_counted_from_one() -> None:
    with pytest.raises(PluginError, match="layout_version 0 is below 1"):
        Component(**GOOD, layout_version=0)


def test_a_component_cannot_be_changed() -> None:
    component = Component(**GOOD)
    with pytest.raises(dataclasses.FrozenInstanceError):
        component.name = "other"  # pyrefly: ignore[read-only]
