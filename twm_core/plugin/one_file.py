"""A plugin that is a single file: `twm train -p ./my_dynamics.py`.

The file is imported as a module named after its stem, so that strings inside it such as `config="my_dynamics:LeakyConfig"` resolve.
A stem that already means another module is refused: the file would take that module's place for everybody else.
"""

from __future__ import annotations

import hashlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

from twm_core.errors import PluginError, UsageError
from twm_core.plugin.discovery import FILE, Found


def locate(path: str | Path) -> Found:
    """Check the path of a one-file plugin without importing it.

    Raises:
        UsageError: There is no such file, or it is not a Python file.
        PluginError: Its name cannot be a module's, or already means another module.
    """
    file = Path(path)
    if not file.is_file():
        raise UsageError(f"plugin file {str(path)!r} does not exist", "give -p the path of a Python file, for example ./my_dynamics.py")
    if file.suffix != ".py":
        raise UsageError(f"plugin file {str(path)!r} is not a .py file", "installed plugins need no -p; `twm list-plugins` shows them")
    if not file.stem.isidentifier():
        raise PluginError(
            f"plugin file {str(path)!r}: {file.stem!r} cannot be the name of a module", "use letters, digits and underscores only"
        )
    other = _meaning(file.stem)
    if other is not None and not _same(other, file):
        raise PluginError(f"plugin file {str(path)!r} would hide the module {file.stem!r} ({other})", "rename the file")
    try:
        contents = hashlib.sha256(file.read_bytes()).hexdigest()
    except OSError as error:
        raise UsageError(f"plugin file {str(path)!r} cannot be read: {error.strerror}", "check its permissions") from error
    return Found(name=file.stem, distribution=FILE, version="0", value=str(path), sha256=contents)


def load(found: Found) -> ModuleType:
    """Import a located file, once per process as any import; what the file raises comes through and leaves no module behind."""
    if found.name in sys.modules:
        return sys.modules[found.name]
    spec = importlib.util.spec_from_file_location(found.name, Path(found.value).resolve())
    if spec is None or spec.loader is None:
        raise PluginError(f"plugin file {found.value!r} cannot be imported", "give -p the path of a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[found.name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[found.name]
        raise
    return module


def _meaning(stem: str) -> str | None:
    """Where the module called `stem` comes from at present; None if there is none."""
    if stem in sys.modules:
        return getattr(sys.modules[stem], "__file__", None) or "built in"
    spec = importlib.util.find_spec(stem)
    return None if spec is None else spec.origin or "a namespace package"


def _same(origin: str, file: Path) -> bool:
    return Path(origin).exists() and Path(origin).samefile(file)
