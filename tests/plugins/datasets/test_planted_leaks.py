"""The five leaks that were published (see docs/explanations/leaks.md), each put in on purpose, each found."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
import worlds_with_two_futures as worlds
from stored_traffic import recording, store

from twm_core.angles import wrap
from twm_core.data.dataset import Batch, Dataset, Windows
from twm_core.data.doctor.examination import Doctor
from twm_core.data.recording import Recording
from twm_core.data.scenario import Scenario
from twm_core.data.store.reading import open_store
from twm_core.data.windows.scenario_dataset import ScenarioDataset
from twm_core.data.windows.splits import make_splits
from twm_core.errors import DataError
from twm_core.nn.build import build_dataset
from twm_core.specs import DatasetSpecs
from twm_core.testing.checks.dataset import speeds_fit_the_clock, splits_share_nothing
from twm_core.testing.failure import Broken
from twm_core.testing.leaks import leaks
from twm_core.testing.subjects.dataset import DatasetSubject
from twm_core.training import run as training
from twm_datasets import ethucy
from twm_datasets.config import EthUcyConfig


def subject(dataset: Dataset) -> DatasetSubject:
    """A dataset as the conformance checks see it."""

    class Given(DatasetSubject):
        def build(self, seed: int = 0) -> Dataset:
            return dataset

    obs_spec = cast("ScenarioDataset", dataset).obs_spec
    return Given(
        registered=cast("Any", None), config=cast("Any", None), specs=DatasetSpecs(obs_spec=obs_spec, action=None), title="planted"
    )


@pytest.fixture
def folder(tmp_path: Path) -> worlds.Pair:
    return worlds.from_files(tmp_path, worlds.write_ethucy)


# 1. Differences that look ahead


def central_difference(values: np.ndarray, starts: np.ndarray, dt: Any, *, angle: bool = False) -> np.ndarray:
    """Half of the way from the row before to the row after, as np.gradient has it."""
    change = np.diff(values, prepend=values[:1])
    change = np.where(starts, 0.0, wrap(change) if angle else change)
    last = np.append(starts[1:], True)
    return np.where(last | starts, change, (change + np.roll(change, -1)) / 2) / dt


def test_central_differences_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ethucy, "backward_difference", central_difference)
    pair = worlds.from_files(tmp_path, worlds.write_ethucy)
    forecasters = {"constant-velocity": worlds.baseline("constant-velocity", pair.known.obs_spec)}
    found = leaks(pair.known.windows("test"), pair.noisy.windows("test"), pair.known.obs_spec, forecasters)
    assert any("input agents.state differs" in x for x in found)
    assert any("states of constant-velocity differs" in x for x in found)


# 2. A centre or scale that knows the future


class Centred(Windows):
    """Windows whose origin is the mean position of the whole window; `scaled` also divides by its spread."""

    def __init__(self, windows: Windows, scaled: bool) -> None:
        self.inner, self.scaled = windows, scaled

    def __len__(self) -> int:
        return len(self.inner)

    def batch(self, indices: Sequence[int]) -> Batch:
        made = self.inner.batch(indices)
        state, here = made["agents.state"].clone(), made["agents.exists"]
        position = state[..., :2]
        mean = position[here].mean(dim=0)
        position -= mean if not self.scaled else 0.0
        position /= position[here].std() if self.scaled else 1.0
        return {**made, "agents.state": torch.where(here[..., None], state, 0.0)}

    def report(self) -> dict[str, int]:
        return self.inner.report()


@pytest.mark.parametrize("scaled", [False, True])
def test_normalising_over_the_whole_window_is_found(scaled: bool, folder: worlds.Pair) -> None:
    known, noisy = (Centred(d.windows("test"), scaled) for d in (folder.known, folder.noisy))
    assert any("input agents.state differs" in x for x in leaks(known, noisy, folder.known.obs_spec))


# 3. The same vehicles on both sides


def with_copies(dataset: ScenarioDataset, change: Callable[[Scenario], Scenario]) -> ScenarioDataset:
    """The dataset with its test scenarios among those of training."""
    planted = copy.copy(dataset)
    more = tuple(change(s) for s in dataset.splits["test"])
    planted.splits = {**dataset.splits, "train": dataset.splits["train"] + more}
    planted.parts = {**dataset.parts, "train": dataset.parts["train"] + (None,) * len(more)}
    return planted


def later_half(scenario: Scenario) -> Scenario:
    """A clip under another name: the second half of all rows that are there then."""
    return replace(scenario, id=f"{scenario.id}-clip", start=scenario.start + 1.0)


def test_vehicles_that_are_in_two_splits_are_found() -> None:
    dataset = worlds.highway().known
    splits_share_nothing(subject(dataset))
    for change in (lambda s: s, later_half):
        with pytest.raises(Broken, match=r"stand in \w+ and in \w+"):
            splits_share_nothing(subject(with_copies(dataset, change)))


def test_a_copy_that_was_turned_and_moved_is_found(recorded: Callable[..., Recording]) -> None:
    one, other = recorded("one", seed=1), recorded("two", seed=2)
    cos, sin = np.cos(1.0), np.sin(1.0)
    x, y = one.columns["x"], one.columns["y"]
    columns = {**one.columns, "x": cos * x - sin * y + 300, "y": sin * x + cos * y - 70}
    turned = replace(one, id="copy", group="copy", columns=columns, road=None)

    def findings(*recordings: Recording) -> set[str]:
        doctor = Doctor()
        for each in recordings:
            doctor.examine(each, f"{each.id}.csv")
        return {f.name for f in doctor.diagnosis().findings}

    assert "overlap" not in findings(one, other)
    assert "overlap" in findings(one, other, turned)


TRAIN, VAL, TEST = "train/biwi_hotel_train.txt", "val/crowds_zara01_val.txt", "all_data/biwi_eth.txt"


def fold(folder: Path, *, train: Sequence[str], val: Sequence[str] = (VAL,)) -> ScenarioDataset:
    """The small files with a `folds.json` of a user, whose test file is `TEST`."""
    (folder / "folds.json").write_text(json.dumps({"eth": {"train": train, "val": val, "test": [TEST]}}))
    return worlds.built({**worlds.write_ethucy(folder, None), "dataset.fold": "eth"})


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_a_test_file_that_the_users_fold_trains_on_is_found_and_leaving_it_out_helps(split: str, tmp_path: Path) -> None:
    message = "scenario all_data/biwi_eth in train and scenario all_data/biwi_eth in test hold the same tracks: both use steps 0 to 25 of 4"
    with pytest.raises(DataError, match=message) as caught:
        fold(tmp_path, train=[TRAIN, TEST]).windows(split)
    assert (caught.value.hint or "").startswith("leave one of the two out, or put both into one split")
    assert len(fold(tmp_path, train=[TRAIN]).windows(split))


@pytest.mark.parametrize("split", ["train", "val"])
def test_a_copy_of_the_test_file_under_another_name_is_found(split: str, folder: worlds.Pair, tmp_path: Path) -> None:
    place = Path(folder.options["dataset.path"])
    (place / "raw" / "train" / "copy.txt").write_bytes((place / "raw" / TEST).read_bytes())
    more = {"train": [TRAIN, "train/copy.txt"]} if split == "train" else {"train": [TRAIN], "val": [VAL, "train/copy.txt"]}
    with pytest.raises(DataError, match=f"train/copy in {split} and scenario all_data/biwi_eth in test hold the same tracks"):
        fold(place, **more).windows("test")
    assert len(fold(place, train=[TRAIN, VAL], val=[VAL.replace("01", "02")]).windows("test"))


def test_a_later_window_of_the_recording_that_is_tested_is_found(folder: worlds.Pair) -> None:
    """Frames from the third on, half of the people, numbered anew."""
    place = Path(folder.options["dataset.path"])
    rows = [line.split("\t") for line in (place / "raw" / TEST).read_text().splitlines()]
    later = [f"{int(r[0]) - 30}\t{int(r[1]) + 70}\t{r[2]}\t{r[3]}\n" for r in rows if int(r[0]) >= 30 and int(r[1]) < 3]
    (place / "raw" / "train" / "later.txt").write_text("".join(later))
    message = (
        r"train/later in train and scenario all_data/biwi_eth in test hold the same recorded movement: track 7\d .* 2 track\(s\) move alike"
    )
    with pytest.raises(DataError, match=message):
        fold(place, train=[TRAIN, "train/later.txt"]).windows("train")


def test_a_recording_that_was_imported_twice_is_found_and_one_split_for_both_helps(tmp_path: Path) -> None:
    """Two clips of one recording as sites of their own, one of them moved, as files in the frame of a vehicle are."""
    whole = recording("whole", seed=1, steps=90, road=False)
    moved = replace(whole, columns={**whole.columns, "x": whole.columns["x"] + 3000.25, "y": whole.columns["y"] - 70})
    clips = [replace(r, id=name, group=name, site=name) for r, name in ((whole, "one"), (moved, "two"))]
    others = [recording(f"r{i}", seed=10 + i, site=f"r{i}", road=False) for i in range(3)]
    path = store(tmp_path / "clips.twm", [*clips, *others])

    def split(sites: dict[str, list[str]]) -> ScenarioDataset:
        opened = open_store(path)
        opened.write_splits(make_splits(opened.scenarios, "site", sites=sites).to_json())
        return worlds.built({"dataset.component": "store", "dataset.path": str(path), "dataset.split": "stored", **worlds.SHORT})

    planted = split({"train": ["one", "r0"], "val": ["r1"], "test": ["two", "r2"]})
    with pytest.raises(DataError, match="scenario one in train and scenario two in test hold the same recorded movement"):
        planted.windows("train")
    assert len(split({"train": ["one", "two", "r0"], "val": ["r1"], "test": ["r2"]}).windows("train"))


# 4. Choosing on the test


class Watched(Dataset):
    """A dataset that keeps the names of the splits whose windows are read."""

    def __init__(self, inner: Dataset) -> None:
        self.inner = inner
        self.read: set[str] = set()

    def windows(self, split: str) -> Windows:
        self.read.add(split)
        return self.inner.windows(split)

    def augment(self, batch: Batch, generator: torch.Generator) -> Batch:
        return self.inner.augment(batch, generator)

    def fingerprint(self) -> str:
        return self.inner.fingerprint()


def test_training_reads_no_test_window_and_would_be_found_if_it_did(
    folder: worlds.Pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = {"training.steps": 2, "training.validate_every": 1, "encoder.multiagent.width": 16, "dynamics.deter": 16}
    plan = worlds.plan_of({**folder.options, **small})
    assert plan is not None
    watched: list[Watched] = []

    def build(plan: Any) -> Dataset:
        watched.append(Watched(build_dataset(plan)))
        return watched[-1]

    monkeypatch.setattr(training, "build_dataset", build)
    training.train(plan, worlds.registry(), tmp_path / "run")
    assert watched[-1].read == {"train", "val"}

    class ChoosesOnTest(Watched):
        def windows(self, split: str) -> Windows:
            return super().windows("test" if split == "val" else split)

    monkeypatch.setattr(training, "build_dataset", lambda plan: watched.append(ChoosesOnTest(build_dataset(plan))) or watched[-1])
    training.train(plan, worlds.registry(), tmp_path / "planted")
    assert "test" in watched[-1].read


def test_a_split_that_is_called_val_and_is_the_test_is_found() -> None:
    dataset = worlds.highway().known
    planted = copy.copy(dataset)
    planted.splits = {**dataset.splits, "val": dataset.splits["test"]}
    planted.parts = {**dataset.parts, "val": dataset.parts["test"]}
    with pytest.raises(Broken, match="stand in val and in test"):
        splits_share_nothing(subject(planted))


# 5. Another clock


@pytest.mark.parametrize("time", ["sgan", "true"])
def test_a_recording_with_another_clock_than_its_velocities_is_found(time: str, folder: worlds.Pair) -> None:
    dataset = worlds.built({**folder.options, "dataset.fold": "eth", "dataset.eth_time": time})
    speeds_fit_the_clock(subject(dataset))
    planted = copy.copy(dataset)
    wrong = 0.4 if time == "true" else ethucy.ETH_TRUE_DT
    planted.splits = {**dataset.splits, "test": tuple(replace(s, dt=wrong) for s in dataset.splits["test"])}
    with pytest.raises(Broken, match="times as far in"):
        speeds_fit_the_clock(subject(planted))


def test_the_two_clocks_of_eth_are_two_protocols() -> None:
    one, other = (EthUcyConfig(fold="eth", eth_time=t).observations()[0].protocol for t in ("sgan", "true"))
    assert (one, other) == ("ethucy-eth@sgan", "ethucy-eth-true@sgan")
