"""Kind `dynamics`: carries the latent state through time, with observations (observe) and without (imagine)."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from twm_core.config import ComponentConfig
from twm_core.errors import Mismatch
from twm_core.kinds.base import Kind
from twm_core.specs import ActionSpec, EmbeddingSpec, LatentSpec


class DynamicsConfig(ComponentConfig):
    """Base of all dynamics configs."""

    def latent(self, embedding: EmbeddingSpec, action: ActionSpec | None) -> LatentSpec:
        """The latent that these dynamics carry when fed with `embedding` and `action`.

        Raises:
            Mismatch: The embedding or the action does not suit.
        """
        raise NotImplementedError

    def reads(self, latent: LatentSpec) -> frozenset[str]:
        """Which tokens reach such a latent, `scene` and `agents`; by default those of its layout, and the scene's token every agent."""
        return frozenset({"scene"} if latent.layout == "scene" else {"scene", "agents"})


_NO_TOKENS_FOR_ACTIONS = (
    "choose an encoder with agent tokens, such as --encoder multiagent (set encoder.multiagent.agent_tokens to true, its default), with "
    "layout 'agents'; or set dataset.actions to false, where the dataset has that"
)


class ActedDynamicsConfig(DynamicsConfig):
    """Base of dynamics configs that can do with and without actions: whether there are any, the dataset decides, and `actions` confirms."""

    actions: Literal["auto", "required", "none"] = Field(
        "auto", description="Whether the dataset must have actions (required), must have none, or may decide (auto)."
    )

    def check_actions(self, action: ActionSpec | None) -> None:
        """Refuse a dataset without actions where they are required, and one with actions where there shall be none.

        Raises:
            Mismatch: It is so.
        """
        if self.actions == "required" and action is None:
            raise Mismatch(
                needs="actions (dynamics.actions is 'required')",
                got="a dataset without actions",
                remedy="switch them on with dataset.actions where the dataset has them (twm describe shows it), "
                "or set dynamics.actions to 'auto'",
            )
        if self.actions == "none" and action is not None:
            raise Mismatch(
                needs="no actions (dynamics.actions is 'none')",
                got=f"a dataset with actions of width {action.width} for {'each agent' if action.layout == 'agents' else 'the scene'}",
                remedy="set dynamics.actions to 'auto', or switch the dataset's actions off (dataset.actions)",
            )


def choose_layout(
    choice: Literal["auto", "scene", "agents"], embedding: EmbeddingSpec, action: ActionSpec | None
) -> tuple[Literal["scene", "agents"], int]:
    """The layout of a latent that may be one for the scene or one for each agent, and the width of the tokens that it is fed.

    `auto` takes agents where the encoder gives agent tokens.

    Raises:
        Mismatch: The tokens for the chosen layout are missing, or a scene latent is given one action for each agent.
    """
    layout: Literal["scene", "agents"] = choice if choice != "auto" else ("agents" if embedding.agents is not None else "scene")
    width = embedding.agents if layout == "agents" else embedding.scene
    if width is None:
        other = "scene" if layout == "agents" else "agents"
        has_other = embedding.scene is not None or embedding.agents is not None
        remedy = f"set layout to {other!r} or 'auto'" if has_other else "choose an encoder that gives tokens"
        needs = "agent tokens for layout 'agents'" if layout == "agents" else "a scene token for layout 'scene'"
        raise Mismatch(needs=needs, got=embedding, remedy=remedy)
    if layout == "scene" and action is not None and action.layout == "agents":
        remedy = "set layout to 'agents'" if embedding.agents is not None else _NO_TOKENS_FOR_ACTIONS
        raise Mismatch(needs="one action for the scene (layout 'scene')", got="one action for each agent", remedy=remedy)
    return layout, width


KIND = Kind(
    name="dynamics",
    summary="Carries a latent state through time: observe corrects it with what is seen, imagine rolls it forward.",
    config=DynamicsConfig,
    interface="twm_core.nn.interfaces:Dynamics",
    specs="tokens, actions, and who is there",
    gives="latent states, corrected and predicted, and imagined futures",
)
