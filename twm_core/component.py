"""A component's record: what a plugin declares. Torch-free: config and implementation are named by strings and loaded when used."""

from __future__ import annotations

import re
from dataclasses import dataclass

from twm_core.errors import PluginError
from twm_core.kinds import KINDS

_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_REFERENCE = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")


@dataclass(frozen=True, kw_only=True)
class Component:
    """One component of one kind.

    Attributes:
        kind: One of `twm_core.KINDS`.
        name: Lower case with single hyphens; unique within its distribution and kind.
        summary: One sentence for `twm list-plugins`.
        config: `module:Class` of its pydantic config (the module must not import torch).
        build: `module:function` called as `build(config, given)` (the module may import torch).
        layout_version: Raised by the author whenever names or shapes of the parameters change; stored in every checkpoint.
        upgrade: `module:function` called as `upgrade(tensors, from_version)` with the tensors of an older layout, which returns those
            of the present one.

    Raises:
        PluginError: A field breaks these rules.
    """

    kind: str
    name: str
    summary: str
    config: str
    build: str
    layout_version: int = 1
    upgrade: str | None = None

    def __post_init__(self) -> None:
        whose = f"component {self.kind} {self.name!r}"
        if self.kind not in KINDS:
            raise PluginError(f"{whose}: unknown kind {self.kind!r}", f"kinds are {', '.join(KINDS)}")
        if not _NAME.fullmatch(self.name):
            raise PluginError(f"{whose}: a name is lower case letters and digits with single hyphens between", "rename the component")
        if not self.summary.strip():
            raise PluginError(f"{whose}: the summary is empty", "say in one sentence what it does")
        for field in ("config", "build", "upgrade"):
            value = getattr(self, field)
            if value is not None and not _REFERENCE.fullmatch(value):
                raise PluginError(f"{whose}: {field} {value!r} is not of the form 'package.module:attribute'", "name it as a string")
        if self.layout_version < 1:
            raise PluginError(f"{whose}: layout_version {self.layout_version} is below 1", "count layouts from 1")
