"""A file of numbers that the official DreamerV3 computed, and our world model with its parameters, inputs and drawn samples.

The layout of such a file is described in the README beside the files. Our model is made of the components that the preset `dreamer-v3`
names: encoder `multimodal`, dynamics `rssm-cat`, decoders `vector`, `image`, `reward`, `continue`, losses `nll` and `kl`. Every official
parameter becomes one of ours, through the maps in `official_*.py`; gradients and updates go through the same maps.

Two things stand elsewhere in time: the official action of entry t is the one taken before observation t, ours the one after it, so
that their first action is our `first_action`; and `is_terminal` is what our `continue` is derived from.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from official_heads import continue_parameters, reward_parameters, vector_decoder_parameters
from official_multimodal import encoder_parameters, image_decoder_parameters
from official_rssm import from_official
from safetensors import safe_open
from torch import Tensor

from twm_core.nn.fusion import Fusion
from twm_core.nn.interfaces import Trace
from twm_core.nn.world_model import LossTerm, WorldModel
from twm_core.plugin.registry import discover
from twm_core.recipe.fusion import FusionConfig
from twm_core.specs import ActionSpec, DecoderSpecs, DynamicsSpecs, EncoderSpecs, Feature, KeySpec, LossSpecs, ObservationSpec, OutputSpec


class OfficialSet:
    """One file and our model.

    Args:
        path: The file.

    Attributes:
        sizes: Its configuration.
        names: Our key for each official observation key.
        batch: Its inputs as our batch.
        model: Our world model with its parameters.
    """

    def __init__(self, path: Path) -> None:
        with safe_open(path, "pt") as file:
            self.sizes: dict[str, Any] = json.loads(file.metadata()["config"])
            self.tensors: dict[str, Tensor] = {k: file.get_tensor(k) for k in file.keys()}  # noqa: SIM118 (not a mapping)
        observed = self.under("in/obs/")
        kinds = {k: "image" if v.dim() == 5 else "vector" for k, v in observed.items()}
        self.names = {k: f"{kinds[k]}.{k}" for k in observed}
        self.batch = {self.names[k]: _ours(v) for k, v in observed.items()}
        self.batch |= {k: self[f"in/{k}"] for k in ("reward", "is_first", "is_terminal")}
        self.batch["is_last"] = self.batch["is_terminal"]
        actions = self.tensors.get("in/action_onehot", self["in/action"])
        self.first_action = actions[:, 0]
        self.batch["action"] = torch.cat((actions[:, 1:], torch.zeros_like(actions[:, :1])), dim=1)
        self.imagined_actions = self.tensors.get("in/imagine/action_onehot", self["in/imagine/action"])
        self.model = self._build()
        missing, unexpected = self.model.load_state_dict(self.ours(self.under("param/")), strict=False)
        if missing or unexpected:
            raise SystemExit(f"parameters without a counterpart: ours {missing}, theirs {unexpected}")

    def __getitem__(self, name: str) -> Tensor:
        return self.tensors[name]

    def has(self, name: str) -> bool:
        """Whether the file holds this tensor."""
        return name in self.tensors

    def under(self, prefix: str) -> dict[str, Tensor]:
        """The tensors whose names begin so, without that beginning."""
        return {k.removeprefix(prefix): v for k, v in self.tensors.items() if k.startswith(prefix)}

    def ours(self, theirs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Tensors with the official parameters' names and shapes under our names and in our shapes."""
        parts = {
            "encoders.multimodal.": encoder_parameters(theirs),
            "dynamics.": from_official({k.removeprefix("dyn/"): v for k, v in theirs.items() if k.startswith("dyn/")}),
            "decoders.reward.": reward_parameters(theirs),
            "decoders.continue.": continue_parameters(theirs),
        }
        vectors = {k: v for k, v in self.names.items() if v.startswith("vector.")}
        if vectors:
            parts["decoders.vector."] = vector_decoder_parameters(theirs, deter=self.sizes["deter"], keys=vectors)
        if len(vectors) < len(self.names):
            parts["decoders.image."] = image_decoder_parameters(theirs)
        return {prefix + k: v for prefix, found in parts.items() for k, v in found.items()}

    def carry(self, deter: Tensor, stoch: Tensor) -> Any:
        """A state of our dynamics that has been seen and is present."""
        state = self.model.dynamics.initial((len(deter),))
        flags = {f: torch.ones_like(getattr(state, f)) for f in state._fields if getattr(state, f).dim() == 1}
        return state._replace(deter=deter, stoch=stoch, **flags)

    def observe(self, tokens: Any) -> Trace:
        """Our dynamics over the official inputs, from the official carry, with the official samples."""
        return self.model.dynamics.observe(
            tokens,
            self.batch["action"],
            self.batch["is_first"],
            None,
            state=self.carry(self["in/carry/deter"], self["in/carry/stoch"]),
            first_action=self.first_action,
            forced=self["out/stoch"],
        )

    def _build(self) -> WorldModel:
        s, steps = self.sizes, self.batch["is_first"].shape[1]
        keys = [_spec(k, v, int(self[f"out/dec/{n}/logits"].shape[-1]) if self.has(f"out/dec/{n}/logits") else None)
                for n, k in self.names.items() for v in (self.batch[k],)]  # fmt: skip
        keys.append(KeySpec(key="reward", axes="B T"))
        keys += [KeySpec(key=k, axes="B T", dtype="bool") for k in ("is_first", "is_last", "is_terminal")]
        obs_spec = ObservationSpec(keys=tuple(keys), dt=1.0, context=steps, horizon=0)
        width = self.batch["action"].shape[-1]
        action = ActionSpec(layout="scene", features=tuple(Feature(name=f"a{i}") for i in range(width)))
        cnn = {"depth": s["depth"], "mults": s["mults"], "kernel": s["kernel"]}
        made = _Maker()
        config, encoder = made(
            "encoder", "multimodal", lambda c: EncoderSpecs(obs_spec=obs_spec, embedding=c.embedding(obs_spec)),
            layers=s["enc_layers"], units=s["units"], eps=s["norm_eps"], **cnn,
        )  # fmt: skip
        embedding = config.embedding(obs_spec)
        config, dynamics = made(
            "dynamics", "rssm-cat", lambda c: DynamicsSpecs(embedding=embedding, action=action, latent=c.latent(embedding, action)),
            layout="scene", deter=s["deter"], hidden=s["hidden"], groups=s["stoch"], classes=s["classes"], blocks=s["blocks"],
            unimix=s["unimix"], dynlayers=s["dynlayers"], obslayers=s["obslayers"], imglayers=s["imglayers"], eps=s["norm_eps"],
        )  # fmt: skip
        latent = config.latent(embedding, action)
        head = {"layers": s["head_layers"], "units": s["units"], "eps": s["norm_eps"]}
        wanted: dict[str, dict[str, Any]] = {"reward": {**head, "bins": s["bins"]}, "continue": {**head, "horizon": s["horizon"]}}
        if any(k.startswith("vector.") for k in self.names.values()):
            wanted["vector"] = {**head, "layers": s["dec_layers"]}
        if any(k.startswith("image.") for k in self.names.values()):
            wanted["image"] = {**cnn, "units": s["units"], "blocks": s["bspace"], "eps": s["norm_eps"]}
        decoders, outputs = {}, []
        for name, options in wanted.items():
            config, decoders[name] = made(
                "decoder", name, lambda c: DecoderSpecs(latent=latent, obs_spec=obs_spec, output=c.output(latent, obs_spec)), **options
            )
            outputs += config.output(latent, obs_spec).keys
        scales = s["loss_scales"]
        assert scales["rec"] == scales["rew"] == scales["con"] == 1, "this check expects reconstruction, reward and continue scales of 1"
        output = OutputSpec(keys=tuple(outputs))
        options = {"nll": {}, "kl": {"dyn": scales["dyn"], "rep": scales["rep"], "free_nats": s["free_nats"]}}
        losses = {
            n: LossTerm(*made("loss", n, lambda c: LossSpecs(output=output, latent=latent, obs_spec=obs_spec), **o))
            for n, o in options.items()
        }
        return WorldModel(
            encoders={"multimodal": encoder}, fusion=Fusion(config=FusionConfig(), embeddings=[embedding]), dynamics=dynamics,
            decoders=decoders, losses=losses, obs_spec=obs_spec, action=action, output=output,
        )  # fmt: skip


class _Maker:
    """Builds components by kind and name, as a recipe would."""

    def __init__(self) -> None:
        self.registry = discover(environ={})

    def __call__(self, kind: str, name: str, given: Any, **options: Any) -> tuple[Any, Any]:
        found = self.registry.find(kind, name)
        config = found.load_config()(**options)
        return config, found.load_build()(config, given(config))


def _ours(value: Tensor) -> Tensor:
    """Images with channels first, labels as int64."""
    if value.dim() == 5:
        return value.permute(0, 1, 4, 2, 3).contiguous()
    return value if value.is_floating_point() else value.long()


def _spec(key: str, value: Tensor, classes: int | None) -> KeySpec:
    if key.startswith("image."):
        return KeySpec(key=key, axes="B T C H W", dtype="uint8", shape=tuple(value.shape[2:]))
    if classes is not None:
        return KeySpec(key=key, axes="B T", dtype="int64", classes=classes)
    return KeySpec(key=key, axes="B T D", shape=(value.shape[-1],))
