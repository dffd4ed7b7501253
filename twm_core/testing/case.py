"""A component under test: its config in every variant, and one subject for each situation that none of them refuses."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from pydantic import ValidationError

from twm_core.config import ComponentConfig
from twm_core.errors import Mismatch, PluginError, UsageError
from twm_core.plugin.discovery import FILE
from twm_core.plugin.loading import HEAVY
from twm_core.plugin.registry import Registered
from twm_core.testing.subjects import SUBJECTS, Situation, Subject

_PROBE = """
import importlib, json, sys
heavy, tried = set(json.loads(sys.argv[1])), []
class Watch:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in heavy:
            tried.append(name.partition(".")[0])
            raise ImportError(f"{name} must not be imported here")
sys.meta_path.insert(0, Watch())
report = {}
for module in json.loads(sys.argv[2]):
    before = set(sys.modules)
    tried.clear()
    try:
        importlib.import_module(module)
        error = None
    except BaseException as caught:
        error = f"{type(caught).__name__}: {caught}"
    if tried or error:
        for name in set(sys.modules) - before:
            del sys.modules[name]
    report[module] = [sorted(set(tried)), error]
print(json.dumps(report))
"""


@dataclass
class HeavyImports:
    """Which config modules import torch or numpy, found in one interpreter for all of them, in which neither can be imported."""

    modules: Sequence[str]

    @cached_property
    def report(self) -> dict[str, tuple[list[str], str | None]]:
        """For each module the heavy imports it tried and the error it ended with."""
        path = os.pathsep.join(p for p in sys.path if p)
        done = subprocess.run(
            [sys.executable, "-c", _PROBE, json.dumps(HEAVY), json.dumps(sorted(set(self.modules)))],
            env={**os.environ, "PYTHONPATH": path},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise UsageError(f"the interpreter that imports the configs ended with status {done.returncode}: {done.stderr.strip()}")
        return {k: (v[0], v[1]) for k, v in json.loads(done.stdout.splitlines()[-1]).items()}


@dataclass
class Case:
    """A registered component, the options to try it with, and what became of every situation.

    Attributes:
        registered: The component.
        options: Options of each variant; one variant with the defaults where there are none.
        heavy: Shared by all cases of a run.
        refused: Titles of the situations that its config refused with `Mismatch`.
        improper: Situations refused by something else, with the exception.
    """

    registered: Registered
    options: Sequence[Mapping[str, Any]] = ()
    heavy: HeavyImports | None = None
    refused: list[str] = field(default_factory=list)
    improper: list[tuple[str, Exception]] = field(default_factory=list)

    @property
    def key(self) -> str:
        """`kind/name`."""
        return f"{self.registered.component.kind}/{self.registered.component.name}"

    @property
    def whose(self) -> str:
        """Component, distribution and version."""
        return self.registered.whose

    @property
    def one_file(self) -> bool:
        """Whether the component comes from a one-file plugin."""
        return self.registered.plugin.distribution == FILE

    @cached_property
    def config_class(self) -> type[ComponentConfig]:
        """The config class, as the registry checks it."""
        return self.registered.load_config()

    @cached_property
    def configs(self) -> list[tuple[str, ComponentConfig]]:
        """Every variant: its options in words, and its config.

        Raises:
            UsageError: Given options are not options of this component.
        """
        made = []
        for options in self.options or ({},):
            title = ", ".join(f"{k} {v}" for k, v in options.items()) or "default options"
            try:
                made.append((title, self.config_class.model_validate(dict(options))))
            except ValidationError as error:
                raise UsageError(f"options of {self.key}: {error}", "correct the argument `options`") from error
        return made

    @cached_property
    def subjects(self) -> list[Subject]:
        """A subject for each variant and each situation that its config accepts."""
        kind = SUBJECTS[self.registered.component.kind]
        accepted = []
        for variant, config in self.configs:
            for situation in kind.situations():
                given = self._ask(situation, config, f"{variant}; {situation.title}")
                if given is not None:
                    title = f"{variant}; {situation.title}"
                    accepted.append(kind(registered=self.registered, config=config, specs=given, title=title))
        return accepted

    def _ask(self, situation: Situation, config: ComponentConfig, title: str) -> Any:
        try:
            return situation.ask(config)
        except Mismatch:
            self.refused.append(title)
        except Exception as error:  # noqa: BLE001 - a config may raise anything; the check `refuses_by_mismatch` reports it
            self.improper.append((title, error))
        return None


def make_cases(registered: Iterable[Registered], options: Mapping[str, Sequence[Mapping[str, Any]]] | None = None) -> list[Case]:
    """A case for each component.

    Raises:
        UsageError: `options` names a component that is not among them, or options that it does not have.
    """
    chosen = list(registered)
    keys = [f"{r.component.kind}/{r.component.name}" for r in chosen]
    stale = sorted(set(options or {}) - set(keys))
    if stale:
        raise UsageError(f"options name {', '.join(map(repr, stale))}, but the components are {', '.join(keys)}", "write kind/name")
    heavy = HeavyImports([r.component.config.partition(":")[0] for r in chosen])
    cases = [Case(registered=r, options=tuple((options or {}).get(k, ())), heavy=heavy) for r, k in zip(chosen, keys, strict=True)]
    for case in cases:
        if case.options and _has_config(case):
            list(case.configs)  # wrong options are the caller's mistake, to be told before anything runs
    return cases


def _has_config(case: Case) -> bool:
    try:
        return bool(case.config_class)
    except PluginError:
        return False  # the check `config_keeps_the_rules` says why
