"""The dataset `store`: what windows hold, mixed stores, splits that share nothing, no future in the inputs, and training."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from stored_traffic import between_keyframes, recording, store

from twm_core.data.features.derive import derive
from twm_core.data.recording import Recording
from twm_core.data.scenario import INTERPOLATED
from twm_core.data.store.reading import open_store
from twm_core.data.store.writing.write_store import write_store
from twm_core.data.windows.scenario_dataset import ScenarioDataset
from twm_core.data.windows.splits import make_splits
from twm_core.errors import DataError, UsageError
from twm_core.specs import DatasetSpecs
from twm_core.testing.checks.dataset import DATASET
from twm_core.testing.subjects.dataset import DatasetSubject
from twm_datasets import store as module
from twm_datasets.config import COMMONROAD_FEATURES, StoreConfig
from twm_datasets.tokens import token

SHORT: dict[str, Any] = {"observed_seconds": 0.5, "predicted_seconds": 0.5, "eval_stride_seconds": 0.2}


def dataset(path: Path | str, **fields: Any) -> ScenarioDataset:
    config = StoreConfig(path=str(path), **{**SHORT, **fields})
    seen, action = config.observations()
    return module.build(config, DatasetSpecs(obs_spec=seen, action=action))


@pytest.fixture(scope="module")
def bridge(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight recordings at one site."""
    return store(tmp_path_factory.mktemp("bridge") / "bridge.twm", [recording(f"clip-{i}", seed=i) for i in range(8)])


def test_windows_show_what_the_store_holds(bridge: Path) -> None:
    data, opened = dataset(bridge), open_store(bridge)
    batch = data.windows("test").batch([0])
    scenario = data.splits["test"][0]
    original = opened.scenario(opened.number(scenario.id))
    part = data.parts["test"][0]
    assert part is not None
    for slot, track in enumerate(batch["agents.track"][0].tolist()):
        for t in range(10):
            step = part.begin + t
            inside = original.first[track] <= step < original.first[track] + original.length[track]
            assert bool(batch["agents.exists"][0, t, slot]) == inside
            if inside:
                row = original.offset[track] + step - original.first[track]
                for i, name in enumerate(COMMONROAD_FEATURES):
                    assert float(batch["agents.state"][0, t, slot, i]) == original.state[row, original.features.index(name)], name
                lane = original.lane_names[original.lane[row] - 1] if original.lane is not None and original.lane[row] else None
                expected = token(f"bridge:{lane}", 4096) if lane else 0
                assert int(batch["agents.lane"][0, t, slot]) == expected
    assert batch["site"].tolist() == [token("bridge", 64)]
    assert batch["agents.lane"].any()
    assert batch["dt"].tolist() == [pytest.approx(0.1)]


def test_clips_of_a_site_are_split_in_their_order(bridge: Path) -> None:
    data = dataset(bridge, val_share=0.25, test_share=0.25)
    assert {split: [s.id for s in data.splits[split]] for split in data.splits} == {
        "train": [f"clip-{i}" for i in range(4)],
        "val": ["clip-4", "clip-5"],
        "test": ["clip-6", "clip-7"],
    }


def test_stored_splits_are_obeyed(tmp_path: Path) -> None:
    path = store(tmp_path / "s.twm", [recording(f"clip-{i}", seed=i) for i in range(4)])
    with pytest.raises(DataError, match="has no stored splits"):
        dataset(path, split="stored")
    opened = open_store(path)
    opened.write_splits(make_splits(opened.scenarios, "vehicle", seed=3).to_json())
    data = dataset(path)
    assert data.protocol.steps == 10
    owned = {
        split: {(s.id, track) for s, part in zip(data.splits[split], data.parts[split], strict=True) for track in _scored(s, part)}
        for split in data.splits
    }
    for one, other in combinations(owned.values(), 2):
        assert not one & other
    shown = data.windows("train")
    for i in range(len(shown)):
        batch = shown.batch([i])
        scenario = data.splits["train"][int(batch["scenario"][0])].id
        # Models learn from every agent of a training window, so no other may be there.
        assert {(scenario, str(t)) for t in batch["agents.track"][0].tolist() if t >= 0} <= owned["train"]
    assert shown.report()["tracks of other splits left out"] > 0


def _scored(scenario: Any, part: Any) -> list[str]:
    return [name for i, name in enumerate(scenario.track) if part is None or part.own is None or part.own[i]]


def test_a_store_without_maps_gives_zeros_and_says_so(tmp_path: Path) -> None:
    path = store(tmp_path / "plain.twm", [recording(f"p{i}", seed=i, road=False) for i in range(8)])
    data = dataset(path)
    windows = data.windows("train")
    batch = windows.batch(range(4))
    for name in ("lane_offset", "lane_known", "lane_turn_50", "speed_limit"):
        assert not batch["agents.state"][..., COMMONROAD_FEATURES.index(name)].any()
    assert batch["agents.state"][..., COMMONROAD_FEATURES.index("leader_gap")].any()
    assert any(k.startswith("scenarios without lane_offset") and v == len(data.splits["train"]) for k, v in windows.report().items())


def test_other_features_that_are_missing_are_refused_with_those_there_are(tmp_path: Path) -> None:
    path = store(tmp_path / "few.twm", [recording(f"f{i}", seed=i) for i in range(4)], features=("x", "y", "heading", "vx", "vy"))
    with pytest.raises(DataError, match=r"few\.twm has no ax, ay, yaw_rate, length, width, fresh") as caught:
        dataset(path)
    assert "it has x, y, heading, vx, vy" in str(caught.value.hint)
    assert len(dataset(path, features=("x", "y", "vx", "vy", "heading")).windows("train"))
    with pytest.raises(UsageError, match="there is no feature colour"):
        dataset(path, features=("x", "y", "heading", "vx", "vy", "colour"))


def test_stores_of_other_rates_and_columns_train_together(bridge: Path, tmp_path: Path) -> None:
    slow = store(tmp_path / "slow.twm", [recording(f"s{i}", seed=i, dt=0.25, road=False, site="square") for i in range(8)])
    fast = store(tmp_path / "fast.twm", [recording(f"q{i}", seed=i, dt=0.05, steps=120, site="lane") for i in range(8)])
    data = dataset(f"{bridge}, {slow},{fast}")
    windows = data.windows("train")
    report = windows.report()
    assert report["scenarios resampled from 0.25 s"] > 0
    assert report["scenarios resampled from 0.05 s"] > 0
    assert report["windows that would start from interpolated steps"] > 0
    batch = windows.batch(range(0, len(windows), 7))
    assert batch["dt"].unique().tolist() == [pytest.approx(0.1)]
    assert set(batch["site"].tolist()) == {token(s, 64) for s in ("bridge", "square", "lane")}
    codes = {int(c) for c in batch["agents.code"].unique()}
    assert INTERPOLATED in codes
    speed = torch.hypot(*(batch["agents.state"][..., COMMONROAD_FEATURES.index(n)] for n in ("vx", "vy")))
    later = batch["agents.exists"] & ~batch["agents.state"][..., COMMONROAD_FEATURES.index("fresh")].bool()
    assert 5 < float(speed[later].median()) < 15


def test_the_same_store_twice_and_no_store_are_refused(bridge: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="hold the same scenarios"):
        dataset(f"{bridge},{bridge}")
    with pytest.raises(DataError, match="no path was given"):
        dataset("")
    with pytest.raises(DataError):
        dataset(tmp_path / "none.twm")


def test_several_paths_may_stand_in_a_list() -> None:
    assert StoreConfig(path=["a.twm", "b.twm"]).paths == ("a.twm", "b.twm")  # pyrefly: ignore[bad-argument-type]


def test_a_site_that_is_not_trained_on_is_unknown(tmp_path: Path) -> None:
    path = store(tmp_path / "sites.twm", [recording(f"r{i}", seed=i, site=f"site-{i // 2}") for i in range(8)])
    data = dataset(path, split="site")
    trained = {s.site for s in data.splits["train"]}
    for split in ("val", "test"):
        assert not {s.site for s in data.splits[split]} & trained
        batch = data.windows(split).batch([0])
        assert not batch["site"].any()
        assert not batch["agents.lane"].any()
    assert data.windows("train").batch([0])["site"].all()


def test_rasters_show_the_road_of_the_store(bridge: Path) -> None:
    data = dataset(bridge, raster=True, raster_size=32, rotate=True)
    batch = data.windows("train").batch([0, 1])
    assert batch["map.raster"].shape == (2, 3, 32, 32)
    assert batch["map.raster"].any()
    turned = data.augment(batch, torch.Generator().manual_seed(0))
    assert not torch.allclose(turned["map.pose"], batch["map.pose"])


def test_the_fingerprint_names_the_store_its_splits_and_the_augmentation(bridge: Path, tmp_path: Path) -> None:
    other = store(tmp_path / "other.twm", [recording(f"clip-{i}", seed=i + 1) for i in range(8)])
    prints = {
        dataset(p, **f).fingerprint()
        for p, f in ((bridge, {}), (other, {}), (bridge, {"split": "vehicle"}), (bridge, {"dropout": 0.1}), (bridge, {"rotate": True}))
    }
    assert len(prints) == 5
    assert dataset(bridge).fingerprint() == dataset(bridge).fingerprint()


class Stored(DatasetSubject):
    """The dataset with data, which the kit's own config has not."""

    def build(self, seed: int = 0) -> ScenarioDataset:
        return module.build(cast("StoreConfig", self.config), self.specs)


@pytest.mark.parametrize("split", ["time", "vehicle"])
def test_the_conformance_kit_finds_nothing_wrong(split: str, bridge: Path, tmp_path: Path) -> None:
    rough = store(tmp_path / "rough.twm", [between_keyframes(recording(f"k{i}", seed=i, dt=0.2), 5) for i in range(8)])
    for fields in ({}, {"raster": True, "raster_size": 16}):
        config = StoreConfig(path=f"{rough},{bridge}", split=split, val_share=0.3, test_share=0.3, **{**SHORT, **fields})
        seen, action = config.observations()
        specs = DatasetSpecs(obs_spec=seen, action=action)
        subject = Stored(registered=cast("Any", None), config=config, specs=specs, title="store")
        assert any(s.anchors is not None for s in subject.instance.splits["test"])
        for check in DATASET:
            check(subject)


def noisy(made: Recording, step: int, seed: int) -> Recording:
    """The recording with other positions from `step` on."""
    rng = np.random.default_rng(seed)
    at = np.concatenate([f + np.arange(n) for f, n in zip(made.first, made.length, strict=True)])
    columns = {n: v.copy() for n, v in made.columns.items()}
    for name in ("x", "y"):
        columns[name][at >= step] += rng.normal(scale=30, size=int((at >= step).sum()))
    return replace(made, columns=columns)


def index_of(windows: Any) -> np.ndarray:
    """Scenario and first step of each window."""
    return windows.inner.index


def as_it_is(made: Recording) -> Recording:
    return made


def slower(made: Recording) -> Recording:
    return replace(made, dt=0.25)


def keyframed(made: Recording) -> Recording:
    return between_keyframes(made, 5)


CASES = {
    "as recorded": (0.1, as_it_is),
    "every second step": (0.2, as_it_is),
    "interpolated from 0.25 s": (0.1, slower),
    "interpolated by the publisher": (0.1, keyframed),
    "interpolated by the publisher, then every second step": (0.2, keyframed),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("raster", [False, True])
def test_noise_in_the_future_of_the_recording_changes_no_input(case: str, raster: bool, tmp_path: Path) -> None:
    dt, publish = CASES[case]
    fields: dict[str, Any] = {"split": "vehicle", "dt": dt, "raster": raster, "raster_size": 16, "stride_seconds": 0.2}
    fields |= {"observed_seconds": 1.0, "predicted_seconds": 1.0, "test_share": 0.3}
    truth = [recording(f"clip-{i}", seed=i, agents=12) for i in range(2)]

    def made(name: str, recordings: list[Recording]) -> ScenarioDataset:
        return dataset(write_store(tmp_path / name, [derive(publish(r)) for r in recordings]), **fields)

    plain = made("plain.twm", truth)
    inputs = [k for k in plain.obs_spec.keys if k.role == "input"]
    windows = plain.windows("test")
    assert len(windows) > 1
    checked = set()
    for number in range(0, len(windows), 2):
        which, start = (int(v) for v in index_of(windows)[number])
        seconds = (start + plain.obs_spec.context - 1) * dt
        changed = [noisy(r, int(np.floor(seconds / publish(r).dt + 1e-6)) + 1, seed=number + 9) for r in truth]
        other = made(f"{number}.twm", changed).windows("test")
        same = [i for i, row in enumerate(index_of(other).tolist()) if row == [which, start]]
        before, after = windows.batch([number]), other.batch(same)
        for key in inputs:
            a, b = before[key.key], after[key.key]
            if "T" in key.axes.split():
                a, b = a[:, : plain.obs_spec.context], b[:, : plain.obs_spec.context]
            assert torch.equal(a, b), (key.key, number)
        if plain.obs_spec.horizon:
            assert not torch.equal(before["agents.state"], after["agents.state"])
        checked.add(start)
    assert len(checked) > 1


def train(run: Path, path: Path, capfd: pytest.CaptureFixture[str], *words: str, **training: Any) -> dict[str, Any]:
    """`twm train --json` on a store, a few steps."""
    from twm_cli.main import main

    given = ["train", "--dataset", "store", "--dataset.path", str(path), "--run", str(run), "--json", *words]
    for name, value in {"observed_seconds": 0.5, "predicted_seconds": 0.5, "dropout": 0.1}.items():
        given += [f"--dataset.{name}", str(value)]
    given += ["--dataset.rotate"]
    for name, value in {"steps": 4, "batch": 4, "validate_windows": 4, "device": "cpu", "checkpoint_every": 2, **training}.items():
        given += ["--set", f"training.{name}={value}"]
    code = main(given)
    out = capfd.readouterr().out
    assert code == 0, out
    return json.loads(out[out.index("{") :])


def test_a_model_trains_on_a_store_from_the_command_line(bridge: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    result = train(tmp_path / "run", bridge, capfd)
    assert result["step"] == 4
    assert 0 <= result["waiting"] <= 1


def test_processes_that_read_ahead_and_a_resumed_run_end_with_the_same_weights(
    bridge: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    alone, ahead = tmp_path / "alone", tmp_path / "ahead"
    train(alone, bridge, capfd)
    train(ahead, bridge, capfd, workers=2)
    expected = weights(alone)
    assert all(torch.equal(value, weights(ahead)[name]) for name, value in expected.items())
    # As if the run had been killed before its last checkpoint.
    shutil.rmtree(ahead / "checkpoints" / "step-4")
    for pointer in ("latest", "best"):
        (ahead / "checkpoints" / pointer).unlink(missing_ok=True)
    (ahead / "checkpoints" / "latest").write_text("step-2\n")
    train(ahead, bridge, capfd, "--resume", workers=2)
    assert all(torch.equal(value, weights(ahead)[name]) for name, value in expected.items())


def test_a_split_that_was_made_again_meanwhile_is_named_when_the_run_is_resumed(
    bridge: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    from twm_cli.main import main

    path, run = Path(shutil.copytree(bridge, tmp_path / "copy.twm")), tmp_path / "run"

    def split(by: str) -> None:
        assert main(["data", "split", str(path), "--by", by]) == 0
        capfd.readouterr()

    def recorded(step: int) -> dict[str, Any]:
        return json.loads((run / "checkpoints" / f"step-{step}" / "manifest.json").read_text())

    split("time")
    train(run, path, capfd, "--dataset.split", "stored", steps=2)
    split("vehicle")
    more = ["train", "--run", str(run), "--resume", "--set", "training.steps=3"]
    assert main(more) == 2
    told = capfd.readouterr().err
    (now,) = re.findall(f"data: '{recorded(2)['dataset_sha256']}' in the checkpoint, '([0-9a-f]{{64}})' now", told)
    assert "--accept-changes" in told
    assert not (run / "checkpoints" / "step-3").exists()
    assert main([*more, "--accept-changes"]) == 0
    assert recorded(3)["dataset_sha256"] == now
    assert {"step": 2, "path": "data", "before": recorded(2)["dataset_sha256"], "after": now} in recorded(3)["changes"]


def weights(run: Path) -> dict[str, torch.Tensor]:
    return load_file(run / "checkpoints" / "step-4" / "model.safetensors")
