"""Do the presets learn, and how do the new ones compare with the seed's? Two commands, each with the same budget for everybody.

    python benchmarks/presets.py learn [--commonroad FOLDER] [--check]
    python benchmarks/presets.py compare [--commonroad FOLDER] --out FOLDER [--jobs 2]

`learn` trains every preset on data that it suits and compares the last checkpoint, on validation windows, with a trivial predictor:

    traffic    ADE of open-loop forecasts            with zero velocity
               Huber loss (metres, beta 1) of the position predicted one step ahead    with that of "nothing changes"
    episodes   squared error of what is decoded from the posterior                     with that of the training mean or of 0,
                                                                                       whichever is less (numbers)
               -log p of it, nats                    with that of the training frequencies (labels, `continue`)

A bar is held where the model is at least 1 % below the trivial predictor. Presets that decode absolute coordinates without a kinematic
prior (`traffic-wm`) do not know where an agent was; theirs is the mean position in the training windows. What has no bar is printed for
information.

`compare` trains `traffic-wm`, `hybrid` and `multiagent-rssm` with each seed and scores the best checkpoint on the test split (ADE, FDE,
minADE of 6 futures, in metres); the table gives mean and standard deviation over seeds, CPU minutes of training and parameters. It is
written as `presets.md` and, with every single run, as `presets.json`.

Every run is a process of its own with one thread; `--jobs` of them run at a time. Words `PATH=VALUE` set options of all runs; nothing else
is changed in the presets but steps, batch, seed and device (and the size of the pictures in `learn`).
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import statistics
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

    from twm_core.data.dataset import Batch, Windows
    from twm_core.nn.world_model import WorldModel

TRAFFIC = ("traffic-wm", "traffic-wm-transformer", "hybrid", "multiagent-rssm", "default")
EPISODES = ("dreamer-v3", "dreamer-v3-early")
COMPARED = ("traffic-wm", "hybrid", "multiagent-rssm")
SMALL_EPISODES: dict[str, Any] = {"dataset.image_size": 32, "dataset.context": 8, "dataset.horizon": 8}
SAMPLES = 6
WINDOWS = 96
FIGURES = ("ade", "fde", "minade")
MARGIN = 0.99
_VERDICTS = {True: "held  ", False: "MISSED", None: "      "}
_FOLLOWING = 1  # steps are judged from the second on: there is nothing to go on at the first


@dataclass(frozen=True)
class Job:
    """One run: a preset on a dataset, with options by dotted path."""

    preset: str
    dataset: str
    seed: int
    options: dict[str, Any]
    folder: str


# Training and judging, in a process of their own ---------------------------------------------------------------------


def train_job(job: Job) -> dict[str, Any]:
    """Train one run; parameters, CPU minutes, steps."""
    from twm_core.plugin.registry import discover
    from twm_core.recipe.assembly import assemble
    from twm_core.recipe.layers import Layer, option_layer, resolve
    from twm_core.training.run import train

    registry = discover(environ={})
    layers = [Layer("benchmark", {"preset": job.preset}), Layer("benchmark", {"dataset": {"component": job.dataset}})]
    layers += [option_layer(path, value, f"option {path}") for path, value in job.options.items()]
    plan = assemble(resolve(layers), registry)
    started = time.process_time()
    train(plan, registry, Path(job.folder))
    return {"cpu_minutes": (time.process_time() - started) / 60, "steps": plan.training.steps, "batch": plan.training.batch}


def compare_job(job: Job) -> dict[str, Any]:
    """Train one run and score it on the test split."""
    from twm_core.checkpoint.load import load_run
    from twm_core.evaluation.evaluate import Request, evaluate
    from twm_core.plugin.registry import discover

    found = train_job(job)
    registry = discover(environ={})
    _, model, _ = load_run(Path(job.folder), registry=registry)
    result = evaluate(Request(target=Path(job.folder), split="test", samples=SAMPLES), registry=registry)
    rows = {name: each["scores"] for name, each in result["forecasters"].items()}
    return {
        "preset": job.preset,
        "dataset": job.dataset,
        "seed": job.seed,
        **found,
        "parameters": sum(p.numel() for p in model.parameters()),
        **{name: rows["model"][name] for name in FIGURES},
        "baselines": {name: {f: row[f] for f in FIGURES} for name, row in rows.items() if name != "model"},
        "windows": result["windows"],
        "best_step": result["step"],
    }


def learn_job(job: Job) -> dict[str, Any]:
    """Train one run and put it beside trivial predictors on validation windows."""
    import torch

    from twm_core.checkpoint.load import load_run
    from twm_core.data.windows.loader import evenly_spaced
    from twm_core.evaluation.evaluate import Request, evaluate
    from twm_core.nn.build import build_dataset
    from twm_core.plugin.registry import discover

    found = train_job(job)
    registry = discover(environ={})
    plan, model, _ = load_run(Path(job.folder), registry=registry, checkpoint="latest")
    dataset = build_dataset(plan)
    model.eval()
    windows = dataset.windows("val")
    indices = evenly_spaced(windows, WINDOWS)
    with torch.no_grad():
        absolute = any(getattr(p.config, "parametrisation", None) == "absolute" for p in plan.parts["decoder"])
        traffic = plan.output.has("agents.state")
        if traffic:
            asked = Request(target=Path(job.folder), split="val", samples=SAMPLES, windows=WINDOWS, checkpoint="latest")
            errors = {n: r["scores"]["ade"] for n, r in evaluate(asked, registry=registry)["forecasters"].items()}
            rows = list(traffic_rows(model, dataset, indices, errors, absolute=absolute))
        else:
            rows = list(episode_rows(model, dataset, indices))
    return {"preset": job.preset, "dataset": job.dataset, "seed": job.seed, **found, "rows": rows}


def batches(windows: Windows, indices: Sequence[int]) -> Iterator[Batch]:
    """The windows, eight at a time."""
    for at in range(0, len(indices), 8):
        yield windows.batch(indices[at : at + 8])


def compared(what: str, measure: str, model: float, trivial: float, name: str, *, bar: bool = True) -> dict[str, Any]:
    """One line of the table of `learn`; `held` is None where it is for information."""
    held = model < MARGIN * trivial if bar else None
    return {"what": what, "measure": measure, "model": model, "trivial": trivial, "predictor": name, "held": held}


def traffic_rows(
    model: WorldModel, dataset: Any, indices: Sequence[int], errors: dict[str, float], *, absolute: bool
) -> Iterator[dict[str, Any]]:
    """Open-loop ADE beside zero velocity, and the one-step Huber loss beside "nothing changes" and beside the mean position."""
    import torch
    import torch.nn.functional as F

    from twm_core.data.windows.loader import evenly_spaced
    from twm_core.nn.batches import previous_anchor

    training, windows = dataset.windows("train"), dataset.windows("val")
    for name, error in errors.items():
        if name != "model":
            yield compared("agents.state", "ADE, m", errors["model"], error, name, bar=name == "zero-velocity" and not absolute)

    state = model.obs_spec.get("agents.state")
    xy = [state.index("x"), state.index("y")]
    seen = [b["agents.state"][..., xy][b["agents.exists"]].double() for b in batches(training, evenly_spaced(training, 128))]
    middle = torch.cat(seen).mean(dim=0).float()
    generator = torch.Generator().manual_seed(0)
    ours = theirs = mean = count = 0.0
    for batch in batches(windows, indices):
        prior = model.belief(model.observe(batch, generator=generator).prior)
        guess = model.decode(prior.features, previous_anchor(batch))["agents.state"].mean[..., :2]
        here, exists = batch["agents.state"][..., xy], batch["agents.exists"]
        both = (exists[:, 1:] & exists[:, :-1])[..., None].expand(*exists[:, 1:].shape, 2)
        ours += float(F.smooth_l1_loss(guess[:, 1:][both], here[:, 1:][both], reduction="sum"))
        theirs += float(F.smooth_l1_loss(here[:, :-1][both], here[:, 1:][both], reduction="sum"))
        mean += float(F.smooth_l1_loss(middle.expand_as(here[:, 1:])[both], here[:, 1:][both], reduction="sum"))
        count += float(both.sum())
    yield compared("agents.state", "Huber, one step", ours / count, theirs / count, "nothing changes", bar=not absolute)
    yield compared("agents.state", "Huber, one step", ours / count, mean / count, "training mean position", bar=absolute)


def episode_rows(model: WorldModel, dataset: Any, indices: Sequence[int]) -> Iterator[dict[str, Any]]:
    """What is decoded from posteriors, key by key, beside the mean or the frequencies of the training windows."""
    import torch

    from twm_core.data.windows.loader import evenly_spaced
    from twm_core.nn.batches import previous_anchor
    from twm_core.nn.targets import CONTINUE, target

    training, windows = dataset.windows("train"), dataset.windows("val")
    generator = torch.Generator().manual_seed(0)
    keys = sorted(model.decode(model.belief(model.observe(windows.batch([0]), generator=generator).posterior).features, None))
    classes = {k: 2 if k == CONTINUE else model.obs_spec.get(k).classes for k in keys}

    def truth(batch: Batch, key: str) -> Tensor:
        value = target(batch, key)[:, _FOLLOWING:].double()
        return value / 255 if key.startswith("image.") else value

    known: dict[str, list[Tensor]] = {k: [] for k in keys}
    for batch in batches(training, evenly_spaced(training, 128)):
        for k in keys:
            known[k].append(truth(batch, k).flatten(0, 1))
    trivial = {k: _frequencies(torch.cat(v), n) if (n := classes[k]) else torch.cat(v).mean(dim=0) for k, v in known.items()}

    sums = {k: [0.0, 0.0, 0.0, 0.0] for k in keys}
    for batch in batches(windows, indices):
        posterior = model.belief(model.observe(batch, generator=generator).posterior)
        decoded = model.decode(posterior.features, previous_anchor(batch) if "agents.state" in batch else None)
        for k in keys:
            value = truth(batch, k)
            if classes[k]:
                ours = -decoded[k].log_prob(target(batch, k))[:, _FOLLOWING:].double()
                theirs = zero = -trivial[k].log()[value.long()]
            else:
                ours = (decoded[k].mean[:, _FOLLOWING:].double() - value).square()
                theirs, zero = (trivial[k] - value).square(), value.square()
            found = (float(ours.sum()), float(theirs.sum()), float(zero.sum()), value.numel())
            sums[k] = [a + b for a, b in zip(sums[k], found, strict=True)]
    for k, (ours, theirs, zero, count) in sums.items():
        measure, name = ("-log p, nats", "training frequencies") if classes[k] else ("squared error", "training mean, or 0")
        yield compared(k, measure, ours / count, min(theirs, zero) / count, name)


def _frequencies(values: Tensor, classes: int) -> Tensor:
    """Of the classes 0 .. n - 1, with half a count for each, so that no class is impossible."""
    import torch

    counts = torch.bincount(values.long(), minlength=classes).double() + 0.5
    return counts / counts.sum()


# Tables --------------------------------------------------------------------------------------------------------------


def learn(options: argparse.Namespace, place: str) -> int:
    """Print a line for each preset, dataset and quantity; 1 where a bar is missed and `--check` was given."""
    jobs = []
    for preset in options.presets or (*TRAFFIC, *EPISODES):
        traffic = preset in TRAFFIC
        given = {"training.steps": options.steps if traffic else options.episode_steps, **({} if traffic else SMALL_EPISODES)}
        jobs += jobs_of(preset, datasets(options) if traffic else {"shapes": {}}, options, options.seeds[:1], given, place)
    missed = 0
    for result in run_all(learn_job, jobs, options.jobs):
        print(f"{result['preset']} on {result['dataset']}: {result['steps']} steps, {result['cpu_minutes']:.1f} CPU minutes")
        for r in result["rows"]:
            missed += r["held"] is False
            print(
                f"  {_VERDICTS[r['held']]} {r['what']:14} {r['measure']:16} {r['model']:10.5f}   {r['predictor']} {r['trivial']:.5f}",
                flush=True,
            )
    print(f"{missed} missed")
    return int(options.check and missed > 0)


def compare(options: argparse.Namespace, place: str) -> int:
    """Write the table of all runs."""
    given = {"training.steps": options.steps, "training.batch": options.batch}
    jobs = [j for p in options.presets or COMPARED for j in jobs_of(p, datasets(options), options, options.seeds, given, place)]
    runs = []
    for result in run_all(compare_job, jobs, options.jobs):
        runs.append(result)
        figures = ", ".join(f"{f} {result[f]:.3f}" for f in FIGURES)
        print(f"{result['preset']} on {result['dataset']}, seed {result['seed']}: {figures}", file=sys.stderr, flush=True)
    text = table(runs)
    print(text)
    if options.out is not None:
        options.out.mkdir(parents=True, exist_ok=True)
        (options.out / "presets.md").write_text(text + "\n", encoding="utf-8")
        (options.out / "presets.json").write_text(json.dumps(runs, indent=1) + "\n", encoding="utf-8")
    return 0


def table(runs: Sequence[dict[str, Any]]) -> str:
    """Markdown: a row for each dataset and preset, and the baselines below."""
    lines = [
        "| dataset | preset | ADE | FDE | minADE_6 | CPU minutes | parameters | steps x batch | seeds |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for dataset in dict.fromkeys(r["dataset"] for r in runs):
        here = [r for r in runs if r["dataset"] == dataset]
        for preset in dict.fromkeys(r["preset"] for r in here):
            mine = [r for r in here if r["preset"] == preset]
            cells = [spread([r[f] for r in mine], 3) for f in FIGURES] + [spread([r["cpu_minutes"] for r in mine], 1)]
            budget = f"{mine[0]['parameters']:,} | {mine[0]['steps']} x {mine[0]['batch']} | {len(mine)}"
            lines.append(f"| {dataset} | {preset} | {' | '.join(cells)} | {budget} |")
        for name, row in here[0]["baselines"].items():
            lines.append(f"| {dataset} | {name.replace('_', ' ')} | {' | '.join(f'{row[f]:.3f}' for f in FIGURES)} | | 0 | | |")
    return "\n".join(lines)


def spread(values: Sequence[float], digits: int) -> str:
    """Mean and, where there are several, standard deviation over seeds."""
    mean = f"{statistics.mean(values):.{digits}f}"
    return mean if len(values) < 2 else f"{mean} ± {statistics.stdev(values):.{digits}f}"


# Running -------------------------------------------------------------------------------------------------------------


def datasets(options: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """Traffic datasets by name, with their options."""
    found: dict[str, dict[str, Any]] = {"highway": {}}
    if options.commonroad is not None:
        found["commonroad"] = {"dataset.path": str(options.commonroad)}
    return found


def jobs_of(
    preset: str, on: dict[str, dict[str, Any]], options: argparse.Namespace, seeds: Sequence[int], given: dict[str, Any], place: str
) -> list[Job]:
    """The runs of a preset."""
    common = {**given, "training.device": "cpu", "training.threads": 1, **dict(words(options.set))}
    return [
        Job(preset, name, seed, {**own, **common, "training.seed": seed}, str(Path(place, f"{preset}-{name}-{seed}")))
        for name, own in on.items()
        for seed in seeds
    ]


def words(given: Sequence[str]) -> Iterator[tuple[str, Any]]:
    """`PATH=VALUE` words, the values as in TOML or else as text."""
    for word in given:
        path, equals, text = word.partition("=")
        if not equals:
            raise SystemExit(f"{word!r} is not PATH=VALUE")
        try:
            yield path, tomllib.loads(f"value = {text}")["value"]
        except tomllib.TOMLDecodeError:
            yield path, text


def run_all(function: Any, jobs: Sequence[Job], count: int) -> Iterator[dict[str, Any]]:
    """The results in the order of the jobs, `count` at a time."""
    with ProcessPoolExecutor(count, mp_context=multiprocessing.get_context("spawn"), max_tasks_per_child=1) as pool:
        yield from pool.map(function, jobs)


def main() -> int:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=("learn", "compare"))
    parser.add_argument("--presets", nargs="+", help="only these")
    parser.add_argument("--commonroad", type=Path, help="folder of CommonRoad recordings; highway only without it")
    parser.add_argument("--steps", type=int, default=300, help="optimizer steps on traffic")
    parser.add_argument("--episode-steps", type=int, default=1500, help="optimizer steps on episodes (learn)")
    parser.add_argument("--batch", type=int, default=8, help="windows in a batch (compare)")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="learn takes the first")
    parser.add_argument("--jobs", type=int, default=1, help="runs at a time, one thread each")
    parser.add_argument("--out", type=Path, help="folder for presets.md and presets.json (compare)")
    parser.add_argument("--set", nargs="*", default=[], metavar="PATH=VALUE", help="options of all runs")
    parser.add_argument("--check", action="store_true", help="exit with 1 if learn misses a bar")
    options = parser.parse_args()
    os.environ |= {"OMP_NUM_THREADS": "1"}  # for the processes that are started
    with tempfile.TemporaryDirectory() as place:
        return {"learn": learn, "compare": compare}[options.command](options, place)


if __name__ == "__main__":
    raise SystemExit(main())
