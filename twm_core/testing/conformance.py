"""A plugin author's whole test file: `test_conformance = conformance("acme-worlds")`.

It becomes one pytest test for every check of every component of the distribution. pytest is imported here only, and only when
called. Instances are built once for each component and process.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from twm_core.errors import UsageError
from twm_core.plugin.discovery import FILE, canonical
from twm_core.plugin.registry import Registered, discover
from twm_core.suggest import did_you_mean
from twm_core.testing.case import make_cases
from twm_core.testing.runner import Run


def conformance(
    distribution: str | None = None,
    *,
    file: str | Path | None = None,
    components: Sequence[str] | None = None,
    options: Mapping[str, Sequence[Mapping[str, Any]]] | None = None,
    expected_failures: Mapping[str, str] | None = None,
) -> Callable[[str], None]:
    """A pytest test, parametrised over every check of every component.

    Args:
        distribution: Name of the distribution as pip knows it.
        file: Path of a one-file plugin instead.
        components: Names (`leaky`) or keys (`dynamics/leaky`) of the components to check; all by default.
        options: Variants by `kind/name`: `{"dynamics/rssm-cat": [{"layout": "scene"}, {"layout": "agents"}]}` checks both; small sizes
            make it fast. The default options where there are none.
        expected_failures: Reasons by `kind/name/check`. Strict: such a check must fail.

    Raises:
        UsageError: The distribution or file provides no component, one of its plugins did not load, or a name is unknown.
    """
    import pytest

    run = Run(make_cases(chosen_components(distribution, file, components), options), expected_failures)

    @pytest.mark.parametrize("name", list(run.checks))
    def test_conformance(name: str) -> None:
        result = run.result(name)
        if result.status == "failed":
            raise result.failure or AssertionError(result.reason)
        if result.status == "unexpected":
            pytest.fail(f"{name}: {result.reason}: remove it from expected_failures", pytrace=False)
        if result.status == "expected":
            pytest.xfail(result.reason)
        if result.status in ("skipped", "blocked"):
            pytest.skip(result.reason)

    return test_conformance


def chosen_components(
    distribution: str | None = None, file: str | Path | None = None, components: Sequence[str] | None = None
) -> list[Registered]:
    """The components of a distribution or a file, or those of them that are named, as for `conformance`.

    Raises:
        UsageError: As for `conformance`.
    """
    if (distribution is None) == (file is None):
        raise UsageError(
            "conformance() takes a distribution or a file", 'write conformance("acme-worlds") or conformance(file="./mine.py")'
        )
    registry = discover(files=[] if file is None else [file])
    wanted = FILE if distribution is None else canonical(distribution)
    known = sorted({p.distribution for p in registry.plugins})
    if wanted not in known:
        raise UsageError(
            f"no installed distribution {distribution!r} has plugins{did_you_mean(wanted, known)}", "install it, or correct the name"
        )
    for plugin in registry.plugins:
        if plugin.distribution == wanted and plugin.status != "loaded":
            remedy = "let it load" if plugin.status == "blocked" else "mend it first"
            raise UsageError(f"plugin {plugin.name} of {plugin.whose} is {plugin.status}: {plugin.reason}", remedy)
    found = [r for r in registry.components() if r.plugin.distribution == wanted]
    if components is None:
        return found
    names = {n for r in found for n in (r.component.name, f"{r.component.kind}/{r.component.name}")}
    for name in components:
        if name not in names:
            raise UsageError(f"{distribution or file} has no component {name!r}{did_you_mean(name, names)}", "see twm list-plugins")
    return [r for r in found if r.component.name in components or f"{r.component.kind}/{r.component.name}" in components]
