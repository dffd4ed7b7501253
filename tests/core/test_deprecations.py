"""A hook that will go, or an argument of one, keeps working; whoever uses it has a remark in its row that says what to use."""

from __future__ import annotations

from pluggy import PluginManager

from twm_core import hookimpl
from twm_core.hooks import GROUP, HookSpecs, hookspec
from twm_core.plugin.discovery import Found
from twm_core.plugin.loading import Loader


class AgeingSpecs(HookSpecs):
    """As one day: a hook that will go, and one that will lose an argument."""

    @hookspec(warn_on_impl=DeprecationWarning("twm_bell will go in 2.0: use twm_run_finished"))
    def twm_bell(self) -> None: ...

    @hookspec(warn_on_impl_args={"loud": DeprecationWarning("`loud` of twm_horn will go in 2.0")})
    def twm_horn(self, run: str, loud: bool) -> None: ...


class UsesOldHooks:
    @hookimpl
    def twm_bell(self) -> None: ...

    @hookimpl
    def twm_horn(self, loud: bool) -> None: ...


class UsesNewHooks:
    @hookimpl
    def twm_horn(self, run: str) -> None: ...


def test_a_plugin_that_uses_what_will_go_loads_with_a_remark_that_says_what_to_use() -> None:
    manager = PluginManager(GROUP)
    manager.add_hookspecs(AgeingSpecs)
    loader = Loader(manager=manager)
    old, new = (
        loader.load(Found(name="main", distribution=n, version="1.0", value="a"), lambda s=s: s()).plugin
        for n, s in (("acme", UsesOldHooks), ("beta", UsesNewHooks))
    )
    assert (old.status, new.status, new.reason) == ("loaded", "loaded", "")
    assert "DeprecationWarning: twm_bell will go in 2.0: use twm_run_finished" in old.reason
    assert "DeprecationWarning: `loud` of twm_horn will go in 2.0" in old.reason
