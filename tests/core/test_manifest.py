"""Run folders and manifests, without torch: what counts as a checkpoint, and what a damaged one says."""

from __future__ import annotations

import hashlib
import json
import shutil
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pluggy import PluginManager
from safetensors.torch import save_file

from twm_core.checkpoint.manifest import (
    MANIFEST,
    MODEL,
    RunFolder,
    active_plugins,
    changed_plugins,
    check_installed,
    distributions,
    read_manifest,
    resolve_checkpoint,
    verify_files,
)
from twm_core.errors import CheckpointError
from twm_core.hooks import GROUP, HookSpecs
from twm_core.plugin.discovery import Plugin
from twm_core.plugin.loading import Loaded
from twm_core.plugin.registry import Registry
from twm_core.tensor_files import file_hash, layout_hash, read_header


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained, tmp_path / "run"))


@pytest.fixture
def latest(run: Path) -> Path:
    return RunFolder(run).find("latest")


def edit(folder: Path, **changes: Any) -> None:
    manifest = json.loads((folder / MANIFEST).read_text())
    (folder / MANIFEST).write_text(json.dumps(manifest | changes))


def test_checkpoints_are_sorted_by_step_and_incomplete_ones_do_not_count(tmp_path: Path) -> None:
    checkpoints = tmp_path / "checkpoints"
    for name in ("step-10", "step-9", "step-100", "step-x", "step-7-copy", ".unfinished-step-3"):
        (checkpoints / name).mkdir(parents=True)
        (checkpoints / name / MANIFEST).write_text("{}")
    (checkpoints / "step-200").mkdir()
    assert RunFolder(tmp_path).names() == ["step-9", "step-10", "step-100"]


def test_a_pointer_to_nothing_falls_back_to_the_newest_checkpoint(run: Path) -> None:
    folder = RunFolder(run)
    (folder.checkpoints / "latest").write_text("step-99\n")
    (folder.checkpoints / "best").unlink()
    assert folder.pointed("latest") is None
    assert folder.find("latest") == folder.find("best") == folder.checkpoints / "step-12"


def test_a_checkpoint_is_found_by_run_by_folder_and_by_file(run: Path, latest: Path) -> None:
    assert resolve_checkpoint(run, "latest") == resolve_checkpoint(latest) == resolve_checkpoint(latest / MODEL) == latest


def test_a_checkpoint_that_is_not_there_is_an_error_that_lists_the_others(run: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"has no checkpoint 'step-4'\n.*step-10, step-12, latest and best"):
        RunFolder(run).find("step-4")
    with pytest.raises(CheckpointError, match=r"there is no run folder .*absent\n.*--run"):
        resolve_checkpoint(tmp_path / "absent")
    (tmp_path / "empty").mkdir()
    with pytest.raises(CheckpointError, match="has no complete checkpoint"):
        resolve_checkpoint(tmp_path / "empty")


def test_a_manifest_names_components_specs_step_seed_data_and_hashes(latest: Path) -> None:
    manifest = verify_files(latest)
    rows = {r["kind"]: r for r in manifest["components"]}
    assert set(rows) == {"dataset", "encoder", "dynamics", "decoder", "loss", "optimizer"}
    dynamics = rows["dynamics"]
    assert (dynamics["name"], dynamics["distribution"], dynamics["layout_version"]) == ("rssm-cat", "twm", 1)
    assert dynamics["entry_point"] == "rssm = twm_rssm.plugin"
    assert dynamics["config"]["deter"] == 16
    assert len(dynamics["layout_sha256"]) == 64
    assert (manifest["step"], manifest["seed"]) == (12, 0)
    assert len(manifest["dataset_sha256"]) == 64
    assert set(manifest["specs"]) == {"obs_spec", "action", "embedding", "latent", "output"}
    assert {f: h["sha256"] for f, h in manifest["files"].items()} == {
        f: hashlib.sha256((latest / f).read_bytes()).hexdigest() for f in ("model.safetensors", "trainer.safetensors")
    }


def test_the_weights_alone_carry_their_manifest(latest: Path, tmp_path: Path) -> None:
    whole = read_manifest(latest)
    shutil.copy(latest / MODEL, tmp_path / MODEL)
    alone = read_manifest(tmp_path / MODEL)
    assert alone == {k: v for k, v in whole.items() if k != "files"}


def test_a_safetensors_file_of_somebody_else_is_refused(tmp_path: Path) -> None:
    save_file({"a": torch.zeros(2)}, tmp_path / MODEL)
    with pytest.raises(CheckpointError, match=r"was not written by twm: its header has no manifest\n.*checkpoint of twm"):
        read_manifest(tmp_path)


def test_a_manifest_that_is_not_json_is_damaged(latest: Path) -> None:
    (latest / MANIFEST).write_text((latest / MANIFEST).read_text()[:100])
    with pytest.raises(CheckpointError, match=r"the manifest in .*manifest\.json is damaged: .*\n.*use another checkpoint"):
        read_manifest(latest)


@pytest.mark.parametrize("given", [3, 1, "2", None])
def test_an_unknown_schema_is_refused(latest: Path, given: object) -> None:
    edit(latest, schema=given)
    with pytest.raises(CheckpointError, match=rf"has schema {given!r}; this twm reads 2\n.*use a matching version of twm"):
        read_manifest(latest)


@pytest.mark.parametrize(
    ("changes", "where"),
    [
        ({"step": "many"}, "step"),
        ({"components": None}, "components"),
        ({"components": [{"kind": "encoder"}]}, r"components\.0\.name"),
        ({"specs": {}}, r"specs\.obs_spec"),
        ({"training": 3}, "training"),
        ({"files": {"model.safetensors": {}}}, r"files\.model\.safetensors\.sha256"),
    ],
)
def test_a_manifest_of_another_shape_is_damaged_and_the_place_is_named(latest: Path, changes: dict[str, Any], where: str) -> None:
    edit(latest, **changes)
    with pytest.raises(CheckpointError, match=rf"is damaged: {where}: "):
        read_manifest(latest)


def test_a_manifest_that_is_a_list_is_refused(latest: Path) -> None:
    (latest / MANIFEST).write_text("[]")
    with pytest.raises(CheckpointError, match=r"has schema \[\]"):
        read_manifest(latest)


def test_a_header_agrees_with_safetensors(tmp_path: Path) -> None:
    save_file({"a": torch.zeros(2, 3), "b": torch.zeros(4, dtype=torch.int64)}, tmp_path / MODEL, metadata={"x": "y"})
    header, offset = read_header(tmp_path / MODEL)
    assert {k: (v["dtype"], v["shape"]) for k, v in header.items() if k != "__metadata__"} == {"a": ("F32", [2, 3]), "b": ("I64", [4])}
    assert header["__metadata__"] == {"x": "y"}
    assert (tmp_path / MODEL).stat().st_size == offset + 24 + 32


@given(st.binary(max_size=64) | st.binary(max_size=40).map(lambda b: struct.pack("<Q", len(b)) + b))
def test_any_other_bytes_are_not_a_safetensors_file(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    file = tmp_path_factory.mktemp("bytes") / MODEL
    file.write_bytes(data)
    with pytest.raises(CheckpointError, match="is truncated or"):
        read_header(file)


@pytest.mark.parametrize("header", ["[]", "3", '{"a": 1}', '{"a": {"dtype": "F32"}}', '{"a": {"data_offsets": ["x", "y"]}}', "\xff"])
def test_a_header_of_another_shape_is_refused(tmp_path: Path, header: str) -> None:
    text = header.encode("latin-1")
    (tmp_path / MODEL).write_bytes(struct.pack("<Q", len(text)) + text)
    with pytest.raises(CheckpointError, match="truncated or not a safetensors file"):
        read_header(tmp_path / MODEL)


def test_a_layout_hash_depends_on_names_shapes_and_types_but_not_on_order() -> None:
    a = {"x": ("float32", (2, 3)), "y": ("float32", (4,))}
    assert layout_hash(a) == layout_hash(dict(reversed(a.items())))
    assert layout_hash(a) == hashlib.sha256(b"x float32 [2, 3]\ny float32 [4]").hexdigest()
    others = [{**a, "y": ("float32", (5,))}, {**a, "y": ("float16", (4,))}, {"x": a["x"], "z": a["y"]}]
    assert len({layout_hash(o) for o in [a, *others]}) == 4


def test_a_file_hash_is_sha256_of_its_bytes(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"abc")
    assert file_hash(tmp_path / "f") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_a_component_that_is_not_installed_is_named_with_the_line_that_installs_it(latest: Path, registry: Registry) -> None:
    manifest = read_manifest(latest)
    check_installed(manifest, registry)
    manifest["components"][2] |= {"name": "leaky", "distribution": "acme-worlds", "version": "1.2.3"}
    with pytest.raises(CheckpointError) as caught:
        check_installed(manifest, registry)
    assert caught.value.message.endswith("leaky of acme-worlds 1.2.3, which is not installed")
    assert caught.value.hint == "pip install acme-worlds==1.2.3"


def test_a_component_from_a_file_asks_for_the_file(latest: Path, registry: Registry) -> None:
    manifest = read_manifest(latest)
    manifest["components"][2] |= {"name": "leaky", "distribution": "file", "entry_point": "leaky = /home/me/leaky.py"}
    with pytest.raises(CheckpointError, match=r"leaky of the one-file plugin /home/me/leaky\.py, .*\n.*-p /home/me/leaky\.py"):
        check_installed(manifest, registry)


def test_checking_the_files_of_a_checkpoint_imports_no_torch(latest: Path) -> None:
    code = f"import sys; from twm_core.checkpoint.manifest import verify_files; verify_files(__import__('pathlib').Path({str(latest)!r}))"
    done = subprocess.run([sys.executable, "-c", f"{code}; assert 'torch' not in sys.modules"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_changes_of_the_active_plugins_are_told_in_words() -> None:
    manager = PluginManager(GROUP)
    manager.add_hookspecs(HookSpecs)
    rows = [
        Plugin(name="main", distribution=d, version=v, value="a", status="loaded")
        for d, v in (("acme", "1.1"), ("beta", "2.0"), ("same", "3"))
    ]
    registry = Registry(manager=manager, loaded=[Loaded(plugin=p) for p in rows])
    assert active_plugins(registry) == ["acme:main 1.1", "beta:main 2.0", "same:main 3"]
    before = {"plugins": ["acme:main 1.0", "gone:main 0.1", "same:main 3"]}
    assert changed_plugins(before, registry) == [
        "gone:main 0.1 is not there now",
        "beta:main 2.0 was not there",
        "acme:main was 1.0, is 1.1",
    ]
    assert changed_plugins({"plugins": active_plugins(registry)}, registry) == []


def test_a_manifest_names_the_distribution_of_every_component(latest: Path) -> None:
    found = distributions(verify_files(latest))
    assert found["dynamics", "rssm-cat"] == "twm"
    assert {slot for slot, _ in found} == {"dataset", "encoder", "dynamics", "decoder", "loss", "optimizer"}
