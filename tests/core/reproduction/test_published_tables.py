"""Published tables: what is kept, what differs from them, and that those in the package belong to the tables of today.

With `TWM_TABLES=DIR` every table that `twm reproduce NAME --out DIR` wrote there is compared with the published one.
"""

from __future__ import annotations

import copy
import json
import os
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

from twm_core.evaluation.evaluate import Request, evaluate
from twm_core.plugin.registry import Registry
from twm_core.reproduction.published import differences, published, to_publish
from twm_core.reproduction.table import load_table, table_names

TABLES = [name for name in table_names() if published(name) is not None]
SHARED = Path(__file__).resolve().parents[3].parent / "shared" / "data"


def a_result() -> dict[str, Any]:
    return {
        "table": "tiny",
        "rows": {
            "steady": {"one": {"ade": 0.5, "fde": None}, "two": {"ade": 1.0, "fde": 2.0}, "mean": {"ade": 0.75, "fde": None}},
            "ours": {"one": {"ade": 0.41234567, "fde": 1.0}, "two": {"ade": 0.9, "fde": 2.0}, "mean": {"ade": 0.65, "fde": 1.5}},
        },
        "seeds": {"steady": {"None": {}}, "ours": {"0": {}, "1": {}}},
        "protocol": {p: {"protocol hash": "abc", "data": f"data of {p}", "windows": "9"} for p in ("one", "two")},
        "costs": {"cpu_seconds": 1.0, "jobs": {"long": {}}},
        "machine": {"cores": 2},
        "software": {"twm": "0"},
    }


def changed(**path: Any) -> dict[str, Any]:
    result = copy.deepcopy(a_result())
    for words, value in path.items():
        *way, last = words.split("__")
        place = result
        for word in way:
            place = place[word]
        place[last] = value
    return result


KNOWN = json.loads(json.dumps(to_publish(a_result(), ["ade", "fde"])))


def test_what_is_published_is_the_shown_scores_without_the_jobs() -> None:
    assert KNOWN["rows"]["ours"]["one"] == {"ade": 0.412346, "fde": 1.0}
    assert KNOWN["costs"] == {"cpu_seconds": 1.0}
    assert KNOWN["seeds"] == {"steady": ["None"], "ours": ["0", "1"]}
    assert to_publish(a_result(), ["fde"])["rows"]["steady"]["two"] == {"fde": 2.0}


def test_the_same_table_agrees_and_models_may_differ_a_little() -> None:
    assert differences(a_result(), KNOWN) == []
    assert differences(changed(rows__ours__two__ade=0.94), KNOWN) == []


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (changed(rows__ours__two__ade=0.96), "ours, two: ade is 0.96, published is 0.9"),
        (changed(rows__ours__two__fde=None), "ours, two: fde is None, published is 2.0"),
        (changed(rows__steady__one__ade=0.501), "steady, one: ade is 0.501, published is 0.5"),
        (changed(protocol__two__data="others"), "two: data is another one"),
        (changed(**{"protocol__one__protocol hash": "xyz"}), "one: protocol hash is another one"),
        (changed(rows__new={"one": {"ade": 1.0}}, seeds__new={"0": {}}), "row new was not published"),
    ],
)
def test_what_differs_is_said(found: dict[str, Any], said: str) -> None:
    assert differences(found, KNOWN) == [said]


def test_other_seeds_and_the_mean_over_fewer_parts_are_not_compared() -> None:
    assert differences(changed(seeds__ours={"0": {}}, rows__ours__one__ade=9.0), KNOWN) == []
    fewer = changed(rows__steady__mean__ade=0.5)
    del fewer["protocol"]["two"]
    assert differences(fewer, KNOWN) == []


def test_a_row_that_was_left_out_is_not_compared() -> None:
    found = changed(rows__new={"one": {"ade": 1.0}}, seeds__new={"0": {}})
    assert differences(found, {**KNOWN, "left_out": ["new"]}) == []


@pytest.mark.parametrize("name", TABLES)
def test_a_published_table_belongs_to_the_table_of_today(name: str) -> None:
    _, table = load_table(name)
    known = published(name)
    assert known is not None
    assert {*known["rows"], *known["left_out"]} == {r.name for r in table.rows}
    for row in (r for r in table.rows if r.name not in known["left_out"]):
        wanted = ["None"] if row.model is None else [str(s) for s in table.seeds[: table.models[row.model].seeds]]
        assert known["seeds"][row.name] == wanted
        assert set(table.names) <= set(known["rows"][row.name])
    for bar in table.bars:
        assert known["rows"][bar.row]["mean"][bar.score] is not None


def test_there_is_no_figure_without_a_table() -> None:
    place = resources.files("twm_core.reproduction").joinpath("figures")
    assert not place.is_dir() or {f.name.removesuffix(".json") for f in place.iterdir()} <= set(table_names())


@pytest.mark.skipif("ethucy" not in TABLES, reason="the table ethucy is not published yet")
def test_constant_velocity_on_the_recordings_is_what_was_published(registry: Registry) -> None:
    """One fold of the published table is made again; the folds' windows, positions and protocol are those that were scored then."""
    place = SHARED / "eth_ucy"
    if not place.is_dir():
        pytest.skip("the recordings eth_ucy are not on this machine")
    known = published("ethucy")
    assert known is not None
    request = Request(
        protocol="ethucy-sgan",
        baselines=("constant-velocity",),
        overrides={"dataset.path": str(place), "protocol.ethucy-sgan.fold": "zara1"},
    )
    found = evaluate(request, registry=registry)
    scores = found["forecasters"]["constant-velocity"]["scores"]
    for score in ("ade", "fde"):
        assert scores[score] == pytest.approx(known["rows"]["constant velocity"]["zara1"][score], rel=1e-4)
    assert found["comparable"]["protocol hash"] == known["protocol"]["zara1"]["protocol hash"]
    assert found["comparable"]["data"] == known["protocol"]["zara1"]["data"]


@pytest.mark.parametrize("name", TABLES)
def test_a_table_that_was_made_again_agrees_with_the_published_one(name: str) -> None:
    path = Path(os.environ.get("TWM_TABLES", "")) / f"{name}.json"
    if "TWM_TABLES" not in os.environ or not path.is_file():
        pytest.skip("set TWM_TABLES to a folder that `twm reproduce` wrote to")
    known = published(name)
    assert known is not None
    assert differences(json.loads(path.read_text()), known) == []
