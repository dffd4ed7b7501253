"""From the field of a config to an option of the command line, with its real type, range, default and help.

    hidden: int = Field(256, ge=1, description="Width.")   ->   --dynamics.hidden <int range>  Width. [default: 256; x>=1]
    trace: bool = Field(False, description="Keep it.")     ->   --dynamics.trace / --no-dynamics.trace

Types that a single word cannot spell (lists, mappings, unions) become options that take a TOML value.
"""

from __future__ import annotations

import inspect
import types
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import tomli_w
import typer
from pydantic.fields import FieldInfo
from pydantic_core import to_jsonable_python


def option(name: str, annotation: Any, default: Any, *flags: str, **settings: Any) -> inspect.Parameter:
    """A parameter of a command function, as Typer reads it."""
    annotated = Annotated[annotation, typer.Option(*flags, **settings)]
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotated)


def field_option(name: str, path: str, field: FieldInfo, default: Any, panel: str) -> inspect.Parameter:
    """The option `--path` for a config field.

    Args:
        name: Name of the parameter in the command function.
        path: Dotted path, for example `loss.kl.free_nats`.
        field: The pydantic field.
        default: The value that holds if the option is not given.
        panel: Heading under which help shows it.
    """
    annotation = word_type(field.annotation)
    lowest, highest, exclusive = bounds(field)
    settings: dict[str, Any] = {"help": " ".join([field.description or "", *exclusive]), "rich_help_panel": panel}
    if annotation in (int, float):
        settings |= {"min": lowest, "max": highest}
    if annotation is None:
        settings["metavar"] = "<toml>"
        default = None if default is None else inline(default)
    elif annotation is Path and default is not None:
        default = Path(default)
    elif isinstance(default, Enum):
        default = default.value
    if annotation is bool:  # Typer would print the default as the name of the flag
        settings |= {"show_default": False, "help": f"{settings['help']}  [default: {'on' if default else 'off'}]"}
    flags = (f"--{path}/--no-{path}",) if annotation is bool else (f"--{path}",)
    return option(name, str if annotation is None else annotation, default, *flags, **settings)


def word_type(annotation: Any) -> Any:
    """The type by which one word on the command line spells a value of `annotation`; None if one word cannot."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return word_type(get_args(annotation)[0])
    if origin in (Union, types.UnionType):
        some = [a for a in get_args(annotation) if a is not type(None)]
        return word_type(some[0]) if len(some) == 1 else None
    if origin is Literal:
        return annotation
    if annotation in (bool, int, float, str, Path) or (isinstance(annotation, type) and issubclass(annotation, Enum)):
        return annotation
    return None


def type_name(annotation: Any) -> str:
    """A type for people: `int`, `one of auto, scene, agents`, `float or none`, `tuple[int, ...]`."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return type_name(get_args(annotation)[0])
    if origin in (Union, types.UnionType):
        return " or ".join(type_name(a) for a in get_args(annotation))
    if origin is Literal:
        return "one of " + ", ".join(str(a) for a in get_args(annotation))
    if annotation is type(None):
        return "none"
    return annotation.__name__ if isinstance(annotation, type) and origin is None else str(annotation).replace("typing.", "")


def bounds(field: FieldInfo) -> tuple[float | None, float | None, list[str]]:
    """Lowest and highest allowed value, and exclusive bounds in words, because Typer has no such ranges."""
    lowest = highest = None
    exclusive = []
    for rule in [*field.metadata, *_nested_metadata(field.annotation)]:
        lowest = getattr(rule, "ge", lowest)
        highest = getattr(rule, "le", highest)
        if getattr(rule, "gt", None) is not None:
            exclusive.append(f"(above {rule.gt})")
        if getattr(rule, "lt", None) is not None:
            exclusive.append(f"(below {rule.lt})")
    return lowest, highest, exclusive


def range_text(field: FieldInfo) -> str:
    """The allowed range of a field in words, empty if it has none."""
    lowest, highest, exclusive = bounds(field)
    parts = [f"at least {lowest}"] if lowest is not None else []
    parts += [f"at most {highest}"] if highest is not None else []
    return ", ".join([*parts, *(e.strip("()") for e in exclusive)])


def inline(value: Any) -> str:
    """A value on one line of TOML; models, paths, enumerations and sets as a recipe file would hold them."""
    return _inline(to_jsonable_python(value, inf_nan_mode="constants"))


def _inline(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_key(k)} = {_inline(v)}" for k, v in value.items() if v is not None) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_inline(v) for v in value if v is not None) + "]"
    return tomli_w.dumps({"v": value}).removeprefix("v = ").rstrip("\n")


def _key(name: str) -> str:
    return tomli_w.dumps({name: 0}).removesuffix(" = 0\n")


def _nested_metadata(annotation: Any) -> list[Any]:
    if get_origin(annotation) is Annotated:
        return list(get_args(annotation)[1:])
    if get_origin(annotation) in (Union, types.UnionType):
        return [m for a in get_args(annotation) for m in _nested_metadata(a)]
    return []
