"""New plugins: a whole distribution with one working component of a kind, rendered from templates with `string.Template`. Torch-free.

    NAME/pyproject.toml                 the distribution, its entry point and the range of twm that it supports
    NAME/README.md                      what the component does, the maths, how to install, test and publish it
    NAME/.github/workflows/ci.yml       installs it and runs its tests
    NAME/src/PACKAGE/plugin.py          declares the component; torch-free
    NAME/src/PACKAGE/config.py          its options and specs; torch-free
    NAME/src/PACKAGE/model.py           what it computes
    NAME/tests/test_conformance.py      every check of the kind
    NAME/tests/test_model.py            the maths against numbers worked out by hand

Templates that all kinds share stand in `common`, those of a kind in a folder of its name, beside `about.toml`: its summary, what its
README says, options that make the conformance test quick, and the commands that use the component. Every kind has such a folder.
"""

from __future__ import annotations

import importlib.util
import json
import keyword
import re
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Any

import twm_core
from twm_core.atomic import new_folder
from twm_core.errors import UsageError
from twm_core.kinds import KINDS
from twm_core.suggest import did_you_mean

_TEMPLATES = Path(__file__).parent / "templates"
_SUFFIX = ".template"
_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_COMMON = {
    "pyproject.toml": "pyproject.toml",
    "README.md": "README.md",
    "gitignore": ".gitignore",
    "ci.yml": ".github/workflows/ci.yml",
    "init.py": "src/{package}/__init__.py",
    "plugin.py": "src/{package}/plugin.py",
    "test_conformance.py": "tests/test_conformance.py",
}
_OF_KIND = {"config.py": "src/{package}/config.py", "model.py": "src/{package}/model.py", "test_model.py": "tests/test_model.py"}


@dataclass(frozen=True, kw_only=True)
class NewPlugin:
    """What was rendered.

    Attributes:
        folder: The distribution's folder.
        files: Its files, relative to the folder, in order.
        use: Commands that use the component once it is installed, `twm ...`.
    """

    folder: Path
    files: tuple[str, ...]
    use: tuple[str, ...]


def new_plugin(name: str, *, kind: str, component: str | None = None, parent: Path | str = ".") -> NewPlugin:
    """Write a distribution called `name` with one working component into `parent/name`; all of it or nothing.

    Args:
        name: Name of the distribution: lower case, with single hyphens. Its package has underscores instead.
        kind: One of `twm_core.KINDS`.
        component: Name of the component; that of the distribution by default.
        parent: Folder to write the new folder into.

    Raises:
        UsageError: A name or the kind is impossible, the package would hide a module, or the folder exists already.
    """
    if kind not in KINDS:
        raise UsageError(f"there is no kind {kind!r}{did_you_mean(kind, KINDS)}", f"kinds are {', '.join(KINDS)}")
    _check_name("distribution", name)
    _check_name("component", component or name)
    package = name.replace("-", "_")
    _check_package(package, name)
    folder = Path(parent) / name
    if folder.exists():
        raise UsageError(f"{folder} exists already", "choose another name, or another folder with --out")
    if not folder.parent.is_dir():
        raise UsageError(f"there is no folder {folder.parent}", "make it first, or give --out another one")
    values, about = _values(name, package, kind, component or name)
    written: list[str] = []
    try:
        with new_folder(folder) as beside:
            for source, target in [(f"common/{s}", t) for s, t in _COMMON.items()] + [(f"{kind}/{s}", t) for s, t in _OF_KIND.items()]:
                file = beside / target.format(package=package)
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(_render(source, values), encoding="utf-8")
                written.append(target.format(package=package))
    except OSError as error:
        raise UsageError(f"cannot write {folder}: {error.strerror}", "give --out a folder that can be written") from error
    return NewPlugin(folder=folder, files=tuple(written), use=tuple(about["use"]))


def templates(kind: str) -> Path:
    """The folder with the templates of a kind; it need not exist."""
    return _TEMPLATES / kind


def _values(name: str, package: str, kind: str, component: str) -> tuple[dict[str, str], dict[str, Any]]:
    """What the templates are filled with, and `about.toml`, filled."""
    major, minor = twm_core.__version__.split(".")[:2]
    words = {
        "distribution": name,
        "package": package,
        "component": component,
        "Class": "".join(part.capitalize() for part in component.split("-")),
        "kind": kind,
        "twm": f"twm>={major}.{minor},<{major}.{int(minor) + 1}",
    }
    about = tomllib.loads(Template((_TEMPLATES / kind / "about.toml").read_text(encoding="utf-8")).substitute(words))
    variants = [f"{{{', '.join(f'{json.dumps(k)}: {_python(v)}' for k, v in v.items())}}}" for v in about["variants"]]
    words |= {
        "summary": about["summary"],
        "title": about["title"],
        "maths": about["maths"].strip(),
        "use": "\n".join(about["use"]),
        "dependencies": ", ".join(json.dumps(d) for d in [words["twm"], *about.get("dependencies", [])]),
        "variants": "[" + "".join(f"\n        {v}," for v in variants) + "\n    ]" if len(variants) > 1 else f"[{variants[0]}]",
    }
    return words, about


def _python(value: Any) -> str:
    return repr(value) if isinstance(value, bool) else json.dumps(value)


def _render(source: str, values: dict[str, str]) -> str:
    return Template((_TEMPLATES / f"{source}{_SUFFIX}").read_text(encoding="utf-8")).substitute(values)


def _check_name(what: str, name: str) -> None:
    if not _NAME.fullmatch(name):
        suggestion = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
        raise UsageError(
            f"{name!r} cannot be the name of a {what}: lower case letters and digits with single hyphens between, a letter first",
            f"try {suggestion!r}" if _NAME.fullmatch(suggestion) else "choose another name",
        )


def _check_package(package: str, name: str) -> None:
    if keyword.iskeyword(package):
        raise UsageError(f"{package!r} is a word of Python and cannot be a package", f"try 'my-{name}'")
    if package in sys.stdlib_module_names or importlib.util.find_spec(package) is not None:
        raise UsageError(f"the package {package!r} would hide a module that is installed already", f"try 'my-{name}'")


__all__ = ["NewPlugin", "new_plugin", "templates"]
