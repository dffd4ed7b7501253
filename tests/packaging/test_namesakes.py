"""An installed distribution that reuses names of twm, with components that raise, changes no command that does not name them."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from twm_cli.main import main
from twm_core.errors import AmbiguousComponentError
from twm_core.evaluation.components import choose_protocol
from twm_core.evaluation.evaluate import Request, evaluate
from twm_core.evaluation.selection import choose_baselines, choose_metrics
from twm_core.plugin.registry import Registry, discover
from twm_core.recipe.assembly import assemble
from twm_core.recipe.chosen import choose
from twm_core.recipe.layers import file_layer, option_layer, resolve
from twm_core.reproduction.jobs import jobs_of
from twm_core.reproduction.table import Table, load_table, table_names
from twm_core.reproduction.worker import qualified
from twm_core.training.run import train

TINY = Path(__file__).parents[1] / "tiny.toml"
NAMES = {
    "dataset": ("highway", "waves"),
    "metric": ("displacement", "existence"),
    "baseline": ("constant-velocity", "kalman", "quick"),
    "loss": ("huber", "kl"),
    "dynamics": ("rssm-cat",),
    "encoder": ("multiagent",),
    "optimizer": ("adamw",),
    "renderer": ("bird",),
}
CLASH = f"""
from twm_core import Component, ProtocolConfig, hookimpl

NAMES = {NAMES!r}


class Exam(ProtocolConfig):
    def dataset(self):
        return "highway", {{}}

    def futures(self):
        return 1

    def metrics(self):
        return {{"displacement": {{}}, "miss-rate": {{}}}}

    def baselines(self):
        return {{"quick": {{}}, "zero-velocity": {{}}}}


@hookimpl
def twm_components():
    where = {{"config": "acme_nowhere:Config", "build": "acme_nowhere:build"}}
    rows = [Component(kind=k, name=n, summary="A test.", **where) for k in NAMES for n in NAMES[k]]
    exam = Component(kind="protocol", name="exam", summary="A test.", config="acme_clash:Exam", build="twm_core.evaluation.protocol:build")
    return [*rows, exam]
"""


@pytest.fixture(scope="module")
def clash(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The distribution `acme-clash` is installed."""
    site = tmp_path_factory.mktemp("site")
    info = site / "acme_clash-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-clash\nVersion: 1.0\n", encoding="utf-8")
    (info / "entry_points.txt").write_text("[twm]\nclash = acme_clash\n", encoding="utf-8")
    (site / "acme_clash.py").write_text(CLASH, encoding="utf-8")
    sys.path.insert(0, str(site))
    importlib.invalidate_caches()
    yield
    sys.path.remove(str(site))
    sys.modules.pop("acme_clash", None)


@pytest.fixture
def clashing(clash: None) -> Registry:
    registry = discover(environ={})
    assert registry.shared("dataset", "highway")
    assert registry.shared("metric", "displacement")
    return registry


@pytest.fixture
def twm(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    def call(*words: str | Path) -> tuple[int, str, str]:
        capsys.readouterr()
        status = main([str(w) for w in words])
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return call


@pytest.mark.parametrize("words", [(), ("--preset", "traffic-wm"), ("--training.steps", "3")])
def test_recipes_that_name_no_component_mean_those_of_twm(clash: None, twm: Callable[..., Any], words: tuple[str, ...]) -> None:
    status, out, err = twm("check", "--json", *words)
    assert status == 0, err
    parts = json.loads(out)["parts"]
    assert {part["distribution"] for each in parts.values() for part in each} == {"twm"}


def test_the_protocols_of_twm_pass_their_checks(clash: None, twm: Callable[..., Any]) -> None:
    status, out, err = twm("check-plugin", "twm", "--component", "protocol/motorway")
    assert status == 0, out + err


@pytest.mark.parametrize("words", [("--dataset", "highway"), ("--loss", "huber")])
def test_a_bare_name_that_the_user_writes_is_an_error_that_says_what_to_write(
    clash: None, twm: Callable[..., Any], words: tuple[str, str]
) -> None:
    status, _, err = twm("check", *words)
    assert status == 2
    assert f"hint: say acme-clash:{words[1]} or twm:{words[1]}" in err
    assert twm("check", words[0], f"twm:{words[1]}")[0] == 0


def test_a_run_is_evaluated_to_the_same_numbers(clashing: Registry, tmp_path: Path) -> None:
    plain = discover(environ={"TWM_DISABLE_PLUGINS": "acme-clash"})
    plan = assemble(resolve([file_layer(TINY), option_layer("training.steps", 1, "test")]), plain)
    train(plan, plain, tmp_path / "run")
    request = Request(target=tmp_path / "run", samples=2, windows=1)
    usual, found = (evaluate(request, registry=each) for each in (plain, clashing))
    assert repr(found["forecasters"]) == repr(usual["forecasters"])
    assert {row["name"] for row in found["left_out"]} == {"acme-clash:constant-velocity", "acme-clash:kalman", "quick"}
    assert all("acme_nowhere" in row["why"] for row in found["left_out"])
    compared = [evaluate(request, registry=each, against=tmp_path / "run") for each in (plain, clashing)]
    assert repr(compared[1]["comparison"]) == repr(compared[0]["comparison"])


def test_a_bare_name_in_a_protocol_means_its_own_component_then_that_of_twm(clashing: Registry) -> None:
    exam, motorway = (choose_protocol(clashing, name) for name in ("exam", "motorway"))
    assert (exam.owner, motorway.owner) == ("acme-clash", "twm")
    for protocol, owner in ((exam, "acme-clash"), (motorway, "twm")):
        assert clashing.find("dataset", "highway", own=protocol.owner).plugin.distribution == owner
        assert clashing.find("metric", "displacement", own=protocol.owner).plugin.distribution == owner
        assert clashing.find("metric", "miss-rate", own=protocol.owner).plugin.distribution == "twm"
    with pytest.raises(AmbiguousComponentError):
        clashing.find("dataset", "highway")


def test_the_metrics_and_baselines_of_twm_keep_their_names(clashing: Registry) -> None:
    metrics = choose_metrics(clashing, ["displacement", "existence", "miss-rate"], {}, own="twm")
    assert {name: c.registered.plugin.distribution for name, c in metrics.items()} == dict.fromkeys(metrics, "twm")
    assert list(metrics) == ["displacement", "existence", "miss-rate"]
    seen, _ = choose(clashing, "dataset", "highway", own="twm").config.observations()  # type: ignore[attr-defined]
    baselines, _, failed = choose_baselines(clashing, seen, ["constant-velocity", "quick"], {}, own="twm")
    assert {name: c.registered.plugin.distribution for name, c in baselines.items()} == {"constant-velocity": "twm"}
    assert [row.name for row in failed.rows] == ["quick"]


def test_a_bare_name_in_a_table_of_twm_means_the_component_of_twm(clashing: Registry) -> None:
    table = Table.model_validate(
        {
            "about": {"summary": "A test."},
            "owner": "twm",
            "protocol": "motorway",
            "shown": ["ade"],
            "models": {"one": {"preset": "vehicles", "options": {"dataset.component": "highway", "loss.components": ["huber", "kl"]}}},
            "rows": [
                {"name": "filter", "baseline": "kalman"},
                {"name": "still", "baseline": "zero-velocity"},
                {"name": "one", "model": "one"},
            ],
        }
    )
    model, baselines = (
        qualified({**job.spec, "owner": job.owner}, clashing)
        for job in jobs_of(table, data=Path("data"), out=Path("out"), parts=table.names, seeds=[0], split=None)
    )
    assert model["options"]["dataset.component"] == "twm:highway"
    assert model["options"]["loss.components"] == ["twm:huber", "twm:kl"]
    assert baselines["baselines"] == [["filter", "twm:kalman"], ["still", "zero-velocity"]]
    assert baselines["protocol"] == "motorway"  # no other distribution has one of this name


def test_the_tables_that_come_with_twm_are_its_own() -> None:
    assert {load_table(name)[1].owner for name in table_names()} == {"twm"}
