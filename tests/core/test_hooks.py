"""The hooks: their names and signatures are a contract with every plugin ever written."""

from __future__ import annotations

import inspect

import pytest
from pluggy import PluginManager

from twm_core import hookimpl
from twm_core.hooks import GROUP, HookSpecs

SIGNATURES = {
    "twm_components": [],
    "twm_commands": [],
    "twm_run_started": ["run", "recipe"],
    "twm_step_finished": ["run", "step", "metrics"],
    "twm_checkpoint_saved": ["run", "step", "path"],
    "twm_run_finished": ["run", "step", "reason"],
}


def hooks() -> dict[str, list[str]]:
    found = inspect.getmembers(HookSpecs, lambda m: inspect.isfunction(m) and hasattr(m, f"{GROUP}_spec"))
    return {name: [p for p in inspect.signature(function).parameters if p != "self"] for name, function in found}


def test_there_are_exactly_these_hooks_with_these_arguments() -> None:
    assert hooks() == SIGNATURES


@pytest.mark.parametrize("name", list(SIGNATURES))
def test_every_hook_is_documented_and_annotated(name: str) -> None:
    function = getattr(HookSpecs, name)
    assert inspect.getdoc(function)
    assert all(p.annotation is not p.empty for n, p in inspect.signature(function).parameters.items() if n != "self")


@pytest.mark.parametrize("name", ["twm_components", "twm_commands"])
def test_a_declaring_hook_has_no_default_answer(name: str) -> None:
    with pytest.raises(NotImplementedError):
        getattr(HookSpecs(), name)()


def test_an_observer_may_leave_out_arguments() -> None:
    heard: list[int] = []

    class Observer:
        @hookimpl
        def twm_step_finished(self, step: int) -> None:
            heard.append(step)

    manager = PluginManager(GROUP)
    manager.add_hookspecs(HookSpecs)
    manager.register(Observer())
    manager.check_pending()
    manager.hook.twm_step_finished(run="runs/a", step=7, metrics={})
    assert heard == [7]
