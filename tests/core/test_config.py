"""The rules for config classes, each broken once."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from twm_core import KINDS, ComponentConfig, EncoderConfig, LossConfig, PluginError
from twm_core.config import check_config_class

WHOSE = "encoder mine (acme 1.2)"


class GoodConfig(EncoderConfig):
    """Keeps every rule."""

    width: int = Field(8, ge=1, description="Width.")


class OpenConfig(EncoderConfig):
    model_config = ConfigDict(extra="allow")


class MutableConfig(EncoderConfig):
    model_config = ConfigDict(frozen=False)


class RequiredConfig(EncoderConfig):
    width: int = Field(description="Width.")


class SilentConfig(EncoderConfig):
    width: int = 8


class ReservedConfig(EncoderConfig):
    component: str = Field("x", description="A word that recipes need.")


class ForeignConfig(BaseModel):
    width: int = Field(8, description="Width.")


def test_a_class_that_keeps_the_rules_is_returned() -> None:
    assert check_config_class(GoodConfig, EncoderConfig, WHOSE) is GoodConfig


@pytest.mark.parametrize("subject", [ForeignConfig, GoodConfig(), "text", None, int])
def test_what_is_not_a_subclass_of_the_base_is_refused(subject: Any) -> None:
    with pytest.raises(PluginError, match=r"encoder mine \(acme 1\.2\): config .* is not a subclass of EncoderConfig") as caught:
        check_config_class(subject, EncoderConfig, WHOSE)
    assert caught.value.hint == "derive it from twm_core.EncoderConfig"


def test_the_config_of_another_kind_is_refused() -> None:
    with pytest.raises(PluginError, match="is not a subclass of LossConfig"):
        check_config_class(GoodConfig, LossConfig, WHOSE)


@pytest.mark.parametrize("subject", [OpenConfig, MutableConfig])
def test_an_open_or_mutable_config_is_refused(subject: type[ComponentConfig]) -> None:
    with pytest.raises(PluginError, match=f"config {subject.__name__} must keep extra='forbid' and frozen=True"):
        check_config_class(subject, EncoderConfig, WHOSE)


@pytest.mark.parametrize("subject", [RequiredConfig, SilentConfig])
def test_every_field_needs_a_default_and_a_description(subject: type[ComponentConfig]) -> None:
    with pytest.raises(PluginError, match="config field 'width' needs a default and a description"):
        check_config_class(subject, EncoderConfig, WHOSE)


def test_the_word_component_is_reserved() -> None:
    with pytest.raises(PluginError, match="config field 'component' is a reserved word"):
        check_config_class(ReservedConfig, EncoderConfig, WHOSE)


def test_a_config_refuses_unknown_fields_and_changes() -> None:
    with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
        GoodConfig(height=3)  # pyrefly: ignore[unexpected-keyword]
    with pytest.raises(ValidationError, match="frozen"):
        GoodConfig().width = 3  # pyrefly: ignore[read-only]


@pytest.mark.parametrize("kind", list(KINDS))
def test_the_base_of_every_kind_keeps_the_rules(kind: str) -> None:
    assert check_config_class(KINDS[kind].config, ComponentConfig, kind) is KINDS[kind].config


def test_the_methods_that_map_specs_must_be_written_by_every_config() -> None:
    nothing: Any = None
    for call in (
        lambda: KINDS["dataset"].config().observations(),  # pyrefly: ignore[missing-attribute]
        lambda: EncoderConfig().embedding(nothing),
        lambda: KINDS["dynamics"].config().latent(nothing, nothing),  # pyrefly: ignore[missing-attribute]
        lambda: KINDS["decoder"].config().output(nothing, nothing),  # pyrefly: ignore[missing-attribute]
        lambda: LossConfig().accepts(nothing, nothing, nothing),
    ):
        with pytest.raises(NotImplementedError):
            call()


def test_a_loss_reads_no_branch_and_wants_no_rollout_unless_it_says_so() -> None:
    assert LossConfig().branches() == frozenset()
    assert LossConfig().rollout() is None
    with pytest.raises(ValidationError, match="greater than or equal to 0"):
        LossConfig(weight=-1)
