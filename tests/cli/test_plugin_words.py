"""`plugins.block`, `allow` and `require` hold before any plugin is imported, in every command and however they are written."""

from __future__ import annotations

import importlib
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from twm_cli.eval.command import command as eval_command
from twm_cli.options.plugin_words import EVAL_TAKES_VALUE
from twm_cli.options.session import Session

Call = Callable[..., Any]
TINY = Path(__file__).parents[1] / "tiny.toml"
BLOCK = 'block = ["acme-spy"]'


@pytest.fixture
def spy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An installed plugin that leaves a file when it is imported; the path of that file."""
    site, mark = tmp_path / "site", tmp_path / "imported"
    info = site / "acme_spy-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-spy\nVersion: 1.0\n", encoding="utf-8")
    (info / "entry_points.txt").write_text("[twm]\nspy = acme_spy\n", encoding="utf-8")
    (site / "acme_spy.py").write_text(f"open({str(mark)!r}, 'w').close()\n", encoding="utf-8")
    monkeypatch.syspath_prepend(str(site))
    for name in ("TWM_PLUGINS", "TWM_DISABLE_PLUGINS"):
        monkeypatch.delenv(name, raising=False)
    importlib.invalidate_caches()
    yield mark
    sys.modules.pop("acme_spy", None)


@pytest.fixture
def imported(twm: Call, spy: Path) -> Callable[..., bool]:
    """Whether a command imports the plugin; it must end with this status."""

    def call(*words: str | Path, status: int = 0) -> bool:
        sys.modules.pop("acme_spy", None)
        spy.unlink(missing_ok=True)
        done = twm(*words)
        assert done.status == status, done.err
        return spy.exists()

    return call


def recipe(folder: Path, text: str = BLOCK, name: str = "rules.toml") -> Path:
    (folder / name).write_text(f"[plugins]\n{text}\n", encoding="utf-8")
    return folder / name


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of the tiny recipe. Copy it before changing anything."""
    from twm_core.plugin.registry import discover
    from twm_core.recipe.assembly import assemble
    from twm_core.recipe.layers import file_layer, option_layer, resolve
    from twm_core.training.run import train

    registry, run = discover(environ={}), tmp_path_factory.mktemp("spied") / "run"
    layers = [file_layer(TINY), option_layer("training.steps", 1, "test"), option_layer("training.validate_every", 1, "test")]
    train(assemble(resolve(layers), registry), registry, run)
    return run


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    shutil.copytree(trained, tmp_path / "run")
    return tmp_path / "run"


def block_in(run: Path, text: str = BLOCK) -> None:
    file = run / "recipe.toml"
    file.write_text(f"{file.read_text(encoding='utf-8')}\n[plugins]\n{text}\n", encoding="utf-8")


@pytest.mark.parametrize("command", ["check", "config"])
@pytest.mark.parametrize(
    "words",
    [
        ("--plugins.block", '["acme-spy"]'),
        ('--plugins.block=["acme-spy"]',),
        ("--plugins.allow", '["twm"]'),
        ("--set", 'plugins.block=["acme-spy"]'),
        ("--set", 'plugins={block=["acme-spy"]}'),
        ("-c", "FILE"),
        ("-cFILE",),
        ("--config=FILE",),
        ("--plugins.block", "[]", "--plugins.block", '["acme-spy"]'),
        ("--set", 'plugins.block=["acme-spy"]', "-c", "OTHER"),
    ],
)
def test_every_way_to_write_it_holds(imported: Callable[..., bool], tmp_path: Path, command: str, words: tuple[str, ...]) -> None:
    files = {"FILE": str(recipe(tmp_path)), "OTHER": str(recipe(tmp_path, "block = []", "other.toml"))}
    for name, file in files.items():
        words = tuple(word.replace(name, file) for word in words)
    assert not imported(command, *words)
    assert imported(command)


@pytest.mark.parametrize(
    "words",
    [
        ("-c", "FILE", "--plugins.block", "[]"),
        ("--plugins.block", '["acme-spy"]', "--set", "plugins.block=[]"),
        ("-c", "FILE", "-c", "OTHER"),
    ],
)
def test_the_last_value_counts_and_options_come_after_files(imported: Callable[..., bool], tmp_path: Path, words: tuple[str, ...]) -> None:
    files = {"FILE": str(recipe(tmp_path)), "OTHER": str(recipe(tmp_path, "block = []", "other.toml"))}
    assert imported("check", *(files.get(word, word) for word in words))


@pytest.mark.parametrize("workers", [0, 1])
def test_training_and_its_worker_processes(imported: Callable[..., bool], tmp_path: Path, workers: int) -> None:
    words = ("train", "-c", TINY, "--steps", "1", "--training.workers", str(workers))
    assert not imported(*words, "--run", tmp_path / "a", "--plugins.block", '["acme-spy"]')


def test_a_run_that_is_resumed(imported: Callable[..., bool], run: Path) -> None:
    assert imported("train", "--run", run, "--resume", "--dry-run")
    block_in(run)
    assert not imported("train", "--run", run, "--resume", "--dry-run")


def test_the_run_that_is_evaluated_and_the_one_that_it_is_compared_with(imported: Callable[..., bool], run: Path, tmp_path: Path) -> None:
    few = ("--windows", "1", "--samples", "1", "--baseline", "zero-velocity")
    assert imported("eval", run, *few)
    other = tmp_path / "other"
    shutil.copytree(run, other)
    block_in(run)
    step = next((run / "checkpoints").glob("step-*"))
    for target in (run, step, step / "model.safetensors"):
        assert not imported("eval", *few, target)
    assert not imported("eval", other, *few, "--against", run)
    assert imported("eval", run, *few, "--set", "plugins.block=[]")
    assert not imported("eval", other, *few, "--set", 'plugins.block=["acme-spy"]')


def test_baselines_alone(imported: Callable[..., bool]) -> None:
    words = ("eval", "--dataset", "highway", "--baseline", "zero-velocity", "--windows", "1", "--set", "dataset.run_seconds=8")
    words += ("--set", "dataset.runs=1", "--set", "dataset.evaluation_runs=1")
    assert not imported(*words, "--set", 'plugins.block=["acme-spy"]')


def test_a_table_that_is_reproduced(imported: Callable[..., bool], tmp_path: Path) -> None:
    table = tmp_path / "small.toml"
    text = 'protocol = "motorway"\nshown = ["ade"]\n[about]\nsummary = "A test."\n[models.m]\npreset = "traffic-wm"\n'
    text += '{}[[rows]]\nname = "m"\nmodel = "m"\n'
    table.write_text(text.format(""), encoding="utf-8")
    words = ("reproduce", table, "--data", tmp_path / "absent", "--out", tmp_path / "out")
    assert imported(*words, status=2)
    table.write_text(text.format('[models.m.options]\n"plugins.block" = ["acme-spy"]\n'), encoding="utf-8")
    assert not imported(*words, status=2)


@pytest.mark.parametrize(
    "command", [("list-plugins",), ("describe", "loss/huber"), ("check-plugin", "twm", "--component", "loss/huber"), ()]
)
def test_commands_without_a_recipe_keep_to_the_environment(
    imported: Callable[..., bool], monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    monkeypatch.setenv("TWM_DISABLE_PLUGINS", "acme-spy")
    assert not imported(*command)


def test_inspect_and_the_version_import_no_plugin(imported: Callable[..., bool], run: Path) -> None:
    assert not imported("inspect", run)
    assert not imported("--version")


def test_completion(
    imported: Callable[..., bool], spy: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = tmp_path / "broken.toml"
    broken.write_text("[plugins", encoding="utf-8")
    for rules in (f"-c {recipe(tmp_path)}", "--set 'plugins.block=[\"acme-spy\"]'", "--plugins.block '[\"acme-spy\"]'", f"-c {broken}"):
        words = f"twm check {rules} --dynamics "
        for name, value in {"_TWM_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(len(words.split()))}.items():
            monkeypatch.setenv(name, value)
        with pytest.raises(SystemExit) as ended:
            imported()
        assert ended.value.code == 0
        assert "gru" in capsys.readouterr().out
        assert not spy.exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('block = "acme-spy"', "plugins.block = 'acme-spy' (from {}): Input should be a valid tuple"),
        ("[plugins.block]", "plugins.block = {{}} (from {})"),
        ('blocks = ["acme-spy"]', "the table plugins has no field 'blocks'; did you mean 'block'?"),
    ],
)
def test_what_is_malformed_is_an_error_before_any_import(
    imported: Callable[..., bool], twm: Call, run: Path, tmp_path: Path, text: str, message: str
) -> None:
    file = recipe(tmp_path, text)
    assert not imported("check", "-c", file, status=2)
    assert message.format(file) in twm("check", "-c", file).err
    block_in(run, text)
    assert not imported("eval", run, status=2)
    assert message.format(run / "recipe.toml") in twm("eval", run).err
    assert not imported("check", "--plugins.block", "acme-spy", status=2)


def test_what_a_recipe_requires_is_refused_before_any_import_and_not_needed_for_help(
    imported: Callable[..., bool], twm: Call, run: Path
) -> None:
    block_in(run, 'require = ["acme-spy>=2"]')
    assert not imported("eval", run, status=2)
    done = twm("eval", run)
    assert f"plugins.require (from {run / 'recipe.toml'}) asks for acme-spy>=2, installed is acme-spy 1.0" in done.err
    assert not imported("check", "--plugins.require", '["acme-spy>=2"]', status=2)
    assert imported("check", "--plugins.require", '["acme-spy>=1"]')
    assert imported("check", "--plugins.require", '["acme-spy>=2"]', "--help")


def test_the_reader_knows_every_option_of_eval_that_takes_a_value() -> None:
    import typer

    app = typer.Typer()
    app.command()(eval_command(Session(command="eval", words=(), files=(), built_in=())))
    known = {flag for p in typer.main.get_command(app).params if p.param_type_name == "option" and not p.is_flag for flag in p.opts}
    assert known - {"--help", "--install-completion", "--show-completion"} == set(EVAL_TAKES_VALUE)
