"""Does one piece of work of a table: `python -m twm_core.reproduction.worker JOB.json`. Imports torch.

A model is trained (or its training resumed, or left alone if it has ended) and evaluated in each way that a row asks for; baselines are
fitted and evaluated. The result holds scores by row, and what both took: seconds, seconds of the processor, and the most memory.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from twm_core import atomic
from twm_core.checkpoint.manifest import RunFolder, read_manifest
from twm_core.errors import TwmError
from twm_core.evaluation.evaluate import Request, evaluate
from twm_core.plugin.registry import Registry, discover
from twm_core.recipe.assembly import assemble
from twm_core.recipe.layers import PRESET, Layer, default_layer, option_layer, resolve
from twm_core.recipe.pins import plugin_lists
from twm_core.reporting import PlainReporter
from twm_core.training.run import train


def main(path: str) -> int:
    """Do what the file says, and write the result that it names."""
    job = json.loads(Path(path).read_text(encoding="utf-8"))
    torch.set_num_threads(1)
    layers = [option_layer(k, v, "the table") for k, v in job.get("options", {}).items()]
    lists = plugin_lists((layer.origin, layer.values) for layer in layers)
    registry, began = discover(files=job["plugins"], lists=[lists]), _now()
    job = qualified(job, registry)
    costs: dict[str, Any] = {}
    if "preset" in job:
        costs["training"] = _train(job, registry)
    before = _now()
    scores = _model_rows(job, registry) if "preset" in job else _baseline_rows(job, registry)
    costs["evaluation"] = _since(before)
    costs["all"] = _since(began)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    result = {"made_from": job["made_from"], "rows": scores["rows"], "comparable": scores["comparable"], "costs": costs, "peak_bytes": peak}
    atomic.write_text(Path(job["result"]), json.dumps(result, indent=1))
    return 0


def qualified(job: Mapping[str, Any], registry: Registry) -> dict[str, Any]:
    """The job with the names of components that several distributions share written as those that its table means."""
    owner = job.get("owner")

    def meant(kind: str, name: str) -> str:
        if owner is None or ":" in name or not registry.shared(kind, name):
            return name
        return registry.find(kind, name, own=owner).qualified

    options = dict(job.get("options", {}))
    for path, value in options.items():
        kind, _, field = path.partition(".")
        if field == "component":
            options[path] = meant(kind, value)
        elif field == "components":
            options[path] = [meant(kind, name) for name in value]
    found = {**job, "protocol": meant("protocol", job["protocol"]), "options": options}
    if "baselines" in job:
        found["baselines"] = [[row, meant("baseline", name)] for row, name in job["baselines"]]
    return found


def _train(job: Mapping[str, Any], registry: Registry) -> dict[str, Any]:
    options = {**job["options"], **job["data"]}
    layers = [default_layer(), Layer("the table", {PRESET: job["preset"]})]
    plan = assemble(resolve([*layers, *(option_layer(k, v, "the table") for k, v in options.items())]), registry)
    run = RunFolder(Path(job["run"]))
    kept = run.path / "costs.json"
    if kept.is_file() and run.names() and read_manifest(run.path, "latest")["step"] >= plan.training.steps:
        return json.loads(kept.read_text(encoding="utf-8"))
    before = _now()
    train(plan, registry, run.path, resume=bool(run.names()), reporter=PlainReporter())
    model = read_manifest(run.path, "latest")
    spent = {**_since(before), "parameters": model["parameters"], "step": model["step"]}
    atomic.write_text(kept, json.dumps(spent))
    return spent


def _model_rows(job: Mapping[str, Any], registry: Registry) -> dict[str, Any]:
    rows: dict[str, Any] = {}
    comparable: Any = None
    for name, futures in job["rows"]:
        request = _request(job, target=Path(job["run"]), futures=futures, usual=False)
        found = evaluate(request, registry=registry, reporter=PlainReporter(unit="window"))
        rows[name], comparable = found["forecasters"]["model"]["scores"], found["comparable"]
    return {"rows": rows, "comparable": comparable}


def _baseline_rows(job: Mapping[str, Any], registry: Registry) -> dict[str, Any]:
    request = _request(job, baselines=tuple(b for _, b in job["baselines"]))
    found = evaluate(request, registry=registry, reporter=PlainReporter(unit="window"))
    rows = {name: found["forecasters"][baseline]["scores"] for name, baseline in job["baselines"]}
    return {"rows": rows, "comparable": found["comparable"]}


def _request(job: Mapping[str, Any], **more: Any) -> Request:
    fields = {**job["fields"], **({job["part_field"]: job["part"]} if job["part_field"] else {})}
    overrides = {**job["data"], **{f"protocol.{job['protocol']}.{k}": v for k, v in fields.items()}}
    return Request(protocol=job["protocol"], split=job["split"], overrides=overrides, **more)


def _now() -> tuple[float, float]:
    return time.monotonic(), time.process_time()


def _since(before: tuple[float, float]) -> dict[str, float]:
    return {"seconds": round(time.monotonic() - before[0], 1), "cpu_seconds": round(time.process_time() - before[1], 1)}


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1]))
    except TwmError as error:
        sys.exit(f"error: {error.message}" + (f"\nhint: {error.hint}" if error.hint else ""))
