"""Training steps with one and with two CPU threads, for every preset that needs no files: wall and CPU time, taking turns.

    python benchmarks/threads.py                  about 5 minutes on two idle cores

Each round trains the same number of steps with one thread, then with two, in one process. Reported are the medians over rounds, the ratio
two to one of wall and of CPU time, and the number that `training.threads = 0` takes. Two threads are worth their CPU time where the wall
time falls by a fifth (ratio at most 0.80); the line `rule` says whether the default agrees. On cores that other programs use the ratios
mean nothing.
"""

from __future__ import annotations

import argparse
import statistics
import time

import torch

from twm_core.data.dataset import to_device
from twm_core.nn.build import build_dataset
from twm_core.plugin.registry import discover
from twm_core.recipe.assembly import assemble
from twm_core.recipe.layers import DEFAULT, Layer, default_layer, resolve
from twm_core.threads import default_threads
from twm_core.training.trainer import Trainer

PRESETS = ("default", "traffic-wm", "traffic-wm-transformer", "hybrid", "multiagent-rssm", "dreamer-v3", "dreamer-v3-early")
CPU = torch.device("cpu")


def steps(trainer: Trainer, count: int, at: int) -> tuple[float, float]:
    """Wall and CPU seconds of `count` training steps."""
    batches = [to_device(trainer.batches[at + k], CPU) for k in range(count)]
    wall, cpu = time.perf_counter(), time.process_time()
    for k, batch in enumerate(batches):
        total, _ = trainer.model(batch, trainer.generator, at + k, None)
        trainer.optimizer.zero_grad(set_to_none=True)
        total.backward()
        trainer.optimizer.step()
    return time.perf_counter() - wall, time.process_time() - cpu


def main() -> int:
    """Time every preset and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--presets", default=",".join(PRESETS))
    options = parser.parse_args()
    registry = discover()
    print(f"{'preset':24}{'parameters':>12}{'1: wall s':>11}{'cpu s':>8}{'2: wall s':>11}{'cpu s':>8}{'wall':>7}{'cpu':>6}  default  rule")
    for name in options.presets.split(","):
        plan = assemble(resolve([default_layer()] if name == DEFAULT else [default_layer(), Layer("options", {"preset": name})]), registry)
        dataset = build_dataset(plan)
        trainer = Trainer(plan, dataset, dataset.windows("train"), CPU)
        trainer.collect_statistics()
        size = sum(p.numel() for p in trainer.model.parameters())
        taken: dict[int, list[tuple[float, float]]] = {1: [], 2: []}
        steps(trainer, 1, 0)
        for round_ in range(options.rounds):
            for threads, times in taken.items():
                torch.set_num_threads(threads)
                times.append(steps(trainer, options.steps, 1 + round_ * options.steps))
        (w1, c1), (w2, c2) = ([statistics.median(t[i] for t in taken[n]) for i in (0, 1)] for n in (1, 2))
        default = default_threads(size)
        agrees = (default == 2) == (w2 / w1 <= 0.8)
        row = f"{name:24}{size:12,}{w1:11.2f}{c1:8.2f}{w2:11.2f}{c2:8.2f}{w2 / w1:7.2f}{c2 / c1:6.2f}"
        print(f"{row}  {default:7}  {'agrees' if agrees else 'differs'}", flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
