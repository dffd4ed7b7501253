"""Configs of the zoo: each has a field `fault` that chooses what is wrong; empty is healthy. Torch-free."""

from __future__ import annotations

import itertools
from typing import Any

from pydantic import ConfigDict, Field

from twm_core import (
    ActionSpec,
    BaselineConfig,
    ComponentConfig,
    DatasetConfig,
    DecoderConfig,
    DynamicsConfig,
    EmbeddingSpec,
    EncoderConfig,
    Feature,
    ForecastSpec,
    KeySpec,
    LatentSpec,
    LossConfig,
    MetricConfig,
    Mismatch,
    ObservationSpec,
    OptimizerConfig,
    OutputKey,
    OutputSpec,
    ProtocolConfig,
    ReaderConfig,
    RendererConfig,
    Score,
    SimulatorConfig,
)
from twm_core.data.schema import MOTION, agent_actions, traffic_observations

_CALLS = itertools.count()


class ZooEncoder(EncoderConfig):
    width: int = Field(8, ge=1, description="Width of the tokens.")
    fault: str = Field("", description="What is wrong.")

    def embedding(self, obs_spec: ObservationSpec) -> EmbeddingSpec:
        if not obs_spec.has("agents.state"):
            if self.fault == "refuses by value error":
                raise ValueError("no agents here")
            raise Mismatch(needs="agents", got=obs_spec.describe())
        if self.fault == "fits nothing":
            raise Mismatch(needs="something else", got=obs_spec.describe())
        width = self.width + (self.fault == "lies about its width")
        if self.fault == "gives another spec each time":
            return EmbeddingSpec(agents=self.width, scene=self.width + next(_CALLS) + 1)
        return EmbeddingSpec(agents=width, scene=None if self.fault == "gives a token that the spec does not name" else self.width)


class OpenEncoder(ZooEncoder):
    model_config = ConfigDict(extra="allow")


class MutableEncoder(ZooEncoder):
    model_config = ConfigDict(frozen=False)


class SilentEncoder(ZooEncoder):
    depth: int = 3


class ForgetfulEncoder(ZooEncoder):
    width: Any = Field(8, description="Comes back from a file as something else.")

    def model_post_init(self, context: Any) -> None:
        object.__setattr__(self, "width", self.width + 1)


class NotAnEncoder(ComponentConfig):
    fault: str = Field("", description="What is wrong.")


class ZooDynamics(DynamicsConfig):
    deter: int = Field(6, ge=1, description="Deterministic part.")
    stoch: int = Field(4, ge=1, description="Stochastic part.")
    fault: str = Field("", description="What is wrong.")

    def latent(self, embedding: EmbeddingSpec, action: ActionSpec | None) -> LatentSpec:
        if embedding.agents is None:
            raise Mismatch(needs="agent tokens", got=embedding)
        if self.fault and (embedding.scene is not None or (action is not None and action.layout == "scene")):
            raise Mismatch(needs="few situations, to be quick", got=embedding)
        return LatentSpec(layout="agents", width=self.deter + self.stoch, family="gaussian", deter=self.deter, groups=self.stoch)


class ZooDecoder(DecoderConfig):
    fault: str = Field("", description="What is wrong.")

    def output(self, latent: LatentSpec, obs_spec: ObservationSpec) -> OutputSpec:
        if latent.agents is None:
            raise Mismatch(needs="agent features", got=latent)
        if self.fault and latent.scene is not None:
            raise Mismatch(needs="few situations, to be quick", got=latent)
        return OutputSpec(
            keys=(
                OutputKey(key="agents.state", distribution="normal", features=MOTION),
                OutputKey(key="agents.exists", distribution="bernoulli"),
            )
        )


class ZooLoss(LossConfig):
    fault: str = Field("", description="What is wrong.")

    def accepts(self, output: OutputSpec, latent: LatentSpec, obs_spec: ObservationSpec) -> Mismatch | None:
        if not output.has("agents.state"):
            return Mismatch(needs="states of agents", got=output)
        return None

    def branches(self) -> frozenset[Any]:
        return frozenset({"prediction"})


class ZooOptimizer(OptimizerConfig):
    fault: str = Field("", description="What is wrong.")


class ZooDataset(DatasetConfig):
    fault: str = Field("", description="What is wrong.")

    def observations(self) -> tuple[ObservationSpec, ActionSpec | None]:
        seen = traffic_observations(features=MOTION, dt=0.5, context=3, horizon=4, protocol="zoo", lanes=5)
        return seen, agent_actions(("push", "m/s^2"), Feature(name="intent", kind="categorical", size=3))


class ZooEpisodes(DatasetConfig):
    fault: str = Field("", description="What is wrong.")

    def observations(self) -> tuple[ObservationSpec, ActionSpec | None]:
        marks = (
            ("is_first", "is_terminal") if self.fault == "has terminal steps but no last ones" else ("is_first", "is_last", "is_terminal")
        )
        keys = (
            KeySpec(key="vector.state", axes="B T D", shape=(3,)),
            KeySpec(key="reward", axes="B T"),
            *(KeySpec(key=k, axes="B T", dtype="bool") for k in marks),
        )
        obs_spec = ObservationSpec(keys=keys, dt=0.1, context=2, horizon=4)
        return obs_spec, ActionSpec(layout="scene", features=(Feature(name="force"), Feature(name="move", kind="categorical", size=3)))


class ZooReader(ReaderConfig):
    fault: str = Field("", description="What is wrong.")


class ZooRenderer(RendererConfig):
    fault: str = Field("", description="What is wrong.")


class ZooSimulator(SimulatorConfig):
    fault: str = Field("", description="What is wrong.")


class ZooMetric(MetricConfig):
    fault: str = Field("", description="What is wrong.")

    def accepts(self, obs_spec: ObservationSpec, forecast: ForecastSpec) -> Mismatch | None:
        return None if obs_spec.has("agents.state") else Mismatch(needs="agents", got=obs_spec.describe())

    def scores(self, obs_spec: ObservationSpec, samples: int) -> tuple[Score, ...]:
        at = 99.0 if self.fault == "scores what is not predicted" else obs_spec.horizon * obs_spec.dt
        return Score(name="mean_error", unit="m"), Score(name="last_error", unit="m", at=at)


class ZooBaseline(BaselineConfig):
    fault: str = Field("", description="What is wrong.")

    def accepts(self, obs_spec: ObservationSpec) -> Mismatch | None:
        return None if obs_spec.has("agents.state") else Mismatch(needs="agents", got=obs_spec.describe())

    def gives(self, obs_spec: ObservationSpec) -> ForecastSpec:
        # One future where little is known, several where more is, so that both are tried.
        rich = len(obs_spec.get("agents.state").features) > len(MOTION)
        return ForecastSpec(states=MOTION, exists=rich, several=rich, density=rich)


class ZooProtocol(ProtocolConfig):
    fault: str = Field("", description="What is wrong.")

    def dataset(self) -> tuple[str, dict[str, Any]]:
        if self.fault == "names what nobody has":
            return "lunar-traffic", {}
        if self.fault == "fixes a field that there is not":
            return "highway", {"gravity": 1.6}
        if self.fault == "names a folder":
            return "ethucy", {"fold": "eth", "path": "recordings"}
        return "highway", {"seed": 3}

    def futures(self) -> int:
        return 0 if self.fault == "asks for no future" else 6

    def metrics(self) -> dict[str, dict[str, Any]]:
        return {}

    def baselines(self) -> dict[str, dict[str, Any]]:
        return {}

    def split(self) -> str:
        return "exam" if self.fault == "asks for a split that there is not" else "test"
