"""Evaluation: forecasters on the windows of a split, under a protocol, with everything that makes their numbers comparable.

What is scored is a checkpoint, a baseline, or a forecaster of a third party, each beside baselines. A protocol fixes dataset, windows,
split, number of futures and metrics; without one, the windows of the checkpoint's own dataset are the protocol. Numbers are a function of
seed, data and forecasters: see `twm_core.evaluation.engine`. What is decoded beside agents (images, vectors, rewards, ends) is scored by
`twm_core.evaluation.forecast_errors`.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

from twm_core.checkpoint.load import load_run
from twm_core.checkpoint.manifest import resolve_checkpoint, verify_files
from twm_core.data.dataset import Dataset, Windows
from twm_core.data.windows.loader import evenly_spaced
from twm_core.devices import choose_device
from twm_core.errors import CheckpointError, UsageError
from twm_core.evaluation import engine, saved
from twm_core.evaluation.comparing import compare, refuse
from twm_core.evaluation.components import choose_protocol, refuse_unused, split_options
from twm_core.evaluation.engine import Candidate
from twm_core.evaluation.forecast_errors import forecast_errors, scored_keys
from twm_core.evaluation.left_out import BASELINE, METRIC, LeftOut, without
from twm_core.evaluation.protocol import Protocol
from twm_core.evaluation.result import Evaluation, protocol_parts
from twm_core.evaluation.selection import (
    candidate,
    choose_baselines,
    choose_metrics,
    default_metrics,
    fitted,
    refuse_useless,
    usual_baselines,
)
from twm_core.evaluation.truth import RoadMaps
from twm_core.evaluation.world_model_forecaster import FuturesMode, WorldModelForecaster, scores_agents
from twm_core.kinds import TRAINING_KINDS
from twm_core.kinds.dataset import DatasetConfig
from twm_core.nn.build import build_dataset
from twm_core.nn.world_model import WorldModel
from twm_core.plugin.registry import TWM, Registry
from twm_core.plugin.rules import PLUGINS
from twm_core.recipe.chosen import Chosen, choose, shown_name
from twm_core.reporting import Reporter
from twm_core.specs import DatasetSpecs, ObservationSpec
from twm_core.threads import use_threads

MODEL = "model"
SAMPLES = 6
"""Futures of each window where no protocol says how many."""
_INCLUDED = ("windows", "agents", "scenarios", "episodes", "steps")
"""What a report counts that other lines say already."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """What to evaluate and how.

    Attributes:
        target: Run folder, checkpoint folder or a file in one; None to evaluate baselines only.
        dataset: Name of the dataset component, where there is neither a target nor a protocol.
        protocol: Name of a protocol; without one the windows of the target's dataset are it.
        baselines: Baselines to evaluate; those of the protocol, else all that fit, if none is named.
        usual: Whether all of these are evaluated where none is named; else only constant velocity is, to which skills refer.
        metrics: Metrics beside those of the protocol, or instead of the usual ones.
        without: Usual baselines and metrics that are left out: `NAME`, or `KIND/NAME`.
        split: Another split than the protocol's, `test` without one.
        samples: Another number of futures than the protocol's.
        windows: Most windows to score, evenly spaced; all by default.
        seed: Seed of the futures and of resampling.
        checkpoint: Which checkpoint of a run folder.
        futures: Where a model's futures come from.
        overrides: Options by dotted path: `dataset.path`, `baseline.NAME.FIELD`, `metric.NAME.FIELD`, `protocol.NAME.FIELD`, and those of
            the target's recipe.
    """

    target: Path | None = None
    dataset: str | None = None
    protocol: str | None = None
    baselines: Sequence[str] = ()
    usual: bool = True
    metrics: Sequence[str] = ()
    without: Sequence[str] = ()
    split: str | None = None
    samples: int | None = None
    windows: int | None = None
    seed: int = 0
    checkpoint: str = "best"
    futures: FuturesMode = "auto"
    overrides: Mapping[str, Any] | None = None


def evaluate(
    request: Request, *, registry: Registry, against: Path | None = None, out: Path | None = None, reporter: Reporter | None = None
) -> dict[str, Any]:
    """Evaluate, compare and save.

    Args:
        request: What to evaluate.
        registry: Installed components.
        against: A result that was saved, or a run or checkpoint, to compare with in pairs.
        out: Where to save the result (`X.json`, with the sums of all units in `X.safetensors`).
        reporter: Hears about progress.

    Returns:
        One JSON-able object. What was evaluated: `target`, `dataset`, `protocol` (name), `split`, `samples`, `seed`, `windows`, `report`,
        and of a checkpoint `checkpoint`, `step`, `futures` and `not_built` (losses and optimizer, each with `kind`, `name`,
        `distribution`, `version` and how many `tensors` of it were not loaded). Where agents are forecast, all of `Evaluation.summary`,
        such as `forecasters[NAME]["scores"]["minade"]`, the model's name being `model`, and `left_out`: usual baselines and metrics that
        do not fit or failed, each with `kind`, `name`, `whose` and `why`. Where a model decodes anything else: `keys`, see
        `twm_core.evaluation.forecast_errors`. With `against`: `comparison`, see `twm_core.evaluation.comparing`. Remarks: `notes`.

    Raises:
        UsageError: Nothing can be scored, or what cannot be compared is to be.
    """
    reporter = reporter or Reporter()
    # A file that cannot be read, or that another protocol made, is refused before anything is computed.
    kept = saved.read(against) if against is not None and saved.is_result(against) else None
    result, found = _evaluate(request, registry, reporter, kept)
    if against is not None:
        if found is None:
            raise UsageError("--against compares forecasts of agents, and none are decoded here", "leave it out")
        result["comparison"] = compare(found, kept or _other(against, request, registry, reporter))
    if out is not None:
        saved.write(out, result, None if found is None else found.scored)
    return result


def _other(against: Path, request: Request, registry: Registry, reporter: Reporter) -> saved.Saved:
    """The other side of a comparison, evaluated in the same way."""
    kinds = {name.rpartition("/")[2]: METRIC for name in request.without if _is_metric(name, registry)}
    same = replace(request, target=against, baselines=(), usual=False, without=tuple(f"{kind}/{name}" for name, kind in kinds.items()))
    result, found = _evaluate(same, registry, reporter)
    if found is None:
        raise UsageError(f"{against} forecasts no agents", "compare with a model that does")
    return saved.Saved(str(against), result, found.scored)


def _evaluate(
    request: Request, registry: Registry, reporter: Reporter, kept: saved.Saved | None = None
) -> tuple[dict[str, Any], Evaluation | None]:
    if request.samples is not None and request.samples < 1:
        raise UsageError(f"samples = {request.samples}: at least one future is needed", "use --samples 1 or more")
    recipe, options = split_options(request.overrides or {})
    refuse_unused("protocol", options["protocol"], {request.protocol: 1} if request.protocol else {})
    fixed = None if request.protocol is None else choose_protocol(registry, request.protocol, options["protocol"].get(request.protocol))
    subject = _subject(request, registry, recipe, fixed)
    obs_spec, model, dataset = subject.obs_spec, subject.model, subject.dataset
    if not obs_spec.horizon:
        raise UsageError("the dataset's windows have no predicted steps", "set dataset.predicted_seconds (or dataset.horizon) above 0")
    protocol = _ruled(fixed or _own_windows(subject), request)
    if kept is not None:
        refuse(protocol_parts(protocol), kept.result["comparable"], kept.name)
    windows = dataset.windows(protocol.split)
    indices = evenly_spaced(windows, request.windows)
    result: dict[str, Any] = {
        "target": None if request.target is None else str(request.target),
        "dataset": subject.name,
        "protocol": protocol.name,
        "split": protocol.split,
        "samples": protocol.samples,
        "seed": request.seed,
        "windows": len(indices),
        "dataset_sha256": dataset.fingerprint(),
        **subject.facts,
        "notes": [],
        "report": {f"data: {k}": v for k, v in windows.report().items() if k not in _INCLUDED and v},
    }
    if "dataset_sha256" in subject.manifest and result["dataset_sha256"] != subject.manifest["dataset_sha256"]:
        result["notes"].append("the data differs from what the model was trained with (other files, options or windows)")
    for row in result.get("not_built", ()):
        if row["tensors"]:
            result["notes"].append(f"{row['tensors']} tensors of {row['kind']} {row['name']} are not loaded: only training reads them")
    device = choose_device(subject.device)
    if model is not None:
        model.to(device)
    found: Evaluation | None = None
    keys: list[str] = [] if model is None else scored_keys(model.output)
    if model is None or scores_agents(model.output):
        found, left_out = _agents(request, registry, subject, protocol, fixed, options, windows, indices, device, result["notes"], reporter)
        result |= found.summary()
        result["left_out"] = left_out.as_json()
        if model is not None:
            result["futures"] = cast(WorldModelForecaster, found.candidates[0].forecaster).futures
    elif not keys:
        raise UsageError(
            f"the model decodes {model.output}, which is nothing that can be scored",
            "train with --decoder agents (or image, vector, reward, continue)",
        )
    if keys and model is not None:
        result["keys"] = forecast_errors(
            model,
            windows,
            indices,
            keys=keys,
            training=dataset.windows("train"),
            samples=protocol.samples,
            seed=request.seed,
            device=device,
            reporter=reporter,
        )
    for note in result["notes"]:
        reporter.note(note)
    return result, found


@dataclass(frozen=True)
class _Subject:
    """What is evaluated: a dataset, and a model unless baselines alone are."""

    name: str
    dataset: Dataset
    obs_spec: ObservationSpec
    model: WorldModel | None
    manifest: Mapping[str, Any]
    device: str
    facts: Mapping[str, Any]


def _subject(request: Request, registry: Registry, recipe: Mapping[str, Any], fixed: Protocol | None) -> _Subject:
    if request.target is None:
        return _dataset_alone(request, registry, recipe, fixed)
    if request.dataset is not None and fixed is None:
        recipe = {"dataset.component": request.dataset, **recipe}
    if fixed is not None:
        recipe = _under(fixed, request, recipe, registry)
    plan, model, manifest = load_run(request.target, registry=registry, checkpoint=request.checkpoint, overrides=recipe)
    place = resolve_checkpoint(request.target, request.checkpoint)
    use_threads(plan.training.threads, sum(p.numel() for p in model.parameters()))
    return _Subject(
        name=plan.one("dataset").name,
        dataset=build_dataset(plan),
        obs_spec=plan.obs_spec,
        model=model,
        manifest=manifest,
        device=plan.training.device,
        facts={"checkpoint": str(place), "step": manifest["step"], "not_built": _not_built(manifest)},
    )


def _not_built(manifest: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The components of a checkpoint that an evaluation leaves alone, with the number of their tensors that are not loaded."""
    rows = (r for r in manifest["components"] if r["kind"] in TRAINING_KINDS)
    return [{k: row.get(k, 0) for k in ("kind", "name", "distribution", "version", "tensors")} for row in rows]


def _under(fixed: Protocol, request: Request, recipe: Mapping[str, Any], registry: Registry) -> dict[str, Any]:
    """The options of a checkpoint's recipe, with those of the dataset as the protocol has them.

    Raises:
        CheckpointError: The checkpoint was trained on the same dataset with other values of what the protocol fixes: it may have been
            trained on what it is to be tested on.
        UsageError: An option sets what the protocol fixes.
    """
    assert request.target is not None
    manifest = verify_files(resolve_checkpoint(request.target, request.checkpoint))
    (row,) = (r for r in manifest["components"] if r["kind"] == "dataset")
    other = {k: v for k, v in fixed.options.items() if k not in fixed.may_differ and row["config"].get(k) != _plain(v)}
    meant = registry.find("dataset", fixed.dataset, own=fixed.owner)
    same = (row["distribution"], row["name"]) == (meant.plugin.distribution, meant.component.name)
    if same and other:
        differs = ", ".join(f"dataset.{k} = {row['config'].get(k)!r} instead of {v!r}" for k, v in other.items())
        raise CheckpointError(
            f"{request.target} was trained with {differs}, so it may have learned from what protocol {fixed.name} tests",
            f"train it with {' '.join(f'--dataset.{k} {_word(v)}' for k, v in other.items())}, or set the fields of the protocol"
            f" (protocol.{fixed.name}.FIELD)",
        )
    _refuse_fixed(fixed, recipe)
    component = {} if same else {"dataset.component": shown_name(registry, meant)}
    return {**component, **{f"dataset.{k}": v for k, v in fixed.options.items()}, **recipe}


def _word(value: Any) -> str:
    """A value as one word of the command line."""
    return shlex.quote(value if isinstance(value, str) else json.dumps(_plain(value)))


def _dataset_alone(request: Request, registry: Registry, recipe: Mapping[str, Any], fixed: Protocol | None) -> _Subject:
    use_threads(0, 0)
    if not request.baselines and fixed is None:
        raise UsageError("there is nothing to evaluate", "give a run folder or checkpoint, --baseline NAME, or --protocol NAME")
    name = fixed.dataset if fixed is not None else request.dataset
    if name is None:
        raise UsageError("baselines need data", "give --dataset NAME (its options with --set dataset.FIELD=VALUE), or --protocol NAME")
    # What is said of plugins held before any was imported.
    recipe = {k: v for k, v in recipe.items() if k.partition(".")[0] != PLUGINS}
    foreign = [k for k in recipe if not k.startswith("dataset.")]
    if foreign:
        raise UsageError(f"--set {foreign[0]}: there is no model here whose recipe has it", "set options of dataset, baseline or metric")
    if fixed is not None:
        _refuse_fixed(fixed, recipe)
    options = {**({} if fixed is None else fixed.options), **{k.removeprefix("dataset."): v for k, v in recipe.items()}}
    chosen = choose(registry, "dataset", name, options, own=None if fixed is None else fixed.owner)
    obs_spec, action = cast(DatasetConfig, chosen.config).observations()
    dataset = cast(Dataset, chosen.build(DatasetSpecs(obs_spec=obs_spec, action=action)))
    return _Subject(chosen.name, dataset, obs_spec, None, {}, "auto", {})


def _refuse_fixed(fixed: Protocol, recipe: Mapping[str, Any]) -> None:
    for name in fixed.options:
        if f"dataset.{name}" in recipe:
            raise UsageError(
                f"--set dataset.{name}: protocol {fixed.name} fixes it at {fixed.options[name]!r}",
                f"leave it out; what can be chosen are the fields of the protocol (twm describe protocol/{fixed.name})",
            )


def _own_windows(subject: _Subject) -> Protocol:
    """The windows of a dataset as a protocol of their own. Its metrics fix nothing: whoever adds one changes no other number."""
    obs_spec = subject.obs_spec
    options = {"windows": obs_spec.protocol, "dt": obs_spec.dt, "observed steps": obs_spec.context, "predicted steps": obs_spec.horizon}
    return Protocol(
        name=obs_spec.protocol or subject.name,
        dataset=subject.name,
        options=options,
        split="test",
        samples=SAMPLES,
        metrics={},
        baselines={},
    )


def _ruled(protocol: Protocol, request: Request) -> Protocol:
    """The protocol with another split or number of futures, if asked: another protocol then, by its hash."""
    return replace(
        protocol,
        split=protocol.split if request.split is None else request.split,
        samples=protocol.samples if request.samples is None else request.samples,
    )


def _agents(
    request: Request,
    registry: Registry,
    subject: _Subject,
    protocol: Protocol,
    fixed: Protocol | None,
    options: Mapping[str, Mapping[str, Mapping[str, Any]]],
    windows: Windows,
    indices: Sequence[int],
    device: Any,
    notes: list[str],
    reporter: Reporter,
) -> tuple[Evaluation, LeftOut]:
    obs_spec, own = subject.obs_spec, TWM if fixed is None or fixed.owner is None else fixed.owner
    usual = list(fixed.metrics) if fixed is not None else [] if request.metrics else default_metrics(registry)
    if fixed is not None:
        for name in options["metric"]:
            if name in fixed.metrics:
                raise UsageError(f"--set metric.{name}: protocol {fixed.name} fixes this metric", "evaluate without --protocol")
    names = list(request.baselines) if request.baselines or not request.usual else None if fixed is None else list(fixed.baselines)
    rivals = usual_baselines(registry, names, asked=request.baselines, own=own)
    gone = without(
        request.without,
        {BASELINE: rivals, METRIC: [] if fixed is not None else [*usual, *request.metrics]},
        {BASELINE: request.baselines, METRIC: request.metrics},
    )
    by_metric = {**options["metric"], **(fixed.metrics if fixed else {})}
    left_out = LeftOut()
    wanted = [n for n in [*usual, *request.metrics] if n not in gone[METRIC]]
    metrics = choose_metrics(registry, wanted, by_metric, asked=request.metrics, own=own, left_out=left_out)
    refuse_unused("metric", options["metric"], dict.fromkeys((*metrics, *request.metrics), 1))
    fields = {**(fixed.baselines if fixed else {}), **options["baseline"]}
    baselines, unfit, failed = choose_baselines(
        registry, obs_spec, names, fields, asked=request.baselines, own=own, named=options["baseline"], without=gone[BASELINE]
    )
    left_out.rows += [*unfit.rows, *failed.rows]
    refuse_unused("baseline", options["baseline"], dict.fromkeys((*baselines, *request.baselines), 1))
    asked = {METRIC: {*request.metrics, *by_metric}, BASELINE: {*request.baselines, *options["baseline"]}}
    named = {METRIC: {n for n, c in metrics.items() if asked[METRIC] & _called(c)}}
    named[BASELINE] = {n for n, c in baselines.items() if asked[BASELINE] & _called(c)}
    candidates = []
    if subject.model is not None:
        forecaster = WorldModelForecaster(subject.model, futures=request.futures)
        joined = candidate(
            MODEL, "the model", forecaster, metrics, obs_spec, protocol.samples, model=True, left_out=left_out, named=named[METRIC]
        )
        candidates.append(joined)
    for name, chosen in baselines.items():
        with left_out.unless_named(BASELINE, name, chosen.whose, named=name in named[BASELINE]):
            rival = fitted(chosen, subject.dataset, reporter)
            joined = candidate(name, chosen.whose, rival, metrics, obs_spec, protocol.samples, left_out=left_out, named=named[METRIC])
            candidates.append(joined)
    refuse_useless(request.metrics, metrics, obs_spec, [e.forecaster.gives for e in candidates])
    metrics, candidates = _that_remain(metrics, candidates, left_out)
    scored = engine.run(
        candidates,
        windows,
        indices,
        obs_spec=obs_spec,
        samples=protocol.samples,
        seed=request.seed,
        roads=RoadMaps(subject.dataset, protocol.split),
        device=device,
        optional={(k, n) for k, every in ((METRIC, metrics), (BASELINE, baselines)) for n in every if n not in named[k]},
        reporter=reporter,
    )
    left_out.rows += [replace(r, whose=metrics[r.name].whose) if r.kind == METRIC else r for r in scored.left_out.rows]
    metrics, candidates = _that_remain(metrics, candidates, left_out)
    # What a protocol lists and what does not fit the data is no remark: the list is for all data of the protocol.
    notes += [row.line for row in left_out.rows if fixed is None or row not in unfit.rows]
    return Evaluation(candidates, scored, metrics, protocol, obs_spec, request.seed), left_out


def _that_remain(metrics: dict[str, Chosen], candidates: list[Candidate], left_out: LeftOut) -> tuple[dict[str, Chosen], list[Candidate]]:
    """Metrics and entrants without those that were left out.

    Raises:
        UsageError: None remains.
    """
    kept = {n: c for n, c in metrics.items() if not left_out.has(METRIC, n)}
    there = [e for e in candidates if e.kind == MODEL or not left_out.has(BASELINE, e.name)]
    for kind, some in ((METRIC, kept), (BASELINE, there)):
        if not some:
            lines = "; ".join(row.line for row in left_out.rows if row.kind == kind) or "none was chosen"
            raise UsageError(f"there is no {kind} to evaluate with: {lines}", f"name one that works with --{kind} NAME")
    return kept, [replace(e, metrics={n: m for n, m in e.metrics.items() if n in kept}) for e in there]


def _called(chosen: Chosen) -> set[str]:
    """The names by which a user may mean a component."""
    return {chosen.name, chosen.registered.component.name, chosen.registered.qualified}


def _is_metric(name: str, registry: Registry) -> bool:
    """Whether what the user leaves out is a metric."""
    kind, _, bare = name.rpartition("/")
    return kind == METRIC or (not kind and any(bare in (r.component.name, r.qualified) for r in registry.components(METRIC)))


def _plain(value: Any) -> Any:
    """A value as JSON holds it."""
    return [_plain(v) for v in value] if isinstance(value, (list, tuple)) else value
