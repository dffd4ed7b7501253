"""Checkpoints: strict loading, layouts and upgrades, damage, full disks, and which ones are kept."""

from __future__ import annotations

import errno
import json
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from twm_core import atomic
from twm_core.checkpoint.files import TrainerState, load_model, load_trainer, remove_old, save_checkpoint
from twm_core.checkpoint.load import load_run
from twm_core.checkpoint.manifest import HEADER_KEY, MANIFEST, MODEL, TRAINER, RunFolder, read_manifest, verify_files
from twm_core.errors import CheckpointError
from twm_core.nn.build import build_world_model
from twm_core.plugin.registry import Registry
from twm_core.recipe.assembly import Plan
from twm_core.tensor_files import file_hash
from twm_core.training.run import train


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained, tmp_path / "run"))


@pytest.fixture
def latest(run: Path) -> Path:
    return RunFolder(run).find("latest")


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def save(run: RunFolder, plan: Plan, step: int, *, best: bool = False) -> Path:
    model = build_world_model(plan, seed=step)
    state = TrainerState({"a": torch.arange(3)}, {"step": step})
    return save_checkpoint(run, plan=plan, model=model.state_dict(), trainer=state, step=step, facts={}, best=best)


def with_layout(plan: Plan, version: int, upgrade: str | None = None) -> Plan:
    """The plan as if the installed dynamics had another layout of their parameters."""
    (part,) = plan.parts["dynamics"]
    component = replace(part.registered.component, layout_version=version, upgrade=upgrade)
    return replace(plan, parts={**plan.parts, "dynamics": (replace(part, registered=replace(part.registered, component=component)),)})


def edit(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    manifest = json.loads((folder / MANIFEST).read_text())
    change(manifest)
    (folder / MANIFEST).write_text(json.dumps(manifest))


def double(tensors: Mapping[str, Tensor], from_version: int) -> dict[str, Tensor]:
    """An upgrade: layout 2 stores twice the numbers of layout 1."""
    assert from_version == 1
    return {name: value * 2 for name, value in tensors.items()}


# Reading ---------------------------------------------------------------------------------------------------------


def test_a_loaded_model_has_the_saved_weights(latest: Path, registry: Registry) -> None:
    _, model, manifest = load_run(latest, registry=registry)
    saved = load_file(latest / MODEL)
    assert model.state_dict().keys() == saved.keys()
    assert all(torch.equal(v, saved[k]) for k, v in model.state_dict().items())
    assert manifest["step"] == 12
    assert not model.training


def test_the_saved_weights_are_the_moving_average_and_the_raw_ones_stand_beside_it(latest: Path) -> None:
    used, beside = load_file(latest / MODEL), load_file(latest / TRAINER)
    raw = {k.removeprefix("raw."): v for k, v in beside.items() if k.startswith("raw.")}
    assert raw
    assert any(not torch.equal(used[k], v) for k, v in raw.items())


@pytest.mark.parametrize("file", [MODEL, TRAINER])
@pytest.mark.parametrize(
    ("damage", "text"),
    [
        (lambda p: p.write_bytes(p.read_bytes()[:-5]), r"is truncated or has been changed: \d+ bytes, \d+ expected"),
        (lambda p: p.write_bytes(p.read_bytes()[:5]), "is truncated or not a safetensors file"),
        (lambda p: p.write_bytes(p.read_bytes()[:-9] + bytes([p.read_bytes()[-9] ^ 1]) + p.read_bytes()[-8:]), "its sha256 differs"),
        (lambda p: p.unlink(), "there is no file"),
    ],
    ids=["truncated", "cut to nothing", "one bit", "missing"],
)
def test_damage_is_found_and_the_file_is_named(
    latest: Path, registry: Registry, file: str, damage: Callable[[Path], None], text: str
) -> None:
    damage(latest / file)
    with pytest.raises(CheckpointError, match=text) as caught:
        load_run(latest, registry=registry)
    assert str(latest / file) in caught.value.message
    assert caught.value.hint == "use another checkpoint of the run"


def test_a_folder_without_manifest_is_not_a_checkpoint_of_its_run(run: Path, registry: Registry) -> None:
    (run / "checkpoints" / "step-12" / MANIFEST).unlink()
    assert RunFolder(run).names() == ["step-10"]
    assert load_run(run, registry=registry, checkpoint="latest")[2]["step"] == 10


def test_another_shape_in_the_manifest_names_component_tensor_and_both_shapes(latest: Path, registry: Registry) -> None:
    def wider(manifest: dict[str, Any]) -> None:
        row = next(r for r in manifest["components"] if r["kind"] == "decoder")
        row["config"]["width"] = 24

    edit(latest, wider)
    with pytest.raises(CheckpointError, match=r"does not fit decoder agents \(twm .*\): .*expected torch\.float32 \[") as caught:
        load_run(latest, registry=registry)
    assert "decoders.agents." in caught.value.message
    assert "twm inspect" in str(caught.value.hint)


def test_a_layout_hash_that_is_not_that_of_the_tensors_is_refused(latest: Path, registry: Registry) -> None:
    def other(manifest: dict[str, Any]) -> None:
        next(r for r in manifest["components"] if r["kind"] == "dynamics")["layout_sha256"] = "0" * 64

    edit(latest, other)
    with pytest.raises(CheckpointError, match=r"tensors of dynamics rssm-cat \(twm .*\) are not those that its manifest recorded"):
        load_run(latest, registry=registry)


def test_a_checkpoint_of_another_recipe_does_not_fit(latest: Path, tiny: Callable[..., Plan]) -> None:
    plan = tiny(gru=True)
    with pytest.raises(CheckpointError, match=r"dynamics gru .*(is missing|is not known).*and \d+ more"):
        load_model(latest, plan, build_world_model(plan, seed=0), {"components": []})


# Layouts ---------------------------------------------------------------------------------------------------------


def test_what_a_manifest_names_is_never_imported_or_run(
    latest: Path, registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The code that reads a checkpoint is the installed plugin's, whatever module or function a forged manifest names."""
    (tmp_path / "evil_module.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w').close()\ndef build(*a): raise SystemExit\n", "utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    forged = {"entry_point": "rssm = evil_module", "build": "evil_module:build", "upgrade": "evil_module:build", "value": "evil_module"}

    def forge(manifest: dict[str, Any]) -> None:
        for row in manifest["components"]:
            row.update(forged)
        manifest["plugins"] = ["evil:evil_module 1.0"]

    edit(latest, forge)
    load_run(latest, registry=registry)
    assert "evil_module" not in sys.modules

    def rename(manifest: dict[str, Any]) -> None:
        manifest["components"][0]["distribution"] = "evil_module"

    edit(latest, rename)
    with pytest.raises(CheckpointError, match=r"of evil_module .*, which is not installed") as caught:
        load_run(latest, registry=registry)
    assert caught.value.hint == f"pip install evil_module=={registry.plugins[0].version}"
    assert not (tmp_path / "ran").exists()

    def inject(manifest: dict[str, Any]) -> None:
        manifest["components"][0]["distribution"] = "x; touch ran #"

    edit(latest, inject)
    with pytest.raises(CheckpointError) as caught:
        load_run(latest, registry=registry)
    assert shlex.split(str(caught.value.hint))[:2] == ["pip", "install"]
    assert len(shlex.split(str(caught.value.hint))) == 3  # one word, however it is pasted


def test_names_of_twm_0_1_are_read_under_the_names_of_today(latest: Path, tiny: Callable[..., Plan]) -> None:
    new = load_trainer(latest, tiny(), read_manifest(latest))
    assert any(n.startswith("optimizer.") for n in new.tensors)
    tensors = {n.replace("optimizer.", "optimiser.", 1) if n.startswith("optimizer.") else n: t for n, t in new.tensors.items()}
    scalars = {"optimiser" if k == "optimizer" else k: v for k, v in new.scalars.items()}
    scalars["optimiser"]["own"] = {"schedule": {"tensor": "optimiser_own.0"}}
    save_file({**tensors, "optimiser_own.0": torch.ones(2)}, latest / TRAINER, {HEADER_KEY: json.dumps(scalars)})

    def former(manifest: dict[str, Any]) -> None:
        manifest["specs"]["seen"] = manifest["specs"].pop("obs_spec")
        manifest["files"][TRAINER]["sha256"] = file_hash(latest / TRAINER)

    manifest = read_manifest(latest)
    edit(latest, former)
    assert read_manifest(latest)["specs"] == manifest["specs"]
    read = load_trainer(latest, tiny(), read_manifest(latest))
    assert set(read.tensors) == {*new.tensors, "optimizer_own.0"}
    assert read.scalars["optimizer"]["own"] == {"schedule": {"tensor": "optimizer_own.0"}}
    verify_files(latest)


def test_a_newer_layout_asks_for_a_newer_distribution(latest: Path, registry: Registry) -> None:
    def newer(manifest: dict[str, Any]) -> None:
        next(r for r in manifest["components"] if r["kind"] == "dynamics")["layout_version"] = 9

    edit(latest, newer)
    with pytest.raises(CheckpointError, match=r"holds layout 9 of dynamics rssm-cat \(twm .*\), the installed one is 1\n.*newer twm"):
        load_run(latest, registry=registry)


def test_an_older_layout_without_upgrade_asks_for_the_version_that_wrote_it(latest: Path, tiny: Callable[..., Plan]) -> None:
    plan = with_layout(tiny(), 2)
    with pytest.raises(CheckpointError, match=r"holds layout 1 .* the installed one is 2 and has no upgrade\n.*the version of twm that"):
        load_model(latest, plan, build_world_model(plan, seed=0), read_manifest(latest))


def test_an_older_layout_passes_through_the_upgrade_of_its_component(latest: Path, tiny: Callable[..., Plan]) -> None:
    plan = with_layout(tiny(), 2, f"{__name__}:double")
    model = build_world_model(plan, seed=0)
    load_model(latest, plan, model, read_manifest(latest))
    for name, value in load_file(latest / MODEL).items():
        factor = 2 if name.startswith("dynamics.") else 1
        assert torch.equal(model.state_dict()[name], value * factor), name


def test_a_run_of_an_older_layout_can_be_evaluated_but_not_resumed(latest: Path, tiny: Callable[..., Plan]) -> None:
    plan = with_layout(tiny(), 2, f"{__name__}:double")
    with pytest.raises(CheckpointError, match=r"cannot resume from .*: it holds layout 1 of dynamics rssm-cat .*\n.*evaluate it, or"):
        load_trainer(latest, plan, read_manifest(latest))


# Writing ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("at", ["model", "trainer", "manifest", "rename", "pointer"])
def test_a_full_disk_while_saving_leaves_everything_as_it_was(
    run: Path, tiny: Callable[..., Plan], monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    full = OSError(errno.ENOSPC, "No space left on device")
    targets = {"model": MODEL, "trainer": TRAINER, "manifest": MANIFEST}
    write_bytes, write_text = Path.write_bytes, Path.write_text

    def bytes_or_full(self: Path, data: bytes) -> int:
        if self.name == targets.get(at):
            write_bytes(self, data[: len(data) // 2])
            raise full
        return write_bytes(self, data)

    def text_or_full(self: Path, data: str, **options: Any) -> int:
        if self.name == targets.get(at):
            write_text(self, data[: len(data) // 2], **options)
            raise full
        return write_text(self, data, **options)

    def refuse(*_: object) -> None:
        raise full

    monkeypatch.setattr(Path, "write_bytes", bytes_or_full)
    monkeypatch.setattr(Path, "write_text", text_or_full)
    if at == "rename":
        monkeypatch.setattr("os.replace", refuse)
    if at == "pointer":
        monkeypatch.setattr(atomic, "write_text", refuse)
    before, folder = contents(run), RunFolder(run)
    with pytest.raises(CheckpointError) as caught:
        save(folder, tiny(), 15, best=True)
    monkeypatch.undo()
    assert caught.value.message == f"cannot write checkpoint {run}/checkpoints/step-15: No space left on device"
    hint = str(caught.value.hint)
    assert "free space, or choose another --run folder" in hint
    assert f"the last good checkpoint is {run}/checkpoints/step-12: go on with --resume" in hint
    after = contents(run)
    assert {k: v for k, v in after.items() if "step-15" not in k} == before
    assert not list(run.rglob(".unfinished*"))
    # Only a failure after the rename leaves the new one, which is whole.
    assert folder.names() == (["step-10", "step-12", "step-15"] if at == "pointer" else ["step-10", "step-12"])
    assert folder.find("latest").name == "step-12"


def test_a_full_disk_before_the_first_checkpoint_says_that_there_is_none(tiny: Callable[..., Plan], tmp_path: Path) -> None:
    (tmp_path / "checkpoints").write_text("in the way")
    with pytest.raises(CheckpointError, match=r"cannot write checkpoint .*\n.*there is no checkpoint yet"):
        save(RunFolder(tmp_path), tiny(), 1)


LIMITED = """
import resource, sys
from pathlib import Path
from twm_core.recipe.assembly import assemble
from twm_core.errors import CheckpointError
from twm_core.recipe.layers import file_layer, option_layer, resolve
from twm_core.plugin.registry import discover
from twm_core.training.run import train
registry = discover(environ={})
plan = assemble(resolve([file_layer(sys.argv[1]), option_layer("training.steps", 16, "test")]), registry)
for run in map(Path, sys.argv[2:]):
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(run.name), resource.RLIM_INFINITY))
    try:
        train(plan, registry, run, resume=True)
    except CheckpointError as error:
        print(error.message, error.hint, sep="; ")
"""


def test_a_disk_that_really_refuses_ends_with_one_error_and_leaves_the_last_checkpoint(trained: Path, tmp_path: Path) -> None:
    """The kernel's limit on file sizes stands for a full disk: files are cut off in the middle of a write."""
    limits = {100_000: "checkpoint", 9_000: "curves", 500: "run folder"}
    runs = [Path(shutil.copytree(trained, tmp_path / str(limit))) for limit in limits]
    before = contents(trained / "checkpoints")
    recipe = Path(__file__).parents[1] / "tiny.toml"
    done = subprocess.run([sys.executable, "-c", LIMITED, str(recipe), *map(str, runs)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    said = done.stdout.splitlines()
    assert len(said) == len(limits)
    for line, run, what in zip(said, runs, limits.values(), strict=True):
        assert line.startswith(f"cannot write {what}"), line
        assert "File too large" in line
        assert f"the last good checkpoint is {run}/checkpoints/step-12" in line
        assert contents(run / "checkpoints") == before
        assert not list(run.rglob(".unfinished*"))


def test_a_run_that_met_a_full_disk_goes_on_as_if_nothing_had_been(
    trained: Path, tiny: Callable[..., Plan], registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = Path.write_bytes

    def full(self: Path, data: bytes) -> int:
        if "step-9" in str(self):
            raise OSError(errno.ENOSPC, "No space left on device")
        return honest(self, data)

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(CheckpointError, match="step-9: No space left"):
        train(tiny(), registry, tmp_path)
    monkeypatch.undo()
    train(tiny(), registry, tmp_path, resume=True)
    assert contents(tmp_path / "checkpoints") == contents(trained / "checkpoints")
    assert (tmp_path / "metrics.jsonl").read_bytes() == (trained / "metrics.jsonl").read_bytes()


def test_a_checkpoint_saved_again_takes_the_place_of_the_former(tiny: Callable[..., Plan], tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    first = file_hash(save(run, tiny(), 3) / MODEL)
    assert file_hash(save(run, tiny({"training.seed": 5}), 3) / MODEL) == first
    assert run.names() == ["step-3"]
    verify_files(run.find("latest"))


# Keeping ---------------------------------------------------------------------------------------------------------


def bare(run: RunFolder, names: list[str], **pointers: str) -> None:
    for name in names:
        (run.checkpoints / name).mkdir(parents=True)
        (run.checkpoints / name / MANIFEST).write_text("{}")
    for pointer, name in pointers.items():
        (run.checkpoints / pointer).write_text(name + "\n")


@pytest.mark.parametrize(
    ("keep", "best", "kept"),
    [
        (1, "step-2", ["step-2", "step-10"]),
        (2, "step-2", ["step-2", "step-9", "step-10"]),
        (2, "step-10", ["step-9", "step-10"]),
        (9, "step-2", ["step-1", "step-2", "step-9", "step-10"]),
    ],
)
def test_the_newest_and_the_best_are_kept(tmp_path: Path, keep: int, best: str, kept: list[str]) -> None:
    run = RunFolder(tmp_path)
    bare(run, ["step-1", "step-2", "step-9", "step-10"], best=best, latest="step-10")
    remove_old(run, keep)
    assert run.names() == kept
    assert run.pointed("best") == best


def test_the_checkpoint_to_resume_from_is_kept_although_a_kill_left_newer_ones(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    bare(run, ["step-1", "step-4", "step-9"], best="step-9", latest="step-4")
    remove_old(run, 1)
    assert run.names() == ["step-4", "step-9"]


def test_a_removal_that_is_cut_short_leaves_no_half_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = RunFolder(tmp_path)
    bare(run, ["step-1", "step-2"], latest="step-2")

    def killed(path: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(shutil, "rmtree", killed)
    with pytest.raises(KeyboardInterrupt):
        remove_old(run, 1)
    assert run.names() == ["step-2"]
