"""What holds for all readers of tables: examples, derived scenarios, damaged files, and nothing heavy in the declaration."""

from __future__ import annotations

import random
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from twm_core.data.features.derive import derive
from twm_core.data.scenario import OCCLUDED
from twm_core.errors import DataError
from twm_tables.plugin import twm_components

COMPONENTS = {component.name: component for component in twm_components()}
NAMES = sorted(COMPONENTS)


def load(address: str) -> Any:
    module, _, name = address.partition(":")
    return getattr(import_module(module), name)


def reader(name: str, **options: Any) -> Any:
    return load(COMPONENTS[name].build)(load(COMPONENTS[name].config)(**options))


@pytest.mark.parametrize("name", NAMES)
def test_examples_have_late_and_early_agents_and_become_scenarios(name: str, tmp_path: Path, read: Any) -> None:
    for made in read(reader(name), *reader(name).example(tmp_path)):
        assert len(made.track) >= 2
        assert made.steps >= 20
        assert made.first.max() > 0
        assert (made.first + made.length).min() < made.steps
        assert made.lane is not None
        scenario = derive(made)
        assert np.isfinite(scenario.state).all()
        speed = np.hypot(*(scenario.state[:, scenario.features.index(v)] for v in ("vx", "vy")))
        assert speed[made.code != OCCLUDED].max() < 45.0


@pytest.mark.parametrize("name", NAMES)
def test_reading_twice_gives_the_same(name: str, tmp_path: Path, read: Any) -> None:
    paths = reader(name).example(tmp_path)
    first, second = (read(reader(name, scenario_seconds=0.7), *paths) for _ in range(2))
    assert [m.id for m in first] == [m.id for m in second]
    assert len({m.id for m in first}) == len(first)
    for a, b in zip(first, second, strict=True):
        assert (a.track, a.start, a.skipped) == (b.track, b.start, b.skipped)
        assert all(np.array_equal(a.columns[n], b.columns[n], equal_nan=True) for n in a.columns)


@pytest.mark.parametrize("name", NAMES)
def test_cuts_change_nothing_but_where_recordings_end(name: str, tmp_path: Path, read: Any) -> None:
    """Every row of every track, by its group, name and absolute step, with and without cuts."""

    def rows(recordings: Any) -> dict[tuple[str, str, int], list[float]]:
        found = {}
        for made in recordings:
            begin = round(made.start / made.dt)
            for i, track in enumerate(made.track):
                for k in range(int(made.length[i])):
                    at = int(made.offset[i]) + k
                    if made.code[at] != OCCLUDED:
                        values = [float(column[at]) for column in made.columns.values()]
                        found[made.group, track, begin + int(made.first[i]) + k] = values
        return found

    paths = reader(name).example(tmp_path)
    whole, cut = (rows(read(reader(name, scenario_seconds=s), *paths)) for s in (0, 0.5))
    assert whole.keys() == cut.keys()
    assert all(cut[key] == pytest.approx(values, nan_ok=True) for key, values in whole.items())


@pytest.mark.parametrize("name", NAMES)
def test_damaged_files_are_read_or_refused_with_one_error(name: str, tmp_path: Path) -> None:
    made = reader(name)
    paths = made.example(tmp_path)
    files = sorted(p for p in tmp_path.rglob("*") if p.is_file())
    chance = random.Random(11)
    unnamed, refused = [], 0
    for _ in range(40):
        file = chance.choice(files)
        data = bytearray(intact := file.read_bytes())
        at = chance.randrange(len(data))
        data[at : at + chance.choice([0, 1, 30])] = chance.choice([b"", b",", b"\n", b'"', b"inf", b"\xff", b"-", b"1e300", b"\0", b"x"])
        file.write_bytes(bytes(data))
        try:
            for source in made.sources(paths):
                list(made.read(source))
        except DataError as error:
            refused += 1
            unnamed += [] if file.name in error.message or file.suffix == ".toml" else [error.message]
        file.write_bytes(intact)
    assert unnamed == []
    assert refused > 5


def test_declaration_and_configs_load_neither_torch_nor_numpy() -> None:
    code = "import sys, twm_tables.plugin, twm_tables.config; print([m for m in ('torch', 'numpy', 'pyarrow') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
