"""Promises of every component: a well-kept config, honest specs, and an instance of its kind."""

from __future__ import annotations

import importlib
import inspect

from twm_core.errors import PluginError
from twm_core.kinds import KINDS
from twm_core.testing.case import Case
from twm_core.testing.checks.check import Check
from twm_core.testing.failure import NotApplicable, broken
from twm_core.testing.subjects import SUBJECTS


def config_keeps_the_rules(case: Case) -> None:
    """The config derives from its kind's base, is closed and frozen, and every field has a default and a description.

    A config can be written to a recipe file and read back as an equal config.
    """
    try:
        config = case.config_class()
    except PluginError as error:
        broken(error.message, error.hint)
    again = case.config_class.model_validate(config.model_dump(mode="json", exclude_none=True))
    if again != config:
        broken(f"written and read back, {config!r} becomes {again!r}", "use types that JSON and TOML can hold")


def config_is_torch_free(case: Case) -> None:
    """Importing the module of the config imports neither torch nor numpy, so that validation and `--help` stay fast."""
    if case.one_file:
        raise NotApplicable("in a one-file plugin config and model share a module")
    assert case.heavy is not None
    module = case.registered.component.config.partition(":")[0]
    tried, error = case.heavy.report[module]
    if tried:
        broken(f"importing {module} imports {' and '.join(tried)}", "import torch and numpy in the module of `build` only")
    if error is not None:
        broken(f"{module} cannot be imported by itself: {error}", "import only what your distribution requires")


def refuses_by_mismatch(case: Case) -> None:
    """What does not suit is refused with `Mismatch`, never with another exception."""
    list(case.subjects)
    if case.improper:
        title, error = case.improper[0]
        broken(
            f"asked about [{title}], its config raised {type(error).__name__}: {error} ({len(case.improper)} such situations)",
            "raise Mismatch(needs=..., got=...), or return it from accepts()",
        )


def fits_something(case: Case) -> None:
    """At least one of the situations that the kit knows is accepted in every variant."""
    for title, _ in case.configs:
        if not any(s.title.startswith(f"{title}; ") for s in case.subjects):
            tried = [t for t in case.refused if t.startswith(f"{title}; ")]
            broken(f"fits nothing: {', '.join(tried) or 'every situation'} refused", "give options with which it fits")


def specs_are_pure(case: Case) -> None:
    """The spec method gives equal specs for equal arguments, from an equal config, however often it is asked."""
    for subject in case.subjects:
        equal = type(subject.config).model_validate(subject.config.model_dump())
        for situation in SUBJECTS[case.registered.component.kind].situations():
            if subject.title.endswith(f"; {situation.title}"):
                again = situation.ask(equal)
                if again != subject.specs:
                    broken(
                        f"[{situation.title}] asked twice gives {subject.specs} and {again}",
                        "compute specs from the config and arguments only",
                    )


def builds_its_kind(case: Case) -> None:
    """`build(config, given)` returns an instance of the interface of the component's kind, in every situation that was accepted."""
    module, _, attribute = KINDS[case.registered.component.kind].interface.partition(":")
    interface = getattr(importlib.import_module(module), attribute)
    missing: NotApplicable | None = None
    for subject in case.subjects:
        try:
            instance = subject.instance
        except NotApplicable as reason:
            missing = reason
            continue
        except Exception as error:
            raise RuntimeError(f"in [{subject.title}]: {type(error).__name__}: {error}") from error
        if not isinstance(instance, interface):
            broken(
                f"in [{subject.title}] build returns a {type(instance).__name__}, not a {attribute}", f"derive it from {module}.{attribute}"
            )
    if missing is not None:
        raise missing


def older_layouts_can_be_upgraded(case: Case) -> None:
    """Where `layout_version` is above 1, `upgrade` names a function that takes the tensors of an older layout and its version."""
    component = case.registered.component
    if component.layout_version == 1:
        raise NotApplicable("its parameters have had one layout only")
    upgrade = case.registered.load_upgrade()
    if upgrade is None:
        broken(
            f"layout_version is {component.layout_version} and there is no upgrade: checkpoints of older layouts cannot be read",
            "name a function upgrade(tensors, from_version) in the Component",
        )
    try:
        inspect.signature(upgrade).bind({}, component.layout_version - 1)
    except TypeError as error:
        broken(f"upgrade cannot be called as upgrade(tensors, from_version): {error}", "take two arguments")


COMMON = (
    Check(config_keeps_the_rules, of="case"),
    Check(config_is_torch_free, of="case"),
    Check(older_layouts_can_be_upgraded, of="case"),
    Check(refuses_by_mismatch, of="case", needs=("config_keeps_the_rules",)),
    Check(fits_something, of="case", needs=("config_keeps_the_rules", "refuses_by_mismatch")),
    Check(specs_are_pure, of="case", needs=("config_keeps_the_rules",)),
    Check(builds_its_kind, of="case", needs=("config_keeps_the_rules", "fits_something")),
)
