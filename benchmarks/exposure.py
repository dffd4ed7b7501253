"""Exposure bias: the same world model trained in five ways, scored where it runs on its own predictions, at 1 to 20 seconds.

    python benchmarks/exposure.py [--steps 400] [--seeds 0] [--windows 60] [--dynamics rssm-cat] [--split val] [--out DIR]

A recurrent model that only ever goes on from what is observed has never seen its own errors. The ways to show them to it, each on the
default recipe with the same data, steps and seeds (1 s observed and 5 s predicted in training):

    teacher forcing       huber on the next step, KL of posterior and prior; every step is observed
    scheduled sampling    the same, and half of the observed steps are withheld from the dynamics, the share growing over training
    latent overshooting   teacher forcing, and imagined latents are pulled to later posteriors
    rollout loss          teacher forcing, and positions of imagined futures are compared with the truth
    rollout, overshooting both

Windows of 20 s of `--split` are forecast; the error is that of the mean of 6 futures after so many seconds, over agents that are still
there, and constant velocity and drivers by rule (`idm`, fitted) stand beside. `first step` is what teacher forcing trains: the error one
step ahead. Training time is CPU time, one thread.
"""

from __future__ import annotations

import argparse
import json
import math
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from twm_core.errors import TwmError
from twm_core.evaluation.evaluate import MODEL, Request, evaluate
from twm_core.plugin.registry import Registry, discover
from twm_core.recipe.assembly import assemble
from twm_core.recipe.layers import default_layer, option_layer, resolve
from twm_core.training.run import train

TIMES = (1, 3, 5, 10, 20)
STEP = 0.2
"""Seconds of a step of `highway`."""
LOSSES = ["huber", "existence", "kl"]
WAYS: dict[str, dict[str, Any]] = {
    "teacher forcing": {"loss.components": LOSSES},
    "scheduled sampling": {"loss.components": LOSSES, "training.scheduled_sampling": 0.5},
    "latent overshooting": {"loss.rollout.best": 0.0, "loss.rollout.mean": 0.0, "loss.rollout.overshooting": 0.1},
    "rollout loss": {},
    "rollout, overshooting": {"loss.rollout.overshooting": 0.1},
}
BASELINES = ("constant-velocity", "idm")


def run_one(registry: Registry, way: str, seed: int, given: argparse.Namespace, out: Path) -> dict[str, dict[str, float]]:
    """Train in one way with one seed, and score: forecaster to scores; `cpu_seconds` of the training among those of the model."""
    options = {
        "dynamics.component": given.dynamics,
        "training.steps": given.steps,
        "training.seed": seed,
        "training.threads": 1,
        **WAYS[way],
    }
    plan = assemble(resolve([default_layer(), *(option_layer(k, v, "benchmark") for k, v in options.items())]), registry)
    run = out / f"{way.replace(', ', '-').replace(' ', '-')}-{seed}"
    begin = time.process_time()
    train(plan, registry, run)
    spent = time.process_time() - begin
    scores = {}
    for seconds in (STEP, float(max(TIMES))):
        request = Request(
            target=run,
            split=given.split,
            windows=given.windows,
            baselines=BASELINES,
            metrics=("displacement",),
            futures="latent",
            overrides={"dataset.predicted_seconds": seconds},
        )
        found = evaluate(request, registry=registry)["forecasters"]
        for name, each in found.items():
            wanted = {"first step": each["scores"]["ade"]} if seconds < 1 else {f"{t} s": each["scores"][f"error@{t}s"] for t in TIMES}
            scores.setdefault(name, {}).update(wanted)
    scores[MODEL]["cpu_seconds"] = spent
    return scores


def mean(rows: Sequence[dict[str, float]]) -> dict[str, float]:
    """Mean over seeds of each score."""
    return {k: math.fsum(r[k] for r in rows) / len(rows) for k in rows[0]}


def main(words: Sequence[str] | None = None) -> dict[str, Any]:
    """Train, score, print, and return what was printed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=400, help="training steps")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--windows", type=int, default=60, help="windows of 20 s, evenly spaced")
    parser.add_argument("--dynamics", default="rssm-cat")
    parser.add_argument("--split", default="val")
    parser.add_argument("--ways", nargs="+", default=list(WAYS), choices=list(WAYS))
    parser.add_argument("--out", type=Path, help="folder for the runs and exposure.json; a temporary one by default")
    given = parser.parse_args(words)
    torch.set_num_threads(1)
    registry = discover()
    rows: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        out = given.out or Path(scratch)
        for way in given.ways:
            by_seed = [run_one(registry, way, seed, given, out) for seed in given.seeds]
            for name in (MODEL, *BASELINES):
                rows[way if name == MODEL else name] = mean([s[name] for s in by_seed])
            columns = ["first step", *(f"{t} s" for t in TIMES), "cpu_seconds"]
            print(f"{way:<24}" + "".join(f"  {c} {rows[way][c]:.3f}" for c in columns), flush=True)
        for name in BASELINES:
            print(f"{name:<24}" + "".join(f"  {k} {v:.3f}" for k, v in rows[name].items()))
        result = {"dynamics": given.dynamics, "steps": given.steps, "seeds": given.seeds, "split": given.split, "rows": rows}
        if given.out is not None:
            given.out.mkdir(parents=True, exist_ok=True)
            (given.out / "exposure.json").write_text(json.dumps(result, indent=2) + "\n")
    return result


if __name__ == "__main__":
    try:
        main()
    except TwmError as error:
        raise SystemExit(f"error: {error}") from None
