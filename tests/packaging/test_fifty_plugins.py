"""Fifty distributions beside twm: listing their hundred components costs little more than listing twm's, and namesakes live side by side.

The distributions are folders as pip leaves them (`*.dist-info` and a package), put on the path of fresh interpreters. Each provides two
components of different kinds, and its `model.py` imports torch, which no command of this file may reach. The first two provide a
dynamics of one and the same name with different options, whose configs are real enough for `twm check`.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
from cpu import Yardstick, interpreter

import twm_core
from twm_core.kinds import KINDS

TIMES = 3
"""How many times as much CPU as the listing of twm alone the listing of everything may take; the first measurement was 1.3."""

MAJOR, MINOR = (int(n) for n in twm_core.__version__.split(".")[:2])
REQUIRES = f"twm>={MAJOR}.{MINOR},<{MAJOR}.{MINOR + 1}"

MAIN = """
import sys
from twm_cli.main import main
code = main()
print("heavy:", [name for name in ("torch", "numpy") if name in sys.modules], file=sys.stderr)
raise SystemExit(code)
"""


@dataclass(frozen=True)
class Made:
    """A generated distribution, and its two components as (kind, name)."""

    name: str
    version: str
    components: tuple[tuple[str, str], tuple[str, str]]

    @property
    def module(self) -> str:
        return self.name.replace("-", "_")


def made(number: int) -> Made:
    """Kinds go round, so that all of them occur and each distribution has two."""
    name, kinds = f"acme-{number:02}", list(KINDS)
    first, second = kinds[number % len(kinds)], kinds[(number + 1 + number // len(kinds)) % len(kinds)]
    return Made(name, f"{number}.0.{50 - number}", ((first, f"part-{number:02}"), (second, f"other-{number:02}")))


FIFTY = [
    Made("acme-a", "1.5", (("dynamics", "leaky"), ("loss", "leaky"))),
    Made("acme-b", "2.0rc1", (("dynamics", "leaky"), ("metric", "leaky"))),
    *map(made, range(48)),
]

LEAKY = """
from pydantic import Field
from twm_core import ActionSpec, EmbeddingSpec, LatentSpec
from twm_core.kinds.dynamics import ActedDynamicsConfig, choose_layout

class First(ActedDynamicsConfig):
    'Leaks.'
    {field}: int = Field({default}, ge=1, description='Width of what leaks.')

    def latent(self, embedding: EmbeddingSpec, action: ActionSpec | None) -> LatentSpec:
        self.check_actions(action)
        layout, _ = choose_layout("auto", embedding, action)
        return LatentSpec(layout=layout, width=self.{field}, deter=self.{field})
"""
FIELDS = {"acme-a": ("hidden", 24), "acme-b": ("units", 40)}


def config(made: Made) -> str:
    """Configs that derive from the bases of their kinds."""
    text = ""
    for cls, (kind, _) in zip(("First", "Second"), made.components, strict=True):
        if cls == "First" and made.name in FIELDS:
            field, default = FIELDS[made.name]
            text += LEAKY.format(field=field, default=default)
        else:
            base = KINDS[kind].config
            text += f"\nfrom {base.__module__} import {base.__name__}\n\nclass {cls}({base.__name__}):\n    'No options.'\n"
    return text


def install(made: Made, site: Path) -> None:
    """Write a distribution as pip leaves it."""
    info, package = site / f"{made.module}-{made.version}.dist-info", site / made.module
    info.mkdir()
    package.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {made.name}\nVersion: {made.version}\nRequires-Dist: {REQUIRES}\n")
    (info / "entry_points.txt").write_text(f"[twm]\nparts = {made.module}.plugin\n")
    records = "".join(
        f"        Component(kind={kind!r}, name={name!r}, summary='A {kind} of {made.name}.', "
        f"config='{made.module}.config:{cls}', build='{made.module}.model:build'),\n"
        for cls, (kind, name) in zip(("First", "Second"), made.components, strict=True)
    )
    head = "from twm_core import Component, hookimpl\n\n@hookimpl\ndef twm_components() -> list[Component]:\n"
    (package / "__init__.py").write_text("")
    (package / "plugin.py").write_text(f"{head}    return [\n{records}    ]\n")
    (package / "config.py").write_text(config(made))
    (package / "model.py").write_text("import numpy\nimport torch\n\ndef build(config, given):\n    raise AssertionError('built')\n")


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of an interpreter that sees all fifty."""
    site = tmp_path_factory.mktemp("site")
    for each in FIFTY:
        install(each, site)
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("TWM_", "PYTHON"))}
    # pytest-xdist tells its workers that the terminal has 80 columns, into which these tables do not fit without wrapping.
    return {**clean, "PYTHONPATH": str(site), "OMP_NUM_THREADS": "1", "COLUMNS": "140"}


def twm(environment: dict[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    """Run `twm`; the last line on standard error says what heavy modules it imported."""
    return subprocess.run([sys.executable, "-c", MAIN, *words], env=environment, capture_output=True, text=True, timeout=600, check=False)


def listed(environment: dict[str, str]) -> dict[str, Any]:
    done = twm(environment, "list-plugins", "--json")
    assert (done.returncode, done.stderr) == (0, "heavy: []\n")
    return json.loads(done.stdout)


def test_there_are_fifty_distributions_with_a_hundred_components_of_every_kind() -> None:
    assert len({m.name for m in FIFTY}) == 50
    assert len({(m.name, *c) for m in FIFTY for c in m.components}) == 100
    assert {kind for m in FIFTY for kind, _ in m.components} == set(KINDS)
    assert all(first != second for m in FIFTY for (first, _), (second, _) in [m.components])


def test_every_one_is_a_loaded_row_with_its_version_and_components(environment: dict[str, str]) -> None:
    rows = {r["distribution"]: r for r in listed(environment)["plugins"]}
    for each in FIFTY:
        row = rows[each.name]
        assert row.pop("seconds") >= 0
        assert row == {
            "name": "parts",
            "distribution": each.name,
            "version": each.version,
            "value": f"{each.module}.plugin",
            "status": "loaded",
            "reason": "",
            "heavy": False,
            "components": [f"{kind}/{name}" for kind, name in each.components],
        }


def test_all_hundred_components_are_listed_beside_those_of_twm(environment: dict[str, str]) -> None:
    given = listed(environment)
    expected = {(m.name, m.version, kind, name, f"A {kind} of {m.name}.") for m in FIFTY for kind, name in m.components}
    found = [(*(c[k] for k in ("distribution", "version", "kind", "name", "summary")),) for c in given["components"]]
    assert sorted(f for f in found if f[0] != "twm") == sorted(expected)
    assert ("dynamics", "rssm-cat") in {(c["kind"], c["name"]) for c in given["components"] if c["distribution"] == "twm"}
    assert given["warnings"] == []


def test_the_table_has_a_line_for_each_of_them(environment: dict[str, str]) -> None:
    done = twm(environment, "list-plugins")
    assert (done.returncode, done.stderr) == (0, "heavy: []\n")
    for each in FIFTY:
        for kind, name in each.components:
            line = rf"^{kind} +{name} +{each.name} +{re.escape(each.version)} +A {kind} of {each.name}\.$"
            assert len(re.findall(line, done.stdout, re.MULTILINE)) == 1, line


@pytest.mark.parametrize("words", [("list-plugins",), ("list-plugins", "--json")])
def test_listing_them_costs_little_more_than_listing_twm(environment: dict[str, str], words: tuple[str, ...]) -> None:
    call = ("-m", "twm_cli", *words)
    alone = Yardstick(interpreter(*call, env={k: v for k, v in environment.items() if k != "PYTHONPATH"}))
    assert alone.ratio(interpreter(*call, env=environment), enough=TIMES) <= TIMES


def test_a_name_that_two_distributions_share_must_be_qualified(environment: dict[str, str]) -> None:
    done = twm(environment, "check", "--dynamics", "leaky")
    assert done.returncode == 2
    assert done.stderr == dedent(
        """\
        error: dynamics 'leaky' is provided by acme-a 1.5 and acme-b 2.0rc1
        hint: say acme-a:leaky or acme-b:leaky
        heavy: []
        """
    )


@pytest.mark.parametrize(("name", "version"), [("acme-a", "1.5"), ("acme-b", "2.0rc1")])
def test_each_namesake_is_usable_by_its_qualified_name_with_its_own_options(environment: dict[str, str], name: str, version: str) -> None:
    field, default = FIELDS[name]
    for words, width in ((), default), ((f"--dynamics.{field}", "6"), 6):
        done = twm(environment, "check", "--json", "--dynamics", f"{name}:leaky", *words)
        assert (done.returncode, done.stderr) == (0, "heavy: []\n")
        given = json.loads(done.stdout)
        assert given["parts"]["dynamics"] == [{"name": f"{name}:leaky", "distribution": name, "version": version, "layout_version": 1}]
        assert given["specs"]["latent"]["width"] == width
        assert given["recipe"]["dynamics"] == {"component": f"{name}:leaky", "actions": "auto", field: width}


def test_the_option_of_one_namesake_is_not_an_option_of_the_other(environment: dict[str, str]) -> None:
    done = twm(environment, "check", "--dynamics", "acme-b:leaky", "--dynamics.hidden", "6")
    assert done.returncode == 2
    assert done.stderr.startswith("error: no option --dynamics.hidden: dynamics leaky (acme-b 2.0rc1) has no field 'hidden'")


def test_the_qualified_name_describes_every_kind_of_that_distribution_only(environment: dict[str, str]) -> None:
    done = twm(environment, "describe", "--json", "acme-b:leaky")
    assert (done.returncode, done.stderr) == (0, "heavy: []\n")
    assert [(c["kind"], c["distribution"], c["version"]) for c in json.loads(done.stdout)] == [
        ("dynamics", "acme-b", "2.0rc1"),
        ("metric", "acme-b", "2.0rc1"),
    ]
