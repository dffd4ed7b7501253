"""The public surface: what others import is listed, what is listed is there, and every trait of every interface is explained."""

from __future__ import annotations

import ast
import importlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from pages import MANUAL, ROOT, blocks

from twm_core.kinds import KINDS


def _surface() -> Any:
    sys.path.insert(0, str(ROOT / "docs"))
    try:
        return importlib.import_module("surface")
    finally:
        sys.path.remove(str(ROOT / "docs"))


SURFACE = _surface()
LISTED = {name: set(SURFACE.names(importlib.import_module(name))) for name in SURFACE.MODULES}


def python_of(path: Path) -> str:
    """The Python of a file; a template with names put in for its variables."""
    text = path.read_text(encoding="utf-8")
    return re.sub(r"\$(?:\{(\w+)\}|(\w+))", r"v_\1\2", text) if path.suffix == ".template" else text


def imported(text: str) -> Iterator[tuple[str, str]]:
    """Modules of `twm_core` and the names taken from them; an empty name for a module that is imported whole."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.partition(".")[0] == "twm_core":
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                named = alias.name in LISTED.get(node.module, ())
                yield (whole, "") if not named and _is_module(whole) else (node.module, alias.name)
        elif isinstance(node, ast.Import):
            yield from ((a.name, "") for a in node.names if a.name.partition(".")[0] == "twm_core")


def _is_module(name: str) -> bool:
    try:
        return isinstance(importlib.import_module(name), ModuleType)
    except ImportError:
        return False


def outsiders() -> Iterator[Path]:
    """Files of everybody who has no privilege."""
    yield from (ROOT / "plugins").rglob("*.py")
    yield from (ROOT / "examples").rglob("*.py")
    yield from (ROOT / "twm_core/plugin/templates").rglob("*.py.template")


@pytest.mark.parametrize("path", sorted(outsiders()), ids=lambda p: str(p.relative_to(ROOT)))
def test_whoever_stands_outside_of_core_imports_public_names_only(path: Path) -> None:
    for module, name in imported(python_of(path)):
        assert module in SURFACE.MODULES, f"{module} is not public"
        assert not name or name in LISTED[module], f"{module}.{name} is not public"


def test_the_blocks_of_the_manual_import_public_names_only() -> None:
    for block in blocks():
        if block.language == "python":
            for module, name in imported(block.text):
                assert module in SURFACE.MODULES, f"{block.id}: {module}"
                assert not name or name in LISTED[module], f"{block.id}: {module}.{name}"


def test_every_listed_name_exists() -> None:
    for module, names in LISTED.items():
        home = importlib.import_module(module)
        assert all(hasattr(home, name) for name in names), module
        assert not any(name.startswith("_") for name in names)


def test_the_listing_shows_signatures() -> None:
    shown = {name: lines for name, _, lines in SURFACE.listing()}
    assert "class Component(kind, name, summary, config, build, layout_version, upgrade)" in shown["twm_core"]
    assert "masked_mean(values, mask)" in shown["twm_core.nn.masking"]
    assert not any(" at 0x" in line for lines in shown.values() for line in lines)


@pytest.mark.parametrize("kind", KINDS)
def test_every_trait_of_an_interface_is_explained_on_its_page(kind: str) -> None:
    """Attributes by which a component says what it is (`independent`, `over`, `suffix`), outside of the generated part."""
    page = (MANUAL / f"contracts/{kind}.md").read_text(encoding="utf-8").partition("<!-- generated: begin -->")[0]
    module, _, attribute = KINDS[kind].interface.partition(":")
    interface = getattr(importlib.import_module(module), attribute)
    classes = [c for base in (interface, KINDS[kind].config) for c in base.__mro__ if c.__module__.startswith("twm_core")]
    traits = {
        name
        for c in classes
        for name, annotation in vars(c).get("__annotations__", {}).items()
        if not name.startswith(("_", "model_")) and (c is interface or "ClassVar" in str(annotation))
    }
    missing = [t for t in sorted(traits) if not re.search(rf"`{t}\b", page)]
    assert missing == []
