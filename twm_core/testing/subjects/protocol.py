"""Protocols: what they choose, asked of the config, and built in interpreters of their own, where torch cannot be imported."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from functools import cached_property
from typing import Any

from twm_core.plugin.discovery import FILE
from twm_core.plugin.loading import HEAVY
from twm_core.plugin.registry import Registry, discover
from twm_core.testing.subjects.base import Situation, Subject

_PROBE = """
import importlib, json, sys
heavy, config, build, fields, name = json.loads(sys.argv[1])
class Watch:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in heavy:
            raise ImportError(f"{name} must not be imported here")
sys.meta_path.insert(0, Watch())
def load(reference):
    module, _, attribute = reference.partition(":")
    return getattr(importlib.import_module(module), attribute)
try:
    print(json.dumps(["hash", load(build)(load(config).model_validate(fields), name).hash]))
except Exception as error:
    print(json.dumps(["error", f"{type(error).__name__}: {error}"]))
"""


def _ask(config: Any) -> dict[str, Any]:
    name, options = config.dataset()
    chosen = {"metric": config.metrics(), "baseline": config.baselines()}
    return {
        "dataset": {name: dict(options)},
        **{kind: {n: dict(fields) for n, fields in parts.items()} for kind, parts in chosen.items()},
        "samples": config.futures(),
        "split": config.split(),
    }


class ProtocolSubject(Subject):
    """A protocol; `specs` holds what it chooses: components by kind and name, `samples` and `split`."""

    specs: dict[str, Any]

    @staticmethod
    def situations() -> Iterator[Situation]:
        yield Situation("its own choice", _ask)

    @property
    def handed(self) -> str:
        return self.registered.component.name

    @cached_property
    def registry(self) -> Registry:
        """Everything that is installed, and the file that the protocol comes from."""
        plugin = self.registered.plugin
        return discover(files=[plugin.value] if plugin.distribution == FILE else [])

    def use(self) -> None:
        _ = self.instance.hash

    def built_apart(self, hash_seed: int) -> tuple[str, str]:
        """Built in another interpreter without torch and numpy: (`hash`, the protocol's hash), or (`error`, what went wrong)."""
        component = self.registered.component
        fields = self.config.model_dump(mode="json", exclude_none=True)
        words = json.dumps([list(HEAVY), component.config, component.build, fields, component.name])
        done = subprocess.run(
            [sys.executable, "-c", _PROBE, words],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p), "PYTHONHASHSEED": str(hash_seed)},
            capture_output=True,
            text=True,
            check=True,
        )
        what, text = json.loads(done.stdout.splitlines()[-1])
        return what, text
