"""Assembly: specs flow, and every refusal names both sides and a remedy that works."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from pluggy import PluginManager
from pydantic import Field

from twm_core import (
    ActionSpec,
    AssemblyError,
    Component,
    DatasetConfig,
    DecoderConfig,
    DynamicsConfig,
    EmbeddingSpec,
    EncoderConfig,
    Feature,
    KeySpec,
    LatentSpec,
    LossConfig,
    Mismatch,
    ObservationSpec,
    OptimizerConfig,
    OutputKey,
    OutputSpec,
    UnknownComponentError,
    UsageError,
)
from twm_core.hooks import GROUP, HookSpecs
from twm_core.plugin.discovery import Plugin
from twm_core.plugin.loading import Loaded
from twm_core.plugin.registry import Registry, discover
from twm_core.recipe.assembly import Plan, assemble
from twm_core.recipe.fusion import FusionConfig
from twm_core.recipe.layers import DEFAULT, Layer, default_layer, option_layer, resolve

# A small world of parts from two distributions: agents or pixels, latents with or without chance.


class AgentData(DatasetConfig):
    """Agents that are steered one by one."""

    steered: bool = Field(False, description="Whether there are actions.")

    def observations(self) -> tuple[ObservationSpec, ActionSpec | None]:
        state = KeySpec(key="agents.state", axes="B T A F", shape=(2,), features=(Feature(name="x"), Feature(name="y")))
        action = ActionSpec(layout="agents", features=(Feature(name="a"),)) if self.steered else None
        return ObservationSpec(keys=(state,), dt=0.1, context=2, horizon=3), action


class PixelData(DatasetConfig):
    """Pictures."""

    def observations(self) -> tuple[ObservationSpec, ActionSpec | None]:
        return ObservationSpec(keys=(KeySpec(key="image", axes="B T H W C", shape=(4, 4, 3)),), dt=0.1, context=2, horizon=3), None


class Points(EncoderConfig):
    """Agent tokens."""

    width: int = Field(4, ge=1, description="Width.")

    def embedding(self, obs_spec: ObservationSpec) -> EmbeddingSpec:
        obs_spec.get("agents.state")
        return EmbeddingSpec(agents=self.width)


class Camera(EncoderConfig):
    """A scene token of any data."""

    width: int = Field(6, ge=1, description="Width.")

    def embedding(self, obs_spec: ObservationSpec) -> EmbeddingSpec:
        return EmbeddingSpec(scene=self.width)


class Plain(DynamicsConfig):
    """Deterministic, for scene tokens or agent tokens."""

    def latent(self, embedding: EmbeddingSpec, action: ActionSpec | None) -> LatentSpec:
        return LatentSpec(layout="scene" if embedding.agents is None else "agents", width=embedding.agents or embedding.scene or 0)


class Noisy(DynamicsConfig):
    """Categorical, for agent tokens only, without actions."""

    def latent(self, embedding: EmbeddingSpec, action: ActionSpec | None) -> LatentSpec:
        if embedding.agents is None:
            raise Mismatch(needs="agent tokens", got=embedding)
        if action is not None:
            raise Mismatch(needs="data without actions", got="one action for each agent", remedy="set dataset.steered to false")
        return LatentSpec(layout="agents", width=embedding.agents, family="categorical", groups=2, classes=2)


class States(DecoderConfig):
    """Decodes agents."""

    def output(self, latent: LatentSpec, obs_spec: ObservationSpec) -> OutputSpec:
        obs_spec.get("agents.state")
        if latent.agents is None:
            raise Mismatch(needs="one latent for each agent", got=latent, remedy="choose --encoder points")
        return OutputSpec(keys=(OutputKey(key="agents.state", distribution="normal"),))


class Reward(DecoderConfig):
    """Decodes a reward from anything."""

    def output(self, latent: LatentSpec, obs_spec: ObservationSpec) -> OutputSpec:
        return OutputSpec(keys=(OutputKey(key="reward", distribution="normal"),))


class Distance(LossConfig):
    """Needs agent states."""

    def accepts(self, output: OutputSpec, latent: LatentSpec, obs_spec: ObservationSpec) -> Mismatch | None:
        if output.has("agents.state"):
            return None
        return Mismatch(needs="a decoder that returns 'agents.state'", got=output, remedy="add --decoder states")


class Nats(LossConfig):
    """Needs chance."""

    def accepts(self, output: OutputSpec, latent: LatentSpec, obs_spec: ObservationSpec) -> Mismatch | None:
        return None if latent.family != "none" else Mismatch(needs="a stochastic latent", got=latent, remedy="choose --dynamics noisy")


class Regret(LossConfig):
    """Needs a reward."""

    def accepts(self, output: OutputSpec, latent: LatentSpec, obs_spec: ObservationSpec) -> Mismatch | None:
        return None if output.has("reward") else Mismatch(needs="a decoder that returns 'reward'", got=output)


class Still(OptimizerConfig):
    """The name of the default optimizer."""


def component(kind: str, name: str, config: type) -> Component:
    return Component(kind=kind, name=name, summary="Toy.", config=f"{__name__}:{config.__name__}", build=f"{__name__}:no_build")


def registry() -> Registry:
    manager = PluginManager(GROUP)
    manager.add_hookspecs(HookSpecs)
    ours = (
        component("dataset", "agents", AgentData),
        component("encoder", "points", Points),
        component("dynamics", "plain", Plain),
        component("decoder", "states", States),
        component("loss", "distance", Distance),
        component("optimizer", "adamw", Still),
    )
    theirs = (
        component("dataset", "pixels", PixelData),
        component("encoder", "camera", Camera),
        component("dynamics", "noisy", Noisy),
        component("decoder", "states-too", States),
        component("decoder", "reward", Reward),
        component("loss", "nats", Nats),
        component("loss", "regret", Regret),
    )
    plugins = [
        Plugin(name="main", distribution=d, version=v, value="a", status="loaded", components=c)
        for d, v, c in (("roadworks", "0.4", ours), ("acme-worlds", "2.3.1", theirs))
    ]
    return Registry(manager=manager, loaded=[Loaded(plugin=p) for p in plugins])


DEFAULTS: dict[str, Any] = {
    "dataset": {"component": "agents"},
    "encoder": {"components": ["points"]},
    "dynamics": {"component": "noisy"},
    "decoder": {"components": ["states"]},
    "loss": {"components": ["distance", "nats"]},
}


def plan(**changes: Any) -> Plan:
    """The plan of the defaults with changes by dotted path, `__` for a dot."""
    layers = [option_layer(path.replace("__", "."), value, f"option --{path}") for path, value in changes.items()]
    return assemble(resolve([Layer(DEFAULT, DEFAULTS), *layers]), registry())


def refusal(**changes: Any) -> AssemblyError:
    with pytest.raises(AssemblyError) as caught:
        plan(**changes)
    return caught.value


def test_specs_flow_from_the_dataset_to_the_losses() -> None:
    made = plan(encoder__components=["points", "camera"], encoder__points__width=5)
    assert made.obs_spec.names == ("agents.state",)
    assert made.action is None
    assert made.embeddings == (EmbeddingSpec(agents=5), EmbeddingSpec(scene=6))
    assert made.embedding == EmbeddingSpec(scene=6, agents=5)
    assert made.latent == LatentSpec(layout="agents", width=5, family="categorical", groups=2, classes=2)
    assert made.output.has("agents.state")
    assert [p.name for p in made.parts["loss"]] == ["distance", "nats"]
    assert made.one("dynamics").whose == "dynamics noisy (acme-worlds 2.3.1)"


def test_widths_of_several_encoders_add_up() -> None:
    parts = [EmbeddingSpec(scene=2, agents=3), EmbeddingSpec(agents=4), EmbeddingSpec(scene=5)]
    assert FusionConfig().embedding(parts) == EmbeddingSpec(scene=7, agents=7)
    assert FusionConfig().embedding([EmbeddingSpec(agents=4)]).scene is None


def test_a_plan_describes_its_flow_line_by_line() -> None:
    assert plan().describe().splitlines() == [
        "dataset   dataset agents (roadworks 0.4) -> observations(agents.state; dt 0.1 s, 2+3 steps)",
        "encoder   encoder points (roadworks 0.4) -> embedding(agents 4)",
        "dynamics  dynamics noisy (acme-worlds 2.3.1) -> latent(layout agents, width 4, family categorical)",
        "decoder   decoder states (roadworks 0.4) -> output(agents.state: normal)",
        "loss      loss distance (roadworks 0.4), weight 1",
        "loss      loss nats (acme-worlds 2.3.1), weight 1",
    ]


def test_a_resolved_plan_assembles_to_the_same_plan() -> None:
    made = plan(encoder__points__width=7, loss__nats__weight=0.5)
    again = assemble(resolve([Layer("resolved", made.resolved())]), registry())
    assert again.resolved() == made.resolved()
    assert made.resolved()["encoder"]["points"] == {"width": 7}


@pytest.mark.parametrize(
    ("changes", "sides", "needs", "remedy", "cure"),
    [
        pytest.param(
            {"dataset__component": "pixels"},
            ["encoder points (roadworks 0.4)", "dataset pixels (acme-worlds 2.3.1)"],
            "it needs key 'agents.state'",
            "encoder that fits: camera",
            {
                "encoder__components": ["camera"],
                "dynamics__component": "plain",
                "decoder__components": ["reward"],
                "loss__components": ["regret"],
            },
            id="encoder-and-dataset",
        ),
        pytest.param(
            {"encoder__components": ["camera"]},
            ["dynamics noisy (acme-worlds 2.3.1)", "encoder camera (acme-worlds 2.3.1)"],
            "it needs agent tokens",
            "dynamics that fits: plain",
            {"dynamics__component": "plain", "decoder__components": ["reward"], "loss__components": ["regret"]},
            id="dynamics-and-encoder",
        ),
        pytest.param(
            {"dataset__steered": True},
            ["dynamics noisy (acme-worlds 2.3.1)", "dataset agents (roadworks 0.4)"],
            "it needs data without actions",
            "set dataset.steered to false; dynamics that fits: plain",
            {"dataset__steered": False},
            id="dynamics-and-actions-of-the-dataset",
        ),
        pytest.param(
            {"encoder__components": ["camera"], "dynamics__component": "plain"},
            ["decoder states (roadworks 0.4)", "dynamics plain (roadworks 0.4)"],
            "it needs one latent for each agent",
            "choose --encoder points; decoder that fits: reward",
            {"encoder__components": ["points"]},
            id="decoder-and-dynamics",
        ),
        pytest.param(
            {"dataset__component": "pixels", "encoder__components": ["camera"], "dynamics__component": "plain"},
            ["decoder states (roadworks 0.4)", "dataset pixels (acme-worlds 2.3.1)"],
            "it needs key 'agents.state'",
            "decoder that fits: reward",
            {"decoder__components": ["reward"], "loss__components": ["regret"]},
            id="decoder-and-dataset",
        ),
        pytest.param(
            {"decoder__components": ["reward"], "loss__components": ["distance"]},
            ["loss distance (roadworks 0.4)", "decoder reward (acme-worlds 2.3.1)"],
            "it needs a decoder that returns 'agents.state'",
            "add --decoder states; loss that fits: nats, regret",
            {"decoder__components": ["reward", "states"]},
            id="loss-and-decoder",
        ),
        pytest.param(
            {"dynamics__component": "plain", "loss__components": ["nats"]},
            ["loss nats (acme-worlds 2.3.1)", "dynamics plain (roadworks 0.4)"],
            "it needs a stochastic latent",
            "choose --dynamics noisy; loss that fits: distance",
            {"dynamics__component": "noisy"},
            id="loss-and-dynamics",
        ),
    ],
)
def test_a_refusal_names_both_sides_and_a_remedy_that_works(
    changes: dict[str, Any], sides: list[str], needs: str, remedy: str, cure: dict[str, Any]
) -> None:
    error = refusal(**changes)
    assert all(side in error.message for side in sides), error.message
    assert needs in error.message
    assert error.hint == remedy
    assert plan(**{**changes, **cure}).parts["loss"]


def test_default_losses_that_do_not_fit_are_left_out_with_a_note() -> None:
    made = plan(dynamics__component="plain")
    assert [p.name for p in made.parts["loss"]] == ["distance"]
    assert made.notes == ("loss nats left out: it needs a stochastic latent, got latent(layout agents, width 4, family none)",)


def test_losses_asked_for_are_never_left_out() -> None:
    assert (
        "loss nats (acme-worlds 2.3.1) does not fit" in refusal(dynamics__component="plain", loss__components=["distance", "nats"]).message
    )


def test_a_recipe_without_any_fitting_loss_is_refused() -> None:
    error = refusal(dynamics__component="plain", decoder__components=["reward"])
    assert (error.message, error.hint) == ("no loss fits the recipe", "choose one with --loss")


def test_two_decoders_of_one_key_are_refused_and_leaving_one_out_helps() -> None:
    error = refusal(decoder__components=["states", "reward", "states-too"])
    assert error.message == "decoder states (roadworks 0.4) and decoder states-too (acme-worlds 2.3.1) both return key 'agents.state'"
    assert error.hint == "leave one of them out"
    assert len(plan(decoder__components=["reward", "states-too"]).output.keys) == 2


def test_several_decoders_return_their_keys_together() -> None:
    assert [k.key for k in plan(decoder__components=["states", "reward"]).output.keys] == ["agents.state", "reward"]


def test_an_unknown_option_is_named_with_its_origin_and_the_closest_field() -> None:
    with pytest.raises(UsageError) as caught:
        plan(encoder__points__widht=3)
    assert caught.value.message == (
        "encoder.points.widht (from option --encoder__points__widht): "
        "encoder points (roadworks 0.4) has no field 'widht'; did you mean 'width'?"
    )
    assert caught.value.hint == "fields of encoder points (roadworks 0.4): width"


def test_all_bad_values_are_named_at_once_each_with_its_origin() -> None:
    with pytest.raises(UsageError) as caught:
        plan(encoder__points__width=0, encoder__points__depth=3)
    first, second = caught.value.message.splitlines()
    assert first.startswith("encoder.points.width = 0 (from option --encoder__points__width): Input should be greater than or equal to 1")
    assert second.startswith("encoder.points.depth (from option --encoder__points__depth)")


def test_a_bad_training_option_is_named() -> None:
    with pytest.raises(UsageError, match=r"training\.stepz \(from option --training__stepz\): the table training has no field 'stepz'"):
        plan(training__stepz=3)


def test_a_component_that_is_not_installed_is_named() -> None:
    with pytest.raises(UnknownComponentError, match="no dynamics is called 'nois'"):
        plan(dynamics__component="nois")


# The installed parts.


def installed(**changes: Any) -> Plan:
    layers = [option_layer(path.replace("__", "."), value, "option") for path, value in changes.items()]
    return assemble(resolve([default_layer(), *layers]), discover(environ={}))


def test_the_default_recipe_assembles_without_remarks() -> None:
    made = installed()
    assert made.notes == ()
    assert made.output.has("agents.state")


def test_gru_leaves_the_default_kl_out_and_refuses_it_when_asked_for() -> None:
    assert any(note.startswith("loss kl left out: it needs a stochastic latent") for note in installed(dynamics__component="gru").notes)
    with pytest.raises(AssemblyError, match=r"loss kl \(twm .*\) does not fit: .*dynamics gru \(twm .*\)") as caught:
        installed(dynamics__component="gru", loss__components=["huber", "kl"])
    assert caught.value.hint is not None
    assert caught.value.hint.startswith("choose --dynamics rssm-cat")
    assert installed(dynamics__component="rssm-cat", loss__components=["huber", "kl"])


def test_a_rule_over_several_fields_is_named_by_the_component_and_its_origin() -> None:
    with pytest.raises(UsageError, match=r"^encoder\.multiagent \(from option\): width 10 is not a multiple of heads 3"):
        installed(encoder__multiagent__width=10, encoder__multiagent__heads=3)


def test_assembling_imports_neither_torch_nor_numpy() -> None:
    code = (
        "import sys\n"
        "from twm_core.recipe.assembly import assemble\n"
        "from twm_core.recipe.layers import default_layer, resolve\n"
        "from twm_core.plugin.registry import discover\n"
        "assemble(resolve([default_layer()]), discover(environ={}))\n"
        "print(sorted({'torch', 'numpy'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"
