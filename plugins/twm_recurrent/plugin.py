"""What this plugin provides. Torch-free."""

from __future__ import annotations

from twm_core import Component, hookimpl


@hookimpl
def twm_components() -> list[Component]:
    """The dynamics `gru`, `lstm` and `stochastic-gru`."""
    return [
        Component(
            kind="dynamics",
            name="gru",
            summary="Deterministic GRU that predicts the next embedding, for the scene or for each agent with shared weights.",
            config="twm_recurrent.config:GRUConfig",
            build="twm_recurrent.model:build_gru",
        ),
        Component(
            kind="dynamics",
            name="lstm",
            summary="Deterministic LSTM that predicts the next embedding, for the scene or for each agent with shared weights.",
            config="twm_recurrent.config:LSTMConfig",
            build="twm_recurrent.model:build_lstm",
        ),
        Component(
            kind="dynamics",
            name="stochastic-gru",
            summary="GRU with a Gaussian prior and posterior on top of it, for the scene or for each agent with shared weights.",
            config="twm_recurrent.config:StochasticGRUConfig",
            build="twm_recurrent.stochastic:build",
        ),
    ]
