"""Both orders of the linear recurrence side by side, forward only: milliseconds at some numbers of steps and widths of a slice.

Run it as `OMP_NUM_THREADS=1 python benchmarks/scan.py`. A slice is what one step holds: rows x channels x states.
"""

from __future__ import annotations

import time

import torch

from twm_plugin_demo.scan import in_parallel_, in_series_

SHAPES = ((30, 512), (30, 4_096), (30, 196_608), (300, 512), (300, 4_096), (3000, 512), (3000, 4_096))
REPEATS = 7


def main() -> None:
    """Print the table; the fastest of seven repeats of each."""
    print(f"{torch.get_num_threads()} threads\n  steps    slice   series ms  parallel ms")
    for steps, size in SHAPES:
        a, b = torch.rand(steps, size), torch.randn(steps, size)
        found = []
        for run in (in_series_, in_parallel_):
            took = []
            for _ in range(REPEATS):
                h = b.clone()
                began = time.perf_counter()
                run(a, h)
                took.append(time.perf_counter() - began)
            found.append(1000 * min(took))
        print(f"{steps:7} {size:8} {found[0]:11.3f} {found[1]:12.3f}")


if __name__ == "__main__":
    main()
