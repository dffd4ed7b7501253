"""Trains the default world model from the command line, evaluates it on the test split, and compares the figures with their bars.

    python benchmarks/first_model.py                                          # highway
    python benchmarks/first_model.py --commonroad FOLDER --seeds 0 1 2        # recordings

Bars: on `highway`, ADE of the mean at least 30 % below constant velocity, minADE of 6 futures at least 45 % below, existence F1 at
least 0.95, training within 5 minutes. On `commonroad`, ADE below constant velocity with a 95 % interval that leaves out 0, training
within 15 minutes. Exits 1 where a bar is missed. Times are of this machine; run it on a quiet one.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

TWM = [sys.executable, "-m", "twm_cli"]


def run(words: list[str]) -> dict[str, Any]:
    """Run a twm command and return its JSON, with wall seconds."""
    started = time.monotonic()
    done = subprocess.run([*TWM, *words, "--json"], check=True, stdout=subprocess.PIPE, text=True)
    return {**json.loads(done.stdout), "wall": time.monotonic() - started}


def main() -> int:
    """Train, evaluate, print, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--commonroad", type=Path, help="folder of CommonRoad recordings; highway without it")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("words", nargs="*", help="more options of twm train, after --")
    given = parser.parse_args()
    data = ["--dataset", "commonroad", "--dataset.path", str(given.commonroad)] if given.commonroad else []
    missed = 0
    with tempfile.TemporaryDirectory() as place:
        for seed in given.seeds:
            folder = str(Path(place, f"seed-{seed}"))
            chosen = ["--encoder", "multiagent", "--dynamics", "rssm-cat", *data, *given.words]
            trained = run(["train", *chosen, "--seed", str(seed), "--run", folder])
            result = run(["eval", folder])
            rows = {name: each["scores"] for name, each in result["forecasters"].items()}
            model, base, skill = rows["model"], rows["constant-velocity"], result["forecasters"]["model"]["skill"]["ade"]
            low, high = skill["interval"]
            print(
                f"seed {seed}: trained {trained['step']} steps in {trained['wall']:.0f} s wall, evaluated in {result['wall']:.0f} s; "
                f"{result['windows']} windows, {result['agents']} agents"
            )
            for name, row in rows.items():
                print(
                    f"  {name:26s} ADE {row['ade']:7.3f}  FDE {row['fde']:7.3f}  minADE {row['minade']:7.3f}  minFDE {row['minfde']:7.3f}"
                )
            below = 1 - model["minade"] / base["ade"]
            print(
                f"  ADE {skill['value']:.1%} below constant velocity (95 % interval {low:.1%} to {high:.1%}), minADE_6 {below:.1%} below, "
                f"existence F1 {model['f1']:.4f}"
            )
            if given.commonroad:
                bars = {"ADE below constant velocity": low > 0, "15 minutes": trained["wall"] <= 900}
            else:
                bars = {
                    "ADE 30 %": skill["value"] >= 0.30,
                    "minADE 45 %": below >= 0.45,
                    "existence F1 0.95": model["f1"] >= 0.95,
                    "5 minutes": trained["wall"] <= 300,
                }
            for name, held in bars.items():
                print(f"  {'held  ' if held else 'MISSED'} {name}")
                missed += not held
    return int(missed > 0)


if __name__ == "__main__":
    raise SystemExit(main())
