"""Bad input of every kind: exactly one error that says what is wrong, exit status 2, no traceback.

`TwmError` is printed by `main`; any other exception leaves it, so a test that gets an `Outcome` has seen no traceback.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from twm_core.checkpoint.manifest import MANIFEST, MODEL, TRAINER, RunFolder

Call = Callable[..., Any]
TINY = Path(__file__).parents[1] / "tiny.toml"
HINT = "hint: "


def one_error(outcome: Any, *texts: str) -> None:
    """Status 2, and one error with one hint that holds these texts."""
    assert outcome.status == 2, outcome.err
    lines = outcome.err.splitlines()
    errors = [i for i, line in enumerate(lines) if line.startswith("error: ")]
    assert len(errors) == 1, outcome.err
    said = "\n".join(lines[errors[0] :])
    assert sum(line.startswith(HINT) for line in lines) == 1, outcome.err
    assert lines[-1].startswith(HINT)
    assert len(lines[-1]) > len(HINT) + 5
    assert "Traceback" not in outcome.err + outcome.out
    assert outcome.out == ""
    for text in texts:
        assert text in said, said


@pytest.fixture(scope="session")
def trained_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from twm_cli.main import main

    run = tmp_path_factory.mktemp("trained") / "run"
    assert main(["train", "-c", str(TINY), "--run", str(run), "--steps", "3", "--training.checkpoint_every", "2"]) == 0
    return run


@pytest.fixture
def run(trained_once: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained_once, tmp_path / "run"))


@pytest.fixture
def train(twm: Call, tmp_path: Path) -> Call:
    """`twm train` on the tiny recipe."""

    def call(*words: object) -> Any:
        given = [str(w) for w in words]
        return twm("train", "-c", TINY, *([] if "--run" in given else ["--run", tmp_path / "new"]), *given)

    return call


# Words and files -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "texts"),
    [
        (["--dynamics", "rssm-cta"], ["no dynamics is called 'rssm-cta'", "did you mean 'rssm-cat'"]),
        (["--encoder", "absent"], ["no encoder is called 'absent'; installed: multiagent"]),
        (["--dynamics.hiden", "8"], ["--dynamics.hiden"]),
        (["--set", "dynamics.hiden=8"], ["dynamics.hiden", "has no field 'hiden'", "hidden"]),
        (["--dynamics.hidden", "many"], ["--dynamics.hidden", "'many'"]),
        (["--dynamics.hidden", "0"], ["--dynamics.hidden", "0"]),
        (["--set", "dynamics.hidden=0"], ["dynamics.hidden = 0", "option --set"]),
        (["--set", "training.lr=nan"], ["training.lr"]),
        (["--set", "nothing.at.all=1"], ["unknown table 'nothing'"]),
        (["--dynamics.deter", "15"], ["deter 15 is not a multiple of blocks 2"]),
        (["--set", "dataset.train_sites=['nowhere']"], ["no site 'nowhere'"]),
    ],
    ids=lambda x: "-".join(x)[:40] if isinstance(x, list) else None,
)
def test_a_bad_word(train: Call, tmp_path: Path, words: list[str], texts: list[str]) -> None:
    one_error(train(*words), *texts)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("text", "texts"),
    [
        ('[dynamics]\ncomponent = "absent"\n', ["no dynamics is called 'absent'"]),
        ('[dynamics]\ncomponent = "gru"\nhiden = 3\n', ["bad.toml", "has no field 'hiden'"]),
        ('[dynamics]\ncomponent = "gru"\nhidden = "many"\n', ["dynamics.hidden = 'many'", "bad.toml"]),
        ("[training]\nsteps = -1\n", ["training.steps = -1", "bad.toml"]),
        ("[trainig]\nsteps = 1\n", ["bad.toml", "unknown table 'trainig'"]),
        ("[loss]\nweight = 3\n", ["loss.weight = 3", "write loss.NAME.weight"]),
        ("[dynamics\n", ["bad.toml is not TOML"]),
        ("\xff\xfe", ["bad.toml is not TOML"]),
    ],
)
def test_a_bad_file(train: Call, tmp_path: Path, text: str, texts: list[str]) -> None:
    (tmp_path / "bad.toml").write_bytes(text.encode("latin-1"))
    one_error(train("-c", tmp_path / "bad.toml"), *texts)


def test_a_recipe_file_that_is_not_there(train: Call, tmp_path: Path) -> None:
    one_error(train("-c", tmp_path / "absent.toml"), "cannot read recipe file", "absent.toml")


def test_a_recipe_that_does_not_fit_names_both_sides(train: Call) -> None:
    outcome = train("--set", "encoder.multiagent.pooling=none", "--dynamics.layout", "scene")
    one_error(outcome, "dynamics rssm-cat (twm ", "encoder multiagent (twm ", "needs a scene token", "set layout to 'agents' or 'auto'")


@pytest.mark.parametrize(
    ("device", "text"),
    [("cuda", "this torch sees no GPU"), ("cuda:7", ""), ("abacus", "is not a device"), ("meta", "is not supported")],
)
def test_a_device_that_is_not_there(train: Call, device: str, text: str) -> None:
    import torch

    if device == "cuda" and torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    one_error(train("--training.device", device), f"training.device = {device!r}", text)


# Data ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dataset", ["commonroad", "ethucy"])
def test_a_data_folder_that_is_not_given_not_there_or_empty(train: Call, tmp_path: Path, dataset: str) -> None:
    (tmp_path / "empty").mkdir()
    words = ["--dataset", dataset, "--set", "decoder.agents.prior=constant-velocity"]
    one_error(train(*words), f"dataset {dataset}: no path was given")
    one_error(train(*words, "--dataset.path", tmp_path / "absent"), "absent")
    one_error(train(*words, "--dataset.path", tmp_path / "empty"), "empty")
    assert not (tmp_path / "new").exists()


STATE = """<{tag}><position><point><x>{x}</x><y>1.0</y></point></position><orientation><exact>0.0</exact></orientation>
<time><exact>{t}</exact></time><velocity><exact>10.0</exact></velocity></{tag}>"""
ROAD = """<?xml version="1.0"?>
<commonRoad timeStepSize="0.1" commonRoadVersion="2018b" benchmarkID="USA_US101-1_1_T-1">
<obstacle id="7"><role>dynamic</role><type>car</type><shape><rectangle><length>4.5</length><width>1.8</width></rectangle></shape>
{first}<trajectory>{second}</trajectory></obstacle></commonRoad>
"""


@pytest.mark.parametrize(
    ("text", "texts"),
    [
        ("<commonRoad", ["USA.xml", "not well-formed XML"]),
        ("<other/>", ["USA.xml", "the root element is <other>"]),
        (
            ROAD.format(first=STATE.format(tag="initialState", x=0.0, t=0), second=STATE.format(tag="state", x="nan", t=1)),
            ["USA.xml", "obstacle 7", "nan, not a finite number"],
        ),
        (
            ROAD.format(first=STATE.format(tag="initialState", x="left", t=0), second=STATE.format(tag="state", x=1.0, t=1)),
            ["USA.xml", "obstacle 7", "'left', not a number"],
        ),
    ],
    ids=["cut", "other", "nan", "word"],
)
def test_a_malformed_commonroad_file_is_named_with_its_track(train: Call, tmp_path: Path, text: str, texts: list[str]) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "USA.xml").write_text(text)
    one_error(train("--dataset", "commonroad", "--dataset.path", tmp_path / "data"), *texts)


@pytest.mark.parametrize(
    ("row", "texts"),
    [
        ("20 1 nan 0.5", ["a.txt, row 3", "'20 1 nan 0.5'", "not finite"]),
        ("20 1 0.5", ["a.txt, row 3", "has 3 columns"]),
        ("20 1 here there", ["a.txt, row 3", "is not four numbers"]),
        ("10 1 3 4", ["a.txt, row 3", "frame 10, pedestrian 1 stands in row 2 already"]),
    ],
)
def test_a_malformed_row_of_ethucy_is_named_with_its_file_and_track(train: Call, tmp_path: Path, row: str, texts: list[str]) -> None:
    raw = tmp_path / "data" / "raw"
    (raw / "train").mkdir(parents=True)
    (raw / "train" / "a.txt").write_text(f"0 1 1.0 2.0\n10 1 1.5 2.0\n{row}\n")
    folds = {"eth": {split: ["train/a.txt"] for split in ("train", "val", "test")}}
    (tmp_path / "data" / "folds.json").write_text(json.dumps(folds))
    words = ["--dataset", "ethucy", "--dataset.path", tmp_path / "data", "--set", "decoder.agents.prior=constant-velocity"]
    one_error(train(*words), *texts)


# Run folders -----------------------------------------------------------------------------------------------------


def test_resuming_without_a_run(twm: Call, tmp_path: Path) -> None:
    one_error(twm("train", "--resume"), "--resume does not know which run to continue", "--run DIR --resume")
    one_error(twm("train", "--resume", "--run", tmp_path / "absent"), "is not a run folder: it has no recipe.toml", "leave --resume out")


def test_resuming_a_run_that_was_killed_before_its_first_checkpoint(twm: Call, run: Path) -> None:
    shutil.rmtree(run / "checkpoints")
    one_error(twm("train", "--resume", "--run", run), f"run folder {run} has no complete checkpoint", "leave --resume out")


def test_starting_a_run_that_was_killed_in_its_first_save_works(train: Call, run: Path) -> None:
    shutil.rmtree(run / "checkpoints")
    (run / "checkpoints" / f".unfinished-{'0' * 32}-step-2").mkdir(parents=True)
    assert train("--run", run, "--steps", "2").status == 0
    assert RunFolder(run).names() == ["step-2"]
    assert not list(run.rglob(".unfinished*"))


def test_a_run_folder_that_holds_checkpoints(train: Call, run: Path) -> None:
    one_error(train("--run", run), "already holds checkpoints, and a run is never overwritten", "--resume")


def test_a_run_folder_that_is_a_file_or_below_one(train: Call, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    one_error(train("--run", tmp_path / "file"), f"run folder {tmp_path}/file is a file")
    one_error(train("--run", tmp_path / "file" / "run"), f"cannot write run folder {tmp_path}/file/run: Not a directory")


def test_a_run_folder_that_cannot_be_written(train: Call, tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may write everywhere")
    (tmp_path / "locked").mkdir(mode=0o500)
    one_error(train("--run", tmp_path / "locked" / "run"), "cannot write run folder", "Permission denied", "no checkpoint yet")


def test_a_place_where_nobody_can_make_a_folder(train: Call) -> None:
    if not Path("/proc/self").exists():
        pytest.skip("there is no /proc")
    one_error(train("--run", "/proc/twm-run"), "cannot write run folder /proc/twm-run", "choose another --run folder")


@pytest.mark.parametrize("lr", ["1e30", "1e38"])
def test_a_diverged_training_keeps_what_was_saved(train: Call, tmp_path: Path, lr: str) -> None:
    words = ["--set", f"training.lr={lr}", "--training.warmup", "0", "--training.checkpoint_every", "1"]
    one_error(train(*words), "finite", "lower training.lr")
    for name in RunFolder(tmp_path / "new").names():
        assert (tmp_path / "new" / "checkpoints" / name / MODEL).is_file()


# Checkpoints -----------------------------------------------------------------------------------------------------


def rewrite(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    manifest = json.loads((folder / MANIFEST).read_text())
    change(manifest)
    (folder / MANIFEST).write_text(json.dumps(manifest))


def truncate(folder: Path) -> None:
    (folder / MODEL).write_bytes((folder / MODEL).read_bytes()[:-100])


def flip(folder: Path) -> None:
    data = bytearray((folder / MODEL).read_bytes())
    data[-20] ^= 4
    (folder / MODEL).write_bytes(data)


def remove_trainer(folder: Path) -> None:
    (folder / TRAINER).unlink()


def remove_manifests(folder: Path) -> None:
    for other in folder.parent.glob("step-*"):
        (other / MANIFEST).unlink()


def cut_manifest(folder: Path) -> None:
    (folder / MANIFEST).write_text((folder / MANIFEST).read_text()[:200])


def other_schema(folder: Path) -> None:
    rewrite(folder, lambda m: m.update(schema=99))


def other_hash(folder: Path) -> None:
    rewrite(folder, lambda m: m["files"][MODEL].update(sha256="0" * 64))


def no_components(folder: Path) -> None:
    rewrite(folder, lambda m: m.pop("components"))


def not_installed(folder: Path) -> None:
    rewrite(folder, lambda m: m["components"][2].update(name="leaky", distribution="acme-worlds", version="1.2.3"))


def newer_layout(folder: Path) -> None:
    rewrite(folder, lambda m: m["components"][2].update(layout_version=9))


def older_layout(folder: Path) -> None:
    rewrite(folder, lambda m: m["components"][2].update(layout_version=0))


def other_shape(folder: Path) -> None:
    rewrite(folder, lambda m: m["components"][2]["config"].update(deter=32))


DAMAGE: dict[Callable[[Path], None], list[str]] = {
    truncate: [MODEL, "is truncated or has been changed"],
    flip: [MODEL, "is not the file that was saved", "use another checkpoint"],
    remove_trainer: ["there is no file", TRAINER],
    remove_manifests: ["has no complete checkpoint"],
    cut_manifest: [MANIFEST, "is damaged"],
    other_schema: ["has schema 99; this twm reads 2", "use a matching version of twm"],
    other_hash: [MODEL, "its sha256 differs from the manifest's"],
    no_components: [MANIFEST, "is damaged: components"],
}
COMMANDS = {
    "eval": ["eval", "RUN", "--checkpoint", "latest", "--windows", "1"],
    "resume": ["train", "--run", "RUN", "--resume", "--steps", "4"],
    "inspect": ["inspect", "RUN", "--checkpoint", "latest"],
}


def call(twm: Call, command: str, run: Path) -> Any:
    return twm(*[str(run) if word == "RUN" else word for word in COMMANDS[command]])


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("damage", DAMAGE, ids=lambda d: d.__name__)
def test_a_damaged_checkpoint(twm: Call, run: Path, damage: Callable[[Path], None], command: str) -> None:
    damage(RunFolder(run).find("latest"))
    one_error(call(twm, command, run), *DAMAGE[damage])


@pytest.mark.parametrize("command", ["eval", "resume"])
def test_a_checkpoint_of_a_plugin_that_is_not_installed(twm: Call, run: Path, command: str) -> None:
    not_installed(RunFolder(run).find("latest"))
    if command == "resume":  # the recipe of such a run names the component as well
        recipe = (run / "recipe.toml").read_text()
        (run / "recipe.toml").write_text(recipe.replace('"rssm-cat"', '"leaky"'))
    one_error(call(twm, command, run), "dynamics leaky of acme-worlds 1.2.3, which is not installed", "pip install acme-worlds==1.2.3")


@pytest.mark.parametrize("command", ["eval", "resume"])
@pytest.mark.parametrize(("damage", "layout"), [(newer_layout, 9), (older_layout, 0)])
def test_a_checkpoint_of_another_layout(twm: Call, run: Path, command: str, damage: Callable[[Path], None], layout: int) -> None:
    damage(RunFolder(run).find("latest"))
    one_error(call(twm, command, run), f"layout {layout} of dynamics rssm-cat (twm ", "the installed one is 1")


def test_a_checkpoint_whose_manifest_asks_for_other_shapes(twm: Call, run: Path) -> None:
    other_shape(RunFolder(run).find("latest"))
    one_error(call(twm, "eval", run), "does not fit", "dynamics rssm-cat (twm ", "expected torch.float32")


def test_what_is_not_installed_can_be_inspected(twm: Call, run: Path) -> None:
    not_installed(RunFolder(run).find("latest"))
    outcome = call(twm, "inspect", run)
    assert outcome.status == 0, outcome.err
    assert "acme-worlds" in outcome.out


def test_a_run_that_is_not_there(twm: Call, tmp_path: Path) -> None:
    for command in ("eval", "inspect"):
        one_error(call(twm, command, tmp_path / "absent"), "there is no run folder", "absent")


def test_a_split_or_checkpoint_that_is_not_there(twm: Call, run: Path) -> None:
    one_error(twm("eval", run, "--split", "tset"), "there is no split 'tset'", "train, val, test")
    one_error(twm("eval", run, "--checkpoint", "step-77"), "has no checkpoint 'step-77'", "it has step-")
