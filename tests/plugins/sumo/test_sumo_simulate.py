"""`twm data simulate`: a store from one command, always the same, with everything counted."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from twm_cli.main import main
from twm_core.data.scenario import LIGHT_STATES
from twm_core.data.store.reading import open_store
from twm_core.errors import DataError, UsageError
from twm_core.specs import AGENT_TYPES
from twm_sumo.simulate import simulate
from twm_sumo.sites.presets import PRESETS, make_site
from twm_sumo.sites.site import write_network

SHORT = {"seconds": 12.0, "warmup": 15.0}


def contents(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.fixture(scope="module")
def store(sumo, tmp_path_factory):
    """Two crossings with two seeds each."""
    out = tmp_path_factory.mktemp("simulated") / "crossings.twm"
    simulate("intersection", out, sites=2, seeds=2, jobs=2, **SHORT)
    return out


def test_a_store_has_every_site_and_seed_with_its_map_lanes_and_lights(store):
    opened = open_store(store)
    assert len(opened) == 4
    scenarios = [opened.scenario(i) for i in range(4)]
    assert {s.site for s in scenarios} == {"intersection-0", "intersection-1"}
    for s in scenarios:
        assert (s.dt, s.steps) == (pytest.approx(0.1), 120)
        assert s.road.lanes
        assert (s.lane > 0).mean() > 0.99
        assert {LIGHT_STATES[v] for v in np.unique(s.lights.state)} >= {"red", "green"}
        assert len(s.first) > 10
        assert (s.first == 0).sum() > 5  # the warm-up has filled the roads
        assert {AGENT_TYPES[t] for t in s.type} >= {"car"}
        lengths = s.state[:, s.features.index("length")]
        assert 2.0 < lengths.min() < lengths.max() < 17.0


def test_the_same_arguments_give_the_same_bytes(store, tmp_path):
    simulate("intersection", tmp_path / "again.twm", sites=2, seeds=2, jobs=1, **SHORT)
    again, once = contents(tmp_path / "again.twm"), contents(store)
    assert list(again) == list(once)
    assert [name for name in once if again[name] != once[name]] == []


def test_another_seed_is_another_recording_at_the_same_place(store):
    opened = open_store(store)
    a, b = (next(s for i in range(4) if (s := opened.scenario(i)).id == f"intersection-0/seed-{n}/000") for n in (0, 1))
    assert len(a.road.lanes) == len(b.road.lanes)
    assert len(a.state) != len(b.state) or not np.array_equal(a.state, b.state)


def test_the_command_says_what_it_did(sumo, tmp_path, capsys):
    out = tmp_path / "ring.twm"
    words = ["--preset", "roundabout", "--out", str(out), "--seconds", "10", "--warmup", "20", "--hz", "5", "--json"]
    assert main(["data", "simulate", *words]) == 0
    said = json.loads(capsys.readouterr().out)
    s = open_store(out).scenario(0)
    assert (s.dt, s.steps) == (pytest.approx(0.2), 50)
    assert said["agents"] == len(s.first)
    assert said["events"]["vehicles entered"] <= said["events"]["vehicles wanted"]
    assert said["events"]["collisions"] == 0
    assert main(["data", "simulate", *words]) == 2
    assert "is there already" in capsys.readouterr().err


def test_what_cannot_be_simulated_is_refused(tmp_path):
    with pytest.raises(UsageError, match="hz 3 is not 10 divided by a whole number"):
        simulate("motorway", tmp_path / "x.twm", hz=3.0)
    with pytest.raises(UsageError, match="must be above 0"):
        simulate("motorway", tmp_path / "x.twm", seconds=0.0)
    with pytest.raises(DataError, match="is there already"):
        simulate("motorway", tmp_path)
    with pytest.raises(UsageError, match="there is no preset 'ringroad'"):
        make_site("ringroad", 0)


def test_without_sumo_the_line_that_installs_it_is_given(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "sumo", None)
    with pytest.raises(UsageError) as caught:
        simulate("motorway", tmp_path / "x.twm")
    assert caught.value.hint == 'pip install "twm[sumo]"'


@pytest.mark.parametrize("preset", PRESETS)
def test_sites_differ_and_each_is_always_the_same(preset):
    sites = [make_site(preset, n) for n in range(4)]
    shapes = [np.concatenate([e.shape for e in s.edges]).tobytes() for s in sites]
    assert len(set(shapes)) == 4
    again = make_site(preset, 2)
    assert np.concatenate([e.shape for e in again.edges]).tobytes() == shapes[2]
    for site in sites:
        edges = {e.id: e for e in site.edges}
        for movement in site.movements:
            assert movement.per_hour > 0
            for before, behind in zip(movement.edges, movement.edges[1:], strict=False):
                assert edges[before].end == edges[behind].start


@pytest.mark.parametrize("preset", PRESETS)
def test_netconvert_writes_the_same_network_twice(sumo, preset, tmp_path):
    site = make_site(preset, 5)
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    a, b = (write_network(site, tmp_path / name).read_bytes() for name in "ab")
    assert a == b
    assert b"generated on" not in a
