"""What every worker of `world_model_step.py` shares: it reads `JOB COUNT` lines and answers with the CPU milliseconds that each run took.

A worker offers jobs by name (`train`, `imagine`, `image`), each made on first use by a function that returns the number of parameters
and a function to be timed. Only the process's own CPU time is measured, with one thread, so that several workers can take turns.
"""

from __future__ import annotations

import gc
import json
import sys
import time
from collections.abc import Callable, Mapping

import torch

BATCH, STEPS, VECTOR, ACTION = 16, 64, 24, 6
ROWS, HORIZON = 1024, 15
DETER = HIDDEN = UNITS = 512
GROUPS = CLASSES = 32
BLOCKS, DEPTH = 8, 16

Job = tuple[int, Callable[[], object]]


def inputs(*, image: bool) -> dict[str, torch.Tensor]:
    """The same batch for everybody, batch first: observations, actions, rewards, flags."""
    source = torch.Generator().manual_seed(0)
    first = torch.rand(BATCH, STEPS, generator=source) < 0.02
    first[:, 0] = True
    found = {
        "action": torch.rand(BATCH, STEPS, ACTION, generator=source) * 2 - 1,
        "reward": torch.randn(BATCH, STEPS, generator=source),
        "is_first": first,
        "is_terminal": torch.rand(BATCH, STEPS, generator=source) < 0.02,
    }
    if image:
        found["image"] = torch.randint(0, 256, (BATCH, STEPS, 3, 64, 64), generator=source, dtype=torch.uint8)
    else:
        found["vector"] = torch.randn(BATCH, STEPS, VECTOR, generator=source)
    return found


def serve(jobs: Mapping[str, Callable[[], Job]]) -> None:
    """Answer until the input ends."""
    torch.set_num_threads(1)
    made: dict[str, Job] = {}
    print(json.dumps(sorted(jobs)), flush=True)
    for line in sys.stdin:
        name, count = line.split()
        if name not in made:
            made[name] = jobs[name]()
        parameters, run = made[name]
        gc.collect()
        taken = []
        for _ in range(int(count)):
            start = time.process_time()
            run()
            taken.append(1000 * (time.process_time() - start))
        print(json.dumps({"parameters": parameters, "milliseconds": taken}), flush=True)
