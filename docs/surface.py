"""The public surface of `twm_core`, written out: which modules are public, and every name in them with its signature.

A module is public when somebody outside of core may import it: whatever twm's own plugins, the templates of `twm new-plugin` and the
example distribution import is in here, because they have no privilege. `docs/generate.py` writes the listing, and tests compare both ways.
"""

from __future__ import annotations

import ast
import dataclasses
import enum
import importlib
import inspect
from collections.abc import Iterator
from types import ModuleType
from typing import Any

from pydantic import BaseModel

MODULES: dict[str, str] = {
    "twm_core": "what every plugin needs; imports no torch",
    "twm_core.specs": "what flows between components, described without data",
    "twm_core.errors": "errors that a user can act on",
    "twm_core.hooks": "the hooks",
    "twm_core.kinds": "the kinds",
    "twm_core.kinds.baseline": "config base",
    "twm_core.kinds.dataset": "config base",
    "twm_core.kinds.dynamics": "config bases, and the choice of a layout",
    "twm_core.kinds.simulator": "config base",
    "twm_core.kinds.loss": "config base, and requests for rollouts",
    "twm_core.kinds.metric": "config base",
    "twm_core.kinds.protocol": "config base",
    "twm_core.kinds.reader": "config base",
    "twm_core.selection": "choosing keys by a regular expression",
    "twm_core.extras": "packages that are imported when used",
    "twm_core.suggest": "did you mean",
    "twm_core.reporting": "progress of long work",
    "twm_core.plugin.registry": "discovery of plugins",
    "twm_core.recipe.layers": "recipes",
    "twm_core.recipe.assembly": "from a recipe to a plan",
    "twm_core.training.optimizer": "parameter groups, learning rate, moving average",
    "twm_core.angles": "angles between -pi and pi",
    "twm_core.config": "the base of configs, and reading one",
    "twm_core.simulation.interface": "traffic that can be stepped",
    "twm_core.simulation.interventions": "what can be done to it",
    "twm_core.simulation.episodes": "recordings of it",
    "twm_core.recipe.chosen": "components by name, configured and built",
    "twm_core.checkpoint.load": "a model from a run or a checkpoint",
    "twm_core.evaluation.evaluate": "measuring a model",
    "twm_core.atomic": "files that are there whole or not at all",
    "twm_core.nn.interfaces": "the classes that encoders, dynamics, decoders and losses derive from",
    "twm_core.nn.distributions": "what decoders return",
    "twm_core.nn.actions": "actions where dynamics use them",
    "twm_core.nn.batches": "who was seen, and which steps belong together",
    "twm_core.nn.collision_avoidance": "futures of a scene that do not collide",
    "twm_core.nn.imagining": "samples of an imagination",
    "twm_core.nn.linear": "linear layers",
    "twm_core.nn.masking": "means over what exists",
    "twm_core.nn.norm": "normalization layers",
    "twm_core.nn.normalizer": "statistics of training data",
    "twm_core.nn.presence": "masks of a sequence",
    "twm_core.nn.state": "states of dynamics",
    "twm_core.nn.symlog": "symlog",
    "twm_core.nn.targets": "what decoded keys are compared with",
    "twm_core.nn.build": "from a plan to a world model",
    "twm_core.nn.world_model": "the world model",
    "twm_core.data.dataset": "datasets, windows, batches",
    "twm_core.data.windows.scenario_dataset": "datasets made of scenarios",
    "twm_core.data.windows.augmentation": "other views of the same traffic, for training",
    "twm_core.data.schema": "keys and features of traffic",
    "twm_core.data.windows.loader": "which windows, in which order",
    "twm_core.data.windows.protocol": "which windows of a scenario count",
    "twm_core.data.windows.splits": "train, val, test",
    "twm_core.data.scenario": "scenarios, lanes, maps",
    "twm_core.data.recording": "what readers give",
    "twm_core.data.importing.reader": "readers",
    "twm_core.data.renderer": "renderers",
    "twm_core.data.features.derive": "features derived backwards in time",
    "twm_core.data.importing.importer": "from recordings to a store",
    "twm_core.data.store.reading": "the scenario store",
    "twm_core.data.importing.files": "finding files",
    "twm_core.data.importing.tables": "tables in text and parquet",
    "twm_core.data.importing.table_values": "columns of tables",
    "twm_core.data.importing.tracks": "rows to tracks",
    "twm_core.data.importing.pieces": "long recordings in pieces",
    "twm_core.data.importing.spill": "rows that do not fit into memory",
    "twm_core.data.motion": "angles and headings",
    "twm_core.data.features.lanes": "which lane an agent is on",
    "twm_core.data.roads.lane_lines": "geometry of lanes",
    "twm_core.data.features.leaders": "who is in front",
    "twm_core.data.roads.map_crops": "map rasters around agents",
    "twm_core.data.importing.xml_children": "XML without surprises",
    "twm_core.evaluation": "scoring forecasts",
    "twm_core.evaluation.interfaces": "metrics and forecasters",
    "twm_core.evaluation.forecast": "forecasts, and what happened",
    "twm_core.evaluation.protocol": "protocols",
    "twm_core.evaluation.world_model_forecaster": "a world model as a forecaster",
    "twm_core.evaluation.boxes": "boxes that touch",
    "twm_core.evaluation.headings": "headings of forecasts",
    "twm_core.testing": "the conformance kit",
    "twm_core.testing.batches": "synthetic batches",
    "twm_core.testing.strategies": "hypothesis strategies",
    "twm_core.testing.leaks": "leak tests",
}
"""Public modules and what they are for."""


def names(module: ModuleType) -> list[str]:
    """The public names of a module: its `__all__`, or what it defines at its outermost level without an underscore."""
    listed = getattr(module, "__all__", None)
    if listed is not None:
        return sorted(listed)
    found: set[str] = set()
    for node in ast.parse(inspect.getsource(module)).body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            found.add(node.name)
        targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        found |= {n.id for t in targets for n in ast.walk(t) if isinstance(n, ast.Name)}
    return sorted(name for name in found if not name.startswith("_"))


def line(module: ModuleType, name: str) -> str:
    """A name with what a caller has to know of it: the signature of a function, the fields or the constructor of a class."""
    value = getattr(module, name)
    if inspect.isclass(value):
        return f"class {name}{_constructor(value)}"
    if inspect.isfunction(value):
        return f"{name}{_signature(value)}"
    return name


def _constructor(value: type[Any]) -> str:
    if issubclass(value, BaseModel):
        return f"({', '.join(value.model_fields)})" if value.model_fields else ""
    if dataclasses.is_dataclass(value):
        return f"({', '.join(f.name for f in dataclasses.fields(value) if f.init)})"
    if issubclass(value, tuple) and hasattr(value, "_fields"):
        return f"({', '.join(value._fields)})"
    if issubclass(value, enum.Enum) or getattr(value, "_is_protocol", False) or "__init__" not in vars(value):
        return ""
    return _signature(value.__init__)


def _signature(function: Any) -> str:
    """Names, kinds and defaults of arguments; annotations stand in the reference."""
    parameters = [
        p.replace(annotation=inspect.Parameter.empty, default=_short(p.default))
        for p in inspect.signature(function).parameters.values()
        if p.name != "self"
    ]
    return str(inspect.Signature(parameters))


def annotated(function: Any) -> str:
    """The whole signature of a function, annotations as they are written."""
    parameters = [p for p in inspect.signature(function).parameters.values() if p.name != "self"]
    shown = inspect.Signature(parameters, return_annotation=inspect.signature(function).return_annotation)
    return str(shown).replace("'", "")


def members(cls: type[Any]) -> list[str]:
    """What a class adds to its bases outside of core: attributes with their defaults, and public methods with their signatures."""
    lines = []
    bases = [c for c in cls.__mro__ if c.__module__.startswith("twm_core") and c.__name__ not in ("ComponentConfig", "Statistical")]
    for base in reversed(bases):
        for name, annotation in vars(base).get("__annotations__", {}).items():
            if not name.startswith("_") and not issubclass(base, BaseModel):
                default = f" = {vars(base)[name]!r}" if name in vars(base) else ""
                lines.append(f"    {name}: {annotation}{default}")
            elif issubclass(base, BaseModel) and "ClassVar" in str(annotation) and not name.startswith(("_", "model_")):
                lines.append(f"    {name}: {annotation} = {vars(base)[name]!r}")
        for name, value in vars(base).items():
            function = value.fget if isinstance(value, property) else value
            if name.startswith(("_", "model_")) or not inspect.isfunction(function):
                continue
            lines.append(f"    {name}{annotated(function)}" + ("  (property)" if isinstance(value, property) else ""))
    return lines


class _Shown:
    """A default as it is shown, where its own text would hold an address or be long."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return self.text


def _short(default: Any) -> Any:
    if default is inspect.Parameter.empty:
        return default
    text = getattr(default, "__name__", repr(default)) if callable(default) else repr(default)
    return _Shown("..." if " at 0x" in text or len(text) > 40 else text)


def listing() -> Iterator[tuple[str, str, list[str]]]:
    """Every public module with its purpose and its lines."""
    for name, purpose in MODULES.items():
        module = importlib.import_module(name)
        yield name, purpose, [line(module, n) for n in names(module)]
