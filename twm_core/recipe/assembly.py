"""Assembly: a recipe becomes a plan, that is, specs flow through the configs and every component says whether it fits.

    dataset -> ObservationSpec, ActionSpec -> encoders -> EmbeddingSpec -> dynamics -> LatentSpec -> decoders -> OutputSpec -> losses

Torch-free. A refusal names both components with their distributions and versions, what was needed, what was given, and a remedy;
alternatives in the remedy were tried with their default options and do fit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn, TypeVar, cast

from twm_core.config import ComponentConfig, validate_config
from twm_core.data.schema import MOTION
from twm_core.errors import AssemblyError, Mismatch
from twm_core.kinds import KINDS
from twm_core.kinds.dataset import DatasetConfig
from twm_core.kinds.decoder import DecoderConfig
from twm_core.kinds.dynamics import DynamicsConfig
from twm_core.kinds.encoder import EncoderConfig
from twm_core.kinds.loss import LossConfig
from twm_core.plugin.registry import Registered, Registry
from twm_core.plugin.rules import PLUGINS, check_pins
from twm_core.recipe.chosen import Chosen, configure
from twm_core.recipe.fusion import PARTS, FusionConfig
from twm_core.recipe.layers import FUSION, TRAINING, Part, Recipe, to_layer, yields
from twm_core.recipe.pins import PluginsConfig, check_used
from twm_core.recipe.training_config import TrainingConfig
from twm_core.specs import ActionSpec, EmbeddingSpec, LatentSpec, ObservationSpec, OutputSpec

STATE = "agents.state"

T = TypeVar("T")
C = TypeVar("C", bound=ComponentConfig)


@dataclass(frozen=True)
class Plan:
    """A recipe whose specs all fit.

    Attributes:
        parts: The planned components by kind, in the order of the recipe.
        training: Validated training options.
        fusion: How the encoders' tokens are joined.
        plugins: Which plugins are pinned, blocked and allowed.
        obs_spec: What the dataset gives.
        action: The dataset's actions, None where it has none.
        embeddings: What each encoder gives, in order.
        embedding: What they give together.
        latent: What the dynamics carry.
        outputs: What each decoder returns, in order.
        output: What they return together.
        notes: Remarks for the user, such as default losses that were left out.
    """

    parts: dict[str, tuple[Chosen, ...]]
    training: TrainingConfig
    fusion: FusionConfig
    plugins: PluginsConfig
    obs_spec: ObservationSpec
    action: ActionSpec | None
    embeddings: tuple[EmbeddingSpec, ...]
    embedding: EmbeddingSpec
    latent: LatentSpec
    outputs: tuple[OutputSpec, ...]
    output: OutputSpec
    notes: tuple[str, ...]

    def one(self, kind: str) -> Chosen:
        """The planned component of a slot that takes one."""
        return self.parts[kind][0]

    def resolved(self) -> dict[str, Any]:
        """The recipe with every option spelled out, as nested values for TOML."""
        slots = {k: [(p.name, p.config.model_dump(mode="json")) for p in v] for k, v in self.parts.items()}
        tables = {FUSION: self.fusion.model_dump(mode="json"), TRAINING: self.training.model_dump(mode="json")}
        said = self.plugins.model_dump(mode="json", exclude_defaults=True)
        return to_layer(slots, {**tables, **({PLUGINS: said} if said else {})})

    def describe(self) -> str:
        """The flow of specs, one line a stage, for people."""
        lines = [f"dataset   {self.one('dataset').whose} -> {self.obs_spec.describe()}"]
        lines += [f"encoder   {p.whose} -> {e}" for p, e in zip(self.parts["encoder"], self.embeddings, strict=True)]
        if len(self.embeddings) > 1:
            lines.append(f"fusion    {self.fusion.mode} -> {self.embedding}")
        lines.append(f"dynamics  {self.one('dynamics').whose} -> {self.latent}")
        lines += [f"decoder   {p.whose} -> {o}" for p, o in zip(self.parts["decoder"], self.outputs, strict=True)]
        lines += [f"loss      {p.whose}, weight {cast(LossConfig, p.config).weight:g}" for p in self.parts["loss"]]
        return "\n".join(lines)


def assemble(recipe: Recipe, registry: Registry) -> Plan:
    """Check that a recipe's components exist, are configured well and fit, and return the plan.

    Raises:
        UsageError: An option is unknown or has a bad value.
        UnknownComponentError: A component is not installed.
        AssemblyError: Two components do not fit; names both and a remedy.
    """
    training = _table(TRAINING, TrainingConfig, recipe)
    fusion = _table(FUSION, FusionConfig, recipe)
    plugins = _table(PLUGINS, PluginsConfig, recipe)
    check_pins(plugins.require, registry.plugins, recipe.origin(f"{PLUGINS}.require"))
    parts: dict[str, tuple[Chosen, ...]] = {}
    for slot, chosen in recipe.slots.items():
        parts[slot] = tuple(_plan_part(slot, part, recipe, registry) for part in chosen)
        check_used(plugins, (p.registered for p in parts[slot]), recipe.origin)
    notes = list(recipe.notes)

    dataset, dynamics = parts["dataset"][0], parts["dynamics"][0]
    obs_spec, action = cast(DatasetConfig, dataset.config).observations()

    embeddings = []
    for p in parts["encoder"]:
        embeddings.append(_fit(p, [dataset], registry, lambda c: cast(EncoderConfig, c).embedding(obs_spec)))
    _refuse_unseen_images(dataset, parts["encoder"], obs_spec, registry)
    try:
        embedding = fusion.embedding(embeddings)
    except Mismatch as mismatch:
        whose = ", ".join(p.whose for p in parts["encoder"])
        raise AssemblyError(f"fusion does not fit: it needs {mismatch.needs}; {whose} gives {mismatch.got}", mismatch.remedy) from mismatch

    latent = _fit(dynamics, [dataset, *parts["encoder"]], registry, lambda c: cast(DynamicsConfig, c).latent(embedding, action))

    if fusion.mode != "cross-attention":
        _refuse_unread_tokens(parts["encoder"], embeddings, dynamics, latent)

    outputs = []
    for p in parts["decoder"]:
        outputs.append(_fit(p, [dataset, dynamics], registry, lambda c: cast(DecoderConfig, c).output(latent, obs_spec)))
        _fit(p, parts["encoder"], registry, lambda c: cast(DecoderConfig, c).takes(embedding))
    output = combine_outputs(parts["decoder"], outputs)
    if latent.geometric:
        _refuse_unknown_poses(dataset, dynamics, parts["decoder"], obs_spec, output)

    losses = []
    optional = yields(recipe.origin("loss.components"))
    for p in parts["loss"]:
        refused = cast(LossConfig, p.config).accepts(output, latent, obs_spec)
        if refused is None:
            losses.append(p)
        elif optional:
            notes.append(f"loss {p.name} left out: it {refused.message}")
        else:
            _refuse(
                p,
                [dataset, dynamics, *parts["decoder"]],
                refused,
                registry,
                lambda c: _accepted(cast(LossConfig, c), output, latent, obs_spec),
            )
    if parts["loss"]:  # a recipe that is only evaluated has none
        if not losses:
            raise AssemblyError("no loss fits the recipe", "choose one with --loss")
        parts["loss"] = tuple(losses)
        _refuse_untrained(dynamics, latent, losses)
    return Plan(
        parts, training, fusion, plugins, obs_spec, action, tuple(embeddings), embedding, latent, tuple(outputs), output, tuple(notes)
    )


def _table(name: str, config: type[C], recipe: Recipe) -> C:
    return validate_config(config, recipe.tables[name], prefix=f"{name}.", whose=f"the table {name}", origin=recipe.origin)


def _refuse_unseen_images(dataset: Chosen, encoders: Iterable[Chosen], obs_spec: ObservationSpec, registry: Registry) -> None:
    """An image that the dataset makes and nobody looks at is a mistake in the recipe, and an expensive one."""
    images = {k.key for k in obs_spec.keys if k.role == "input" and k.key.startswith("image.")}
    encoders = list(encoders)
    if any(type(cast(EncoderConfig, p.config)).taken is EncoderConfig.taken for p in encoders):
        return  # one of them does not say what it reads
    looked = frozenset[str]().union(*(cast(EncoderConfig, p.config).taken(obs_spec) for p in encoders))
    if not images - looked:
        return
    able = []
    for other in registry.components("encoder"):
        try:
            if images <= cast(EncoderConfig, other.load_config()()).taken(obs_spec):
                able.append(other.component.name)
        except Exception:  # noqa: BLE001, S112 - a candidate that fails in any way is simply not offered
            continue
    raise AssemblyError(
        f"no encoder takes {', '.join(sorted(images - looked))} of {dataset.whose}: {', '.join(p.whose for p in encoders)}",
        f"add --encoder {able[0]}, widen its keys, or leave the images out of the dataset"
        if able
        else "leave the images out of the dataset",
    )


def _refuse_unread_tokens(encoders: Sequence[Chosen], embeddings: Sequence[EmbeddingSpec], dynamics: Chosen, latent: LatentSpec) -> None:
    """An encoder none of whose tokens reach the latent would be trained by nothing."""
    read = cast(DynamicsConfig, dynamics.config).reads(latent)
    for encoder, embedding in zip(encoders, embeddings, strict=True):
        given = {p for p in PARTS if getattr(embedding, p) is not None}
        if given and not given & read:
            raise AssemblyError(
                f"{encoder.whose} is not read: it gives {embedding}, and {dynamics.whose} in layout {latent.layout!r} reads "
                f"{' and '.join(sorted(read))} tokens",
                f"let it give {' or '.join(sorted(read))} tokens, set fusion.mode to 'cross-attention', or leave it out",
            )


def _refuse_unknown_poses(
    dataset: Chosen, dynamics: Chosen, decoders: Sequence[Chosen], obs_spec: ObservationSpec, output: OutputSpec
) -> None:
    """Who attends by where agents are must be told that, by the dataset while observing and by a decoder while imagining."""
    whose, remedy = f"{dynamics.whose} attends by poses of agents", "set dynamics.geometry to false"
    if not obs_spec.has(STATE) or not set(MOTION) <= {f.name for f in obs_spec.get(STATE).features}:
        raise AssemblyError(f"{whose}, and {dataset.whose} does not give {', '.join(MOTION)} of {STATE}", remedy)
    if not output.has(STATE) or not set(MOTION) <= set(output.get(STATE).features):
        names = ", ".join(p.whose for p in decoders)
        raise AssemblyError(f"{whose}, and none of {names} decodes {', '.join(MOTION)} of {STATE}", f"add --decoder agents, or {remedy}")


def _refuse_untrained(dynamics: Chosen, latent: LatentSpec, losses: Sequence[Chosen]) -> None:
    """The posterior of deterministic dynamics is the embedding: without a loss on predictions they would stay as they were drawn.

    A loss that reads no decoded branch may read the latents themselves.
    """
    read = [cast(LossConfig, p.config).branches() for p in losses]
    if latent.family != "none" or any(not branches or branches & {"prediction", "rollout"} for branches in read):
        return
    whose = ", ".join(p.whose for p in losses)
    able = [p.name for p in losses if "prediction" in type(p.config).model_fields]
    raise AssemblyError(
        f"no loss trains {dynamics.whose}: it is deterministic, and {whose} read reconstructions only",
        f"set loss.{able[0]}.prediction to 1" if able else "add --loss rollout",
    )


def combine_outputs(decoders: Iterable[Chosen], outputs: Iterable[OutputSpec]) -> OutputSpec:
    """Everything that several decoders return; a key may come from one only.

    Raises:
        AssemblyError: Two decoders return the same key.
    """
    owner: dict[str, Chosen] = {}
    keys = []
    for p, o in zip(decoders, outputs, strict=True):
        for k in o.keys:
            if k.key in owner:
                raise AssemblyError(f"{owner[k.key].whose} and {p.whose} both return key {k.key!r}", "leave one of them out")
            owner[k.key] = p
            keys.append(k)
    return OutputSpec(keys=tuple(keys))


def find_part(slot: str, name: str, recipe: Recipe, registry: Registry) -> Registered:
    """The component that a recipe chose for a slot; a name that a preset or default of twm chose means twm's,
    one that a checkpoint holds means that of its distribution.

    Raises:
        UnknownComponentError: It is not installed.
        AmbiguousComponentError: A user wrote a bare name that more than one distribution has.
    """
    choice = recipe.origin(f"{slot}.{'components' if KINDS[slot].several else 'component'}")
    own = recipe.distributions.get((slot, name), "twm" if yields(choice) else None)
    return registry.find(slot, name, own=own)


def _plan_part(slot: str, part: Part, recipe: Recipe, registry: Registry) -> Chosen:
    registered = find_part(slot, part.component, recipe, registry)
    prefix = f"{slot}.{part.component}." if KINDS[slot].several else f"{slot}."
    return configure(registered, part.options, name=part.component, prefix=prefix, origin=recipe.origin)


def _accepted(config: LossConfig, output: OutputSpec, latent: LatentSpec, obs_spec: ObservationSpec) -> None:
    refused = config.accepts(output, latent, obs_spec)
    if refused is not None:
        raise refused


def _fit(part: Chosen, givers: Iterable[Chosen], registry: Registry, flow: Callable[[ComponentConfig], T]) -> T:
    try:
        return flow(part.config)
    except Mismatch as mismatch:
        _refuse(part, givers, mismatch, registry, flow)


def _refuse(
    part: Chosen, givers: Iterable[Chosen], mismatch: Mismatch, registry: Registry, flow: Callable[[ComponentConfig], object]
) -> NoReturn:
    kind = part.registered.component.kind
    fitting = []
    for other in registry.components(kind):
        try:
            flow(other.load_config()())
        except Exception:  # noqa: BLE001, S112 - a candidate that fails in any way is simply not offered
            continue
        fitting.append(other.component.name)
    remedies = [r for r in (mismatch.remedy, f"{kind} that fits: {', '.join(sorted(set(fitting)))}" if fitting else None) if r]
    given = ", ".join(g.whose for g in givers)
    raise AssemblyError(
        f"{part.whose} does not fit: it needs {mismatch.needs}; {given} gives {mismatch.got}",
        "; ".join(remedies) or f"no installed {kind} fits; see twm list-plugins",
    ) from mismatch
