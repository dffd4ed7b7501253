"""Ten hostile distributions more, which load well and behave badly: each is caught where it should be, named, and harms nothing else.

Together with those of `test_hostile_plugins` they are more than twenty. All are installed side by side: folders as pip leaves them, on the
path of fresh interpreters. Where a plugin is caught depends on what it does: an unusable config when a recipe is checked, a broken promise
by `twm check-plugin`, an exception by the run that meets it, another layout by whoever loads the checkpoint.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ENCODER = """
import torch
from torch import nn
from pydantic import BaseModel, ConfigDict, Field
from twm_core import Component, EmbeddingSpec, EncoderConfig, hookimpl
from twm_core.nn.interfaces import Embedding, Encoder


class {name}Config({base}):
    {extra}
    width: int = Field(8, ge=1, description="Width of the tokens.")

    def embedding(self, seen):
        state = seen.get("agents.state")
        return EmbeddingSpec(scene={scene}, agents=self.width)


class {name}Encoder(Encoder):
    def __init__(self, config, given):
        super().__init__()
        state = given.obs_spec.get("agents.state")
        self.columns = [state.index("vx"), state.index("vy")]
        self.layer = nn.Linear(2, config.width)
        self.calls = 0
        {init}

    def forward(self, batch):
        state, here = batch["agents.state"], batch["agents.exists"].unsqueeze(-1)
        {forward}
        clean = {clean}
        tokens = {tokens}
        scene = tokens.sum(dim=2) / here.sum(dim=2).clamp_min(1)
        return Embedding(scene, tokens)


def build(config, given):
    return {name}Encoder(config, given)
"""
HEALTHY = {
    "base": "EncoderConfig",
    "extra": "pass",
    "scene": "self.width",
    "init": "pass",
    "forward": "pass",
    "clean": "torch.where(here, state[..., self.columns], 0) / 10",
    "tokens": "torch.where(here, torch.tanh(self.layer(clean)), 0)",
}
FAULTS: dict[str, dict[str, str]] = {
    "c-healthy": {},
    "c-no-pydantic": {"base": "object"},
    "c-mutable": {"extra": "model_config = ConfigDict(frozen=False)"},
    "c-open": {"extra": "model_config = ConfigDict(extra='allow')"},
    "c-mutates": {"forward": "state.mul_(here)"},
    "c-leaks": {"tokens": "torch.where(here, torch.tanh(self.layer(clean) - self.layer(clean).mean(dim=0, keepdim=True)), 0)"},
    "c-no-mask": {"clean": "state[..., self.columns] / 10", "tokens": "torch.tanh(self.layer(clean))"},
    "c-lies": {"scene": "self.width + 1"},
    "c-draws": {"tokens": "torch.where(here, torch.tanh(self.layer(clean)) + 0.01 * torch.randn(()), 0)"},
    "c-raises": {
        "forward": "self.calls += self.training\n        if self.calls > 3:\n            raise RuntimeError('the dog ate the batch')",
    },
    "c-changes": {"init": "import os\n        self.more = nn.Linear(3, 3) if 'C_CHANGED' in os.environ else None"},
}
CAUGHT_BY_CHECK = {
    "c-no-pydantic": r"encoder c-no-pydantic \(c-no-pydantic 1\.0\): config .* is not a subclass of EncoderConfig",
    "c-mutable": r"encoder c-mutable \(c-mutable 1\.0\): config \w+Config must keep extra='forbid' and frozen=True",
    "c-open": r"encoder c-open \(c-open 1\.0\): config \w+Config must keep extra='forbid' and frozen=True",
}
CAUGHT_BY_CONFORMANCE = {
    "c-no-pydantic": "config_keeps_the_rules",
    "c-mutable": "config_keeps_the_rules",
    "c-open": "config_keeps_the_rules",
    "c-mutates": "input_stays_as_it_is",
    "c-leaks": "batch_rows_are_independent",
    "c-no-mask": "absent_agents_change_nothing",
    "c-lies": "shapes_match_the_spec",
    "c-draws": "draws_nothing_unasked",
}
SHADOW = """
from twm_core import Component, hookimpl

NAMES = {
    "dataset": "highway", "encoder": "multiagent", "dynamics": "rssm-cat", "decoder": "agents", "loss": "huber", "optimizer": "adamw",
    "metric": "displacement", "baseline": "constant-velocity", "protocol": "motorway", "reader": "columns", "renderer": "png",
}

@hookimpl
def twm_components():
    return [Component(kind=k, name=n, summary="A shadow.", config="nowhere:C", build="nowhere:b") for k, n in NAMES.items()]
"""
DECLARED = """
from twm_core import Component, hookimpl

@hookimpl
def twm_components():
    return [Component(kind="encoder", name={name!r}, summary="Hostile.", config="{module}_parts:{cls}Config", build="{module}_parts:build")]
"""
TINY = ["-c", str(Path(__file__).parents[1] / "tiny.toml")]


def lay(site: Path, name: str, files: dict[str, str]) -> None:
    """A distribution as pip leaves it."""
    module = name.replace("-", "_")
    info = site / f"{module}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n", encoding="utf-8")
    (info / "entry_points.txt").write_text(f"[twm]\n{name} = {module}\n", encoding="utf-8")
    for file, text in files.items():
        (site / file).write_text(text, encoding="utf-8")


@pytest.fixture(scope="module")
def shadowed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of interpreters that see all of them."""
    site = tmp_path_factory.mktemp("site")
    for name, fault in FAULTS.items():
        module, cls = name.replace("-", "_"), "".join(p.capitalize() for p in name.split("-"))
        parts = ENCODER.format(name=cls, **{**HEALTHY, **fault})
        lay(site, name, {f"{module}.py": DECLARED.format(name=name, module=module, cls=cls), f"{module}_parts.py": parts})
    lay(site, "c-shadows", {"c_shadows.py": SHADOW})
    clean = {k: v for k, v in os.environ.items() if not k.startswith("TWM_")}
    return {**clean, "PYTHONPATH": str(site), "OMP_NUM_THREADS": "1", "COLUMNS": "200"}


@pytest.fixture(scope="module")
def environ(shadowed: dict[str, str]) -> dict[str, str]:
    """The same with the one blocked that takes the names of twm's components: files that write them bare would otherwise be refused."""
    return {**shadowed, "TWM_DISABLE_PLUGINS": "c-shadows"}


def twm(environ: dict[str, str], *words: str | os.PathLike[str], **more: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "twm_cli", *map(str, words)]
    return subprocess.run(command, env={**environ, **more}, capture_output=True, text=True, timeout=600, check=False)


def test_all_of_them_are_listed_and_none_breaks_the_list(shadowed: dict[str, str]) -> None:
    listed = json.loads(twm(shadowed, "list-plugins", "--json").stdout)
    status = {p["distribution"]: p["status"] for p in listed["plugins"] if p["distribution"].startswith("c-")}
    assert status == dict.fromkeys([*FAULTS, "c-shadows"], "loaded")  # what they do wrong shows only when they are used


@pytest.mark.parametrize("name", CAUGHT_BY_CHECK)
def test_a_config_that_breaks_the_rules_is_refused_with_its_name_when_it_is_chosen(environ: dict[str, str], name: str) -> None:
    done = twm(environ, "check", *TINY, "--encoder", name)
    assert done.returncode == 2
    assert re.search(CAUGHT_BY_CHECK[name], done.stderr), done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("name", CAUGHT_BY_CONFORMANCE)
def test_a_broken_promise_is_found_by_check_plugin_and_named(environ: dict[str, str], name: str) -> None:
    done = twm(environ, "check-plugin", name, "--json")
    assert done.returncode == 1, done.stderr
    found = json.loads(done.stdout)
    failed = {r["check"]: r for r in found["results"] if r["status"] == "failed"}
    assert CAUGHT_BY_CONFORMANCE[name] in failed
    # Config modules import torch here, to be short; that is found as well.
    assert set(failed) - {"config_is_torch_free"} <= {
        CAUGHT_BY_CONFORMANCE[name],
        "absent_agents_leave_gradients_alone",
        "results_are_finite",
    }
    assert failed[CAUGHT_BY_CONFORMANCE[name]]["component"] == f"encoder/{name}"
    assert failed[CAUGHT_BY_CONFORMANCE[name]]["hint"]


def test_the_healthy_one_beside_them_passes(environ: dict[str, str]) -> None:
    done = twm(environ, "check-plugin", "c-healthy", "--expect", "encoder/c-healthy/config_is_torch_free")
    assert done.returncode == 0, done.stdout


def test_one_that_raises_in_training_is_named_and_leaves_the_last_checkpoint(environ: dict[str, str], tmp_path: Path) -> None:
    run = tmp_path / "run"
    words = ["--encoder", "c-raises", "--run", run, "--steps", "6", "--set", "training.checkpoint_every=2"]
    done = twm(environ, "train", *TINY, *words)
    assert done.returncode == 1
    assert "RuntimeError: the dog ate the batch" in done.stderr
    (note,) = [line for line in done.stderr.splitlines() if line.startswith("raised in ")]
    assert note.startswith("raised in encoder c-raises (c-raises 1.0); the last good checkpoint is ")
    assert note.endswith("step-2: go on with --resume")
    assert twm(environ, "inspect", run, "--checkpoint", "latest").returncode == 0


def test_one_that_changes_its_parameters_silently_is_refused_and_named_when_its_checkpoint_is_loaded(
    environ: dict[str, str], tmp_path: Path
) -> None:
    run = tmp_path / "run"
    done = twm(environ, "train", *TINY, "--encoder", "c-changes", "--run", run, "--steps", "1")
    assert done.returncode == 0, done.stderr
    done = twm(environ, "eval", run, C_CHANGED="1")
    assert done.returncode == 2
    assert "does not fit encoder c-changes (c-changes 1.0)" in done.stderr
    assert "c-changes changed its parameters without a new layout_version" in done.stderr
    resumed = twm(environ, "train", "--run", run, "--resume", "--steps", "2", C_CHANGED="1")
    assert (resumed.returncode, "c-changes" in resumed.stderr) == (2, True)


def test_one_that_shadows_built_in_names_changes_nothing_for_who_did_not_ask_for_it(shadowed: dict[str, str]) -> None:
    done = twm(shadowed, "train", "--dry-run")
    assert done.returncode == 0, done.stderr
    for line in ("encoder   encoder multiagent (twm ", "dynamics  dynamics rssm-cat (twm "):
        assert line in done.stdout
    assert twm(shadowed, "check", "--preset", "traffic-wm").returncode == 0
    assert "--dynamics.hidden" in twm(shadowed, "train", "--help").stdout


def test_runs_from_before_it_was_installed_go_on_and_are_scored(environ: dict[str, str], shadowed: dict[str, str], tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert twm(environ, "train", *TINY, "--run", run, "--steps", "1").returncode == 0
    scored = twm(shadowed, "eval", run, "--windows", "4", "--json")
    assert scored.returncode == 0, scored.stderr
    assert {"model", "constant-velocity"} <= set(json.loads(scored.stdout)["forecasters"])
    resumed = twm(shadowed, "train", "--run", run, "--resume", "--training.steps", "2")
    assert resumed.returncode == 0, resumed.stderr
    assert "plugins have changed since: c-shadows:c-shadows 1.0 was not there" in resumed.stdout + resumed.stderr


def test_a_bare_name_that_it_shares_is_an_error_for_who_writes_it(shadowed: dict[str, str]) -> None:
    done = twm(shadowed, "check", "--encoder", "multiagent")
    assert done.returncode == 2
    assert "encoder 'multiagent' is provided by c-shadows 1.0 and twm " in done.stderr
    assert "say c-shadows:multiagent or twm:multiagent" in done.stderr
    assert twm(shadowed, "check", "--encoder", "twm:multiagent").returncode == 0
