"""The dataset `ethucy`: causal, self-contained windows, errors by row, and the published counts and baselines on the real files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from twm_core.data.windows.protocol import WindowProtocol
from twm_core.data.windows.scenario_dataset import ScenarioDataset
from twm_core.data.windows.scenario_windows import ScenarioWindows
from twm_core.errors import DataError, UsageError
from twm_core.specs import AGENT_TYPES, DatasetSpecs
from twm_datasets import ethucy as module
from twm_datasets.config import ETHUCY_FEATURES, EthUcyConfig

FOLDS = ("eth", "hotel", "univ", "zara1", "zara2")


def dataset(path: Path | str, **fields) -> ScenarioDataset:
    # The tests' own small files have other counts than the standard ones.
    config = EthUcyConfig(path=str(path), **{"assert_counts": False, **fields})
    seen, action = config.observations()
    return module.build(config, DatasetSpecs(obs_spec=seen, action=action))


def walkers(number: int, frames: int, seed: int = 0) -> np.ndarray:
    """Rows of people who walk, pause and turn; person `p` is there from frame `p` on."""
    generator = np.random.default_rng(seed)
    rows = []
    for p in range(number):
        at = generator.normal(size=2) * 5
        for f in range(p, frames):
            at = at + generator.normal(size=2) * (0.4 if generator.random() < 0.6 else 0.003)
            rows.append((f * 10, p + 1, *np.round(at, 3)))
    return np.asarray(sorted(rows))


def write(path: Path, rows: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join("\t".join(f"{v:g}" for v in row) + "\n" for row in rows))


@pytest.fixture
def folder(tmp_path):
    """The standard files, tiny, without folds.json."""
    for i, name in enumerate(module.RECORDINGS):
        for place, (sub, ending) in enumerate((("all_data", ""), ("train", "_train"), ("val", "_val"))):
            write(tmp_path / "raw" / sub / f"{name}{ending}.txt", walkers(3, 26, seed=i + 10 * place))
    return tmp_path


def column(scenario, name):
    return scenario.state[:, ETHUCY_FEATURES.index(name)]


def test_motion_is_causal_and_a_slow_step_keeps_the_heading():
    rows = np.array([[0, 1, 0, 0], [10, 1, 0.4, 0], [20, 1, 0.4, 0.8], [30, 1, 0.41, 0.8], [30, 2, 5, 5]], dtype=float)
    s = module.to_scenario(rows, id="all_data/x", dt=0.4)
    np.testing.assert_allclose(column(s, "vx"), [0, 1, 0, 0.025, 0], atol=1e-6)
    np.testing.assert_allclose(column(s, "vy"), [0, 0, 2, 0, 0], atol=1e-6)
    np.testing.assert_allclose(column(s, "heading"), [0, 0, np.pi / 2, np.pi / 2, 0], atol=1e-6)
    np.testing.assert_allclose(column(s, "ax"), [0, 0, -2.5, 0.0625, 0], atol=1e-6)
    np.testing.assert_allclose(column(s, "yaw_rate"), [0, 0, np.pi / 2 / 0.4, 0, 0], atol=1e-5)
    np.testing.assert_array_equal(column(s, "fresh"), [1, 0, 0, 0, 1])
    assert s.type.tolist() == [AGENT_TYPES.index("pedestrian")] * 2


def test_a_gap_in_the_frames_is_one_step_whose_velocity_knows_the_real_time():
    rows = np.array([[0, 1, 0, 0], [10, 1, 1, 0], [40, 1, 4, 0]], dtype=float)
    s = module.to_scenario(rows, id="all_data/x", dt=0.4)
    assert s.steps == 3
    np.testing.assert_allclose(column(s, "vx"), [0, 2.5, 2.5])


def test_a_pedestrian_that_comes_back_starts_afresh():
    rows = np.array([[0, 1, 0, 0], [10, 1, 1, 0], [20, 2, 9, 9], [30, 1, 7, 0], [40, 1, 8, 0]], dtype=float)
    s = module.to_scenario(rows, id="all_data/x", dt=0.4)
    assert (s.first.tolist(), s.length.tolist()) == ([0, 2], [5, 1])
    np.testing.assert_allclose(column(s, "vx")[:5], [0, 2.5, 0, 0, 2.5])
    np.testing.assert_array_equal(column(s, "fresh")[:5], [1, 0, 0, 1, 0])


def windows_of(rows: np.ndarray, **fields) -> ScenarioWindows:
    protocol = WindowProtocol(context=8, horizon=12, stride=1, full=True, self_contained=True, still_speed=module.STILL_SPEED, **fields)
    return ScenarioWindows([module.to_scenario(rows, id="all_data/x", dt=0.4)], protocol, "test")


def test_noise_in_the_future_changes_no_input():
    rows, generator = walkers(4, 30), np.random.default_rng(1)
    plain = windows_of(rows)
    for number in range(len(plain)):
        noisy = rows.copy()
        later = noisy[:, 0] >= (int(plain.index[number, 1]) + 8) * 10
        noisy[later, 2:] = generator.normal(size=(int(later.sum()), 2))
        one, two = plain.batch([number]), windows_of(noisy).batch([number])
        for key in ("agents.state", "agents.exists", "agents.lane", "agents.code"):
            assert (one[key][:, :8] == two[key][:, :8]).all(), key
        for key in ("agents.type", "site", "dt", "is_first"):
            assert (one[key] == two[key]).all(), key


def test_a_window_uses_nothing_from_before_it():
    rows = walkers(1, 30)
    whole = windows_of(rows)
    for number in range(len(whole)):
        t0 = int(whole.index[number, 1])
        cut = windows_of(rows[rows[:, 0] >= t0 * 10])
        assert (whole.batch([number])["agents.state"] == cut.batch([0])["agents.state"]).all(), number


def test_the_first_step_of_a_window_knows_neither_velocity_nor_heading():
    batch = windows_of(walkers(3, 30)).batch([2])
    for name in ("vx", "vy", "ax", "ay", "yaw_rate", "heading"):
        assert (batch["agents.state"][:, 0, :, ETHUCY_FEATURES.index(name)] == 0).all(), name
    assert (batch["agents.state"][:, 0, :, ETHUCY_FEATURES.index("fresh")] == 1).all()


def test_the_conventions_differ_in_the_windows_of_one_pedestrian(folder):
    # Three people enter one step after another: 26 steps hold 7 windows for the first, 6 and 5 for the others.
    alone, together = (dataset(folder, convention=c).windows("test").report() for c in ("all", "sgan"))
    assert (alone["windows"], alone["agents"]) == (7, 18)
    assert (together["windows"], together["agents"]) == (6, 17)


def test_other_files_than_the_standard_ones_are_refused_with_both_counts(folder):
    data = dataset(folder, assert_counts=True)
    assert len(data.windows("val"))
    with pytest.raises(DataError, match="split 'test': expected 70 windows with 181 scored agents, found 6 with 17") as caught:
        data.windows("test")
    assert "switch the check of its counts off" in str(caught.value.hint)


def test_counts_of_other_windows_than_8_and_12_steps_are_not_asserted(folder):
    assert len(dataset(folder, assert_counts=True, predicted_seconds=2.4).windows("test"))


def test_the_standard_membership_is_used_without_folds_json(folder):
    data = dataset(folder, fold="univ")
    assert {s.site for s in data.splits["test"]} == {"students001", "students003"}
    assert not {s.site for s in data.splits["train"] + data.splits["val"]} & {"students001", "students003"}
    assert len(data.splits["train"]) == len(data.splits["val"]) == 6


def test_folds_json_decides_where_it_is(folder):
    (folder / "folds.json").write_text(
        json.dumps({"eth": {"train": ["train/biwi_hotel_train.txt"], "val": ["val/biwi_hotel_val.txt"], "test": ["all_data/biwi_eth.txt"]}})
    )
    assert [s.id for s in dataset(folder).splits["train"]] == ["train/biwi_hotel_train"]
    with pytest.raises(DataError, match=r"folds\.json: fold 'univ' does not name files"):
        dataset(folder, fold="univ")
    (folder / "folds.json").write_text("{")
    with pytest.raises(DataError, match=r"folds\.json: not JSON"):
        dataset(folder)


def test_the_eth_recording_can_have_its_true_time(folder):
    data = dataset(folder, fold="eth", eth_time="true")
    batch = data.windows("test").batch([0])
    assert batch["dt"].tolist() == pytest.approx([2 / 3])
    moved = np.diff(batch["agents.state"][0, :2, 0, ETHUCY_FEATURES.index("x")].numpy())
    assert float(batch["agents.state"][0, 1, 0, ETHUCY_FEATURES.index("vx")]) == pytest.approx(float(moved[0]) * 1.5, rel=1e-4)
    assert {s.dt for s in data.splits["train"]} == {0.4}
    assert data.obs_spec.protocol == "ethucy-eth-true@sgan"


BAD = {
    "columns": ("0 1 2.0", r"biwi_eth\.txt, row 2: has 3 columns, not the 4"),
    "words": ("0 one 2.0 3.0", r"biwi_eth\.txt, row 2: '0 one 2\.0 3\.0' is not four numbers"),
    "nan": ("0 1 nan 3.0", r"biwi_eth\.txt, row 2: .* not finite"),
    "twice": ("0 9 1.0 1.0", r"biwi_eth\.txt, row 2: frame 0, pedestrian 9 stands in row 1 already"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_malformed_row_is_refused_by_file_and_row(case, folder):
    line, message = BAD[case]
    (folder / "raw" / "all_data" / "biwi_eth.txt").write_text(f"0 9 1.0 1.0\n{line}\n")
    with pytest.raises(DataError, match=message):
        dataset(folder)


def test_an_empty_or_missing_file_is_refused(folder):
    place = folder / "raw" / "all_data" / "biwi_eth.txt"
    place.write_text("\n")
    with pytest.raises(DataError, match=r"biwi_eth\.txt: is empty"):
        dataset(folder)
    place.unlink()
    with pytest.raises(DataError, match=r"all_data/biwi_eth\.txt is not there"):
        dataset(folder)


@pytest.mark.parametrize(
    ("name", "message"), [("", "no path was given"), ("nowhere", "is not a folder"), ("bare", "holds none of raw/all_data")]
)
def test_a_wrong_folder_is_refused(name, message, tmp_path):
    (tmp_path / "bare").mkdir()
    with pytest.raises(DataError, match=message) as caught:
        dataset(tmp_path / name if name else "")
    assert caught.value.hint


def test_seconds_that_are_no_whole_steps_are_refused():
    with pytest.raises(UsageError, match="observed_seconds"):
        EthUcyConfig(observed_seconds=3.0).observations()


def errors(data: ScenarioDataset, factor: float) -> tuple[float, float]:
    """ADE and FDE of `position + factor * velocity * t` over the scored agents of the test windows."""
    windows, spec = data.windows("test"), data.obs_spec.get("agents.state")
    position, velocity = ([spec.index(n) for n in names] for names in (("x", "y"), ("vx", "vy")))
    per_step = []
    for start in range(0, len(windows), 100):
        batch = windows.batch(range(start, min(len(windows), start + 100)))
        state = batch["agents.state"].numpy().astype(np.float64).swapaxes(1, 2)[batch["agents.scored"].numpy()]
        t = 0.4 * np.arange(1, 13)[:, None]
        last = state[:, 7:8]
        predicted = last[..., position] + factor * last[..., velocity] * t
        per_step.append(np.hypot(*np.moveaxis(predicted - state[:, 8:][..., position], -1, 0)))
    distance = np.concatenate(per_step)
    return float(distance.mean()), float(distance[:, -1].mean())


# Zero and constant velocity, ADE / FDE in metres, convention sgan: computed once from the same files, independently of this reader.
BASELINES = {
    "eth": ((2.843, 4.824), (0.995, 2.234)),
    "hotel": ((1.150, 2.089), (0.323, 0.617)),
    "univ": ((1.359, 2.474), (0.524, 1.165)),
    "zara1": ((2.506, 4.612), (0.431, 0.960)),
    "zara2": ((1.377, 2.532), (0.326, 0.728)),
}


@pytest.mark.parametrize("fold", FOLDS)
def test_the_standard_files_give_the_published_counts_and_baselines(fold, recordings):
    place = recordings("eth_ucy")
    for convention in ("sgan", "all"):
        data = dataset(place, fold=fold, convention=convention, assert_counts=True)
        report = data.windows("test").report()
        assert (report["windows"], report["agents"]) == module.STANDARD_COUNTS[convention][fold]
        assert report["agents dropped over max_agents"] == 0
        if convention == "sgan":
            for factor, expected in zip((0.0, 1.0), BASELINES[fold], strict=True):
                assert tuple(round(e, 3) for e in errors(data, factor)) == expected


def test_the_folds_json_of_the_pack_is_the_standard_membership(recordings, tmp_path):
    place = recordings("eth_ucy") / "raw"
    (tmp_path / "all_data").mkdir()
    for fold in FOLDS:
        assert module.membership(place, fold) == module.membership(tmp_path, fold)
