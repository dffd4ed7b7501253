"""The registry: finding components, loading what they name, one-file plugins, commands and observers."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
from pluggy import PluginManager

from twm_core import AmbiguousComponentError, Component, PluginError, UnknownComponentError, UsageError, hookimpl
from twm_core.hooks import GROUP, HookSpecs
from twm_core.plugin.discovery import Found, Plugin
from twm_core.plugin.loading import Loaded, Loader
from twm_core.plugin.registry import Registered, Registry, discover

BLOCK_ALL = {"TWM_DISABLE_PLUGINS": "*"}


@pytest.fixture(autouse=True)
def _forget_imported_modules() -> Iterator[None]:
    before = set(sys.modules)
    yield
    for module in set(sys.modules) - before:
        del sys.modules[module]


def component(kind: str, name: str, *, config: str = "a:B", build: str = "a:b", upgrade: str | None = None) -> Component:
    return Component(kind=kind, name=name, summary="A test.", config=config, build=build, upgrade=upgrade)


def plugin(distribution: str, *components: Component, name: str = "main", status: str = "loaded", reason: str = "") -> Plugin:
    return Plugin(
        name=name,
        distribution=distribution,
        version="1.0",
        value="a",
        status=status,  # pyrefly: ignore[bad-argument-type]
        reason=reason,
        components=components,
    )


def registry(*plugins: Plugin) -> Registry:
    manager = PluginManager(GROUP)
    manager.add_hookspecs(HookSpecs)
    return Registry(manager=manager, loaded=[Loaded(plugin=p) for p in plugins])


def with_observers(**subjects: object) -> Registry:
    manager = PluginManager(GROUP)
    manager.add_hookspecs(HookSpecs)
    loader = Loader(manager=manager)
    loaded = [
        loader.load(Found(name="main", distribution=name, version="1.0", value="a"), lambda subject=subject: subject)
        for name, subject in subjects.items()
    ]
    return Registry(manager=manager, loaded=loaded)


# --- finding -------------------------------------------------------------------------------------------------------------------


def test_a_component_is_found_by_its_bare_and_by_its_qualified_name() -> None:
    found = registry(plugin("acme-worlds", component("dynamics", "leaky")))
    assert found.find("dynamics", "leaky") is found.find("dynamics", "acme-worlds:leaky")
    assert found.find("dynamics", "Acme_Worlds:leaky").qualified == "acme-worlds:leaky"


def test_components_are_listed_by_kind() -> None:
    found = registry(plugin("acme", component("dynamics", "x"), component("loss", "x")), plugin("beta", component("loss", "y")))
    assert [r.qualified for r in found.components("loss")] == ["acme:x", "beta:y"]
    assert len(found.components()) == 3


def test_a_name_that_two_distributions_share_is_an_error_only_when_it_is_used_bare() -> None:
    found = registry(plugin("acme", component("dynamics", "rssm-cat")), plugin("twm", component("dynamics", "rssm-cat")))
    assert found.find("dynamics", "twm:rssm-cat").plugin.distribution == "twm"
    assert found.find("dynamics", "acme:rssm-cat").plugin.distribution == "acme"
    with pytest.raises(AmbiguousComponentError) as caught:
        found.find("dynamics", "rssm-cat")
    assert caught.value.message == "dynamics 'rssm-cat' is provided by acme 1.0 and twm 1.0"
    assert caught.value.hint == "say acme:rssm-cat or twm:rssm-cat"


def test_a_name_in_the_text_of_a_distribution_means_its_own_component() -> None:
    found = registry(plugin("acme", component("dynamics", "rssm-cat")), plugin("twm", component("dynamics", "rssm-cat")))
    assert found.find("dynamics", "rssm-cat", own="twm").qualified == "twm:rssm-cat"
    assert found.shared("dynamics", "rssm-cat")
    assert not found.shared("loss", "rssm-cat")
    assert found.find("dynamics", "rssm-cat", own="acme").qualified == "acme:rssm-cat"
    assert found.find("dynamics", "acme:rssm-cat", own="twm").qualified == "acme:rssm-cat"
    assert found.find("dynamics", "rssm-cat", own="beta").qualified == "twm:rssm-cat"
    others = registry(plugin("acme", component("dynamics", "rssm-cat")), plugin("beta", component("dynamics", "rssm-cat")))
    with pytest.raises(AmbiguousComponentError):
        others.find("dynamics", "rssm-cat", own="gamma")
    alone = registry(plugin("acme", component("dynamics", "rssm-cat")))
    assert alone.find("dynamics", "rssm-cat", own="twm").qualified == "acme:rssm-cat"


def test_what_did_not_load_is_told_apart() -> None:
    assert registry().not_loaded() == ["no plugin is installed: install a distribution that has some, or give a file with -p FILE.py"]
    assert registry(plugin("acme")).not_loaded() == []
    rows = (plugin("a", status="blocked", reason="X names 'a'"), plugin("b", status="blocked", reason="Y"), plugin("c", status="broken"))
    assert registry(*rows).not_loaded() == ["2 plugins are blocked (X names 'a')", "1 plugin did not load (twm list-plugins --broken)"]


def test_an_unknown_name_gets_a_suggestion_the_installed_names_and_the_count_of_missing_plugins() -> None:
    found = registry(plugin("acme", component("dynamics", "leaky"), component("dynamics", "gru")), plugin("bad", status="broken"))
    with pytest.raises(UnknownComponentError) as caught:
        found.find("dynamics", "leeky")
    assert caught.value.message == "no dynamics is called 'leeky'; installed: gru, leaky"
    assert caught.value.hint == "did you mean 'leaky'?; 1 plugin did not load (twm list-plugins --broken)"


def test_an_unknown_name_that_is_of_another_kind_says_so() -> None:
    found = registry(plugin("acme", component("loss", "kl")))
    with pytest.raises(UnknownComponentError) as caught:
        found.find("dynamics", "kl")
    assert caught.value.message == "no dynamics is called 'kl'; installed: none; 'kl' is a loss"
    assert caught.value.hint == "`twm list-plugins` shows what is installed"


def test_a_qualified_name_of_a_plugin_that_did_not_load_tells_its_reason() -> None:
    found = registry(plugin("acme", status="broken", reason="ImportError: no"), plugin("beta", component("dynamics", "leaky")))
    with pytest.raises(UnknownComponentError) as caught:
        found.find("dynamics", "acme:leaky")
    assert caught.value.message.endswith("; plugin main of acme 1.0 is broken: ImportError: no")
    assert caught.value.hint == "did you mean 'beta:leaky'?; 1 plugin did not load (twm list-plugins --broken)"


def test_a_qualified_name_of_a_distribution_that_is_not_installed_says_so() -> None:
    with pytest.raises(UnknownComponentError, match="no installed distribution 'acme' has plugins"):
        registry().find("dynamics", "acme:leaky")


def test_an_unknown_kind_is_a_usage_error() -> None:
    for call in (lambda: registry().find("dynamic", "x"), lambda: registry().components("dynamic")):
        with pytest.raises(UsageError) as caught:
            call()
        assert caught.value.message.startswith("there is no kind 'dynamic'; kinds are dataset, encoder, dynamics, ")
        assert caught.value.hint == "did you mean 'dynamics'?"


# --- loading what a component names --------------------------------------------------------------------------------------------


def leaky(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, text: str, config: str = "named:Config", build: str = "named:build"
) -> Registered:
    (tmp_path / "named.py").write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    record = component("dynamics", "leaky", config=config, build=build, upgrade=build)
    return registry(plugin("acme", record)).find("dynamics", "leaky")


GOOD = """
from pydantic import Field
from twm_core import DynamicsConfig
print("imported")

class Config(DynamicsConfig):
    hidden: int = Field(8, description="Width.")

def build(config, given): return config.hidden
number = 3
"""


def test_config_and_functions_are_imported_when_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = leaky(tmp_path, monkeypatch, text=GOOD)
    assert "named" not in sys.modules
    config = found.load_config()()
    assert found.load_build()(config, None) == 8
    upgrade = found.load_upgrade()
    assert upgrade is found.load_build()
    assert capsys.readouterr().out == ""


def test_a_component_without_upgrade_has_none() -> None:
    assert registry(plugin("acme", component("loss", "kl"))).find("loss", "kl").load_upgrade() is None


@pytest.mark.parametrize("text", ["raise ValueError('never')", "raise SystemExit('never')"])
def test_a_module_that_cannot_be_imported_names_component_distribution_and_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    found = leaky(tmp_path, monkeypatch, text=text)
    with pytest.raises(PluginError) as caught:
        found.load_config()
    assert caught.value.message.startswith("dynamics leaky (acme 1.0): config 'named:Config' cannot be imported: ")
    assert "never" in caught.value.message
    assert "/named.py line 1" in caught.value.message
    assert caught.value.hint == "mend or reinstall acme, or choose another dynamics"
    with pytest.raises(PluginError, match="build 'named:build' cannot be imported"):
        found.load_build()


def test_a_string_that_leads_to_no_attribute_suggests_the_closest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = leaky(tmp_path, monkeypatch, text=GOOD, config="named:Confg", build="named:qqqq")
    with pytest.raises(PluginError) as caught:
        found.load_config()
    assert caught.value.message == "dynamics leaky (acme 1.0): config 'named:Confg' does not exist: module 'named' has no 'Confg'"
    assert caught.value.hint == "did you mean 'Config'?"
    with pytest.raises(PluginError) as caught:
        found.load_build()
    assert caught.value.hint == "correct the string in the Component of plugin 'main'"


def test_a_string_that_leads_to_the_wrong_thing_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = leaky(tmp_path, monkeypatch, text=GOOD, config="named:build", build="named:number")
    with pytest.raises(PluginError, match=r"dynamics leaky \(acme 1.0\): config .* is not a subclass of DynamicsConfig"):
        found.load_config()
    with pytest.raises(PluginError, match=r"dynamics leaky \(acme 1.0\): build 'named:number' is of type int, not a function"):
        found.load_build()


# --- one-file plugins ----------------------------------------------------------------------------------------------------------

FILE_PLUGIN = """
from pydantic import Field
from twm_core import Component, DynamicsConfig, hookimpl

class LeakyConfig(DynamicsConfig):
    hidden: int = Field(8, description="Width.")

def build(config, given): return config

@hookimpl
def twm_components():
    return [Component(kind="dynamics", name="leaky", summary="A test.", config="my_dynamics:LeakyConfig", build="my_dynamics:build")]
"""


def test_a_file_is_a_plugin_and_the_strings_inside_it_resolve(tmp_path: Path) -> None:
    path = tmp_path / "my_dynamics.py"
    path.write_text(FILE_PLUGIN + "__version__ = '0.3'")
    found = discover(files=[path], environ=BLOCK_ALL)
    row = found.plugins[-1]
    assert (row.name, row.distribution, row.version, row.value, row.status) == ("my_dynamics", "file", "0.3", str(path), "loaded")
    leaky = found.find("dynamics", "leaky")
    assert leaky is found.find("dynamics", "file:leaky")
    assert leaky.whose == f"dynamics leaky (file {path})"
    assert leaky.load_build()(leaky.load_config()(), None).hidden == 8


def test_a_file_asked_for_by_path_loads_although_everything_is_blocked(tmp_path: Path) -> None:
    (tmp_path / "my_dynamics.py").write_text(FILE_PLUGIN)
    found = discover(files=[tmp_path / "my_dynamics.py"], environ=BLOCK_ALL)
    assert {p.status for p in found.plugins[:-1]} <= {"blocked"}
    assert [r.component.name for r in found.components()] == ["leaky"]
    assert found.plugins[-1].version == "0"


def test_a_file_can_be_discovered_again_and_from_its_own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_dynamics.py").write_text(FILE_PLUGIN)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend("")
    first = discover(files=["my_dynamics.py"], environ=BLOCK_ALL).find("dynamics", "leaky").load_config()
    second = discover(files=["./my_dynamics.py"], environ=BLOCK_ALL).find("dynamics", "leaky").load_config()
    assert first is second


@pytest.mark.parametrize(
    ("name", "text", "error", "message"),
    [
        ("absent.py", None, UsageError, "plugin file '{path}' does not exist"),
        ("plugin.txt", "", UsageError, "plugin file '{path}' is not a .py file"),
        ("my-dynamics.py", "", PluginError, "plugin file '{path}': 'my-dynamics' cannot be the name of a module"),
        ("json.py", "", PluginError, "plugin file '{path}' would hide the module 'json' ("),
        ("wave.py", "", PluginError, "plugin file '{path}' would hide the module 'wave' ("),
        ("sys.py", "", PluginError, "plugin file '{path}' would hide the module 'sys' (built in)"),
        ("bad_syntax.py", "def (", PluginError, "plugin file '{path}' cannot be loaded: SyntaxError: invalid syntax"),
        ("bad_import.py", "import absent_module", PluginError, "plugin file '{path}' cannot be loaded: ModuleNotFoundError: No module"),
        ("bad_exit.py", "raise SystemExit", PluginError, "plugin file '{path}' cannot be loaded: SystemExit"),
        (
            "bad_hook.py",
            "import twm_core\n@twm_core.hookimpl\ndef twm_componet(): 0",
            PluginError,
            "plugin file '{path}' cannot be loaded: unkno",
        ),
    ],
)
def test_a_file_that_cannot_be_loaded_is_an_error_at_once(
    tmp_path: Path, name: str, text: str | None, error: type[Exception], message: str
) -> None:
    path = tmp_path / name
    if text is not None:
        path.write_text(text)
    before = set(sys.modules)
    with pytest.raises(error) as caught:
        discover(files=[path], environ=BLOCK_ALL)
    assert str(caught.value).startswith(message.format(path=path))
    assert path.stem not in set(sys.modules) - before


def test_two_files_with_the_same_component_are_an_error(tmp_path: Path) -> None:
    for stem in ("my_dynamics", "your_dynamics"):
        (tmp_path / f"{stem}.py").write_text(FILE_PLUGIN)
    with pytest.raises(PluginError, match="'leaky' is already provided by plugin 'my_dynamics' of file"):
        discover(files=[tmp_path / "my_dynamics.py", tmp_path / "your_dynamics.py"], environ=BLOCK_ALL)


# --- commands ------------------------------------------------------------------------------------------------------------------


class Paint:
    @hookimpl
    def twm_commands(self) -> dict[str, str]:
        return {"paint": "acme.paint:main"}


def test_of_two_commands_with_one_name_the_first_counts_and_a_warning_names_both() -> None:
    found = with_observers(acme=Paint(), beta=Paint())
    target, owner = found.commands()["paint"]
    assert (target, owner.distribution) == ("acme.paint:main", "acme")
    assert found.warnings == (
        "command 'paint' of plugin main (beta 1.0) is not available, because plugin main (acme 1.0) has one of that name; "
        "TWM_DISABLE_PLUGINS=acme:main frees it",
    )


# --- observers -----------------------------------------------------------------------------------------------------------------


class Watch:
    def __init__(self) -> None:
        self.seen: list[tuple[str, int]] = []

    @hookimpl
    def twm_checkpoint_saved(self, step: int, run: str) -> None:
        self.seen.append((run, step))


class Fail:
    @hookimpl
    def twm_checkpoint_saved(self, path: str) -> None:
        raise OSError(f"cannot copy {path}")


def test_an_observer_gets_the_arguments_it_asks_for() -> None:
    watch = Watch()
    with_observers(acme=watch).notify("twm_checkpoint_saved", run="r", step=3, path="p")
    assert watch.seen == [("r", 3)]


def test_an_observer_that_raises_warns_once_by_name_and_stops_nobody() -> None:
    first, last = Watch(), Watch()
    found = with_observers(a=first, bad=Fail(), c=last)
    with pytest.warns(RuntimeWarning, match=r"plugin main \(bad 1.0\): twm_checkpoint_saved raised OSError: cannot copy p ") as caught:
        found.notify("twm_checkpoint_saved", run="r", step=1, path="p")
    assert len(caught) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found.notify("twm_checkpoint_saved", run="r", step=2, path="p")
    assert first.seen == last.seen == [("r", 1), ("r", 2)]
    assert found.warnings == (str(caught[0].message),)


def test_an_interrupt_inside_an_observer_passes() -> None:
    class Interrupt:
        @hookimpl
        def twm_run_finished(self) -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        with_observers(acme=Interrupt()).notify("twm_run_finished", run="r", step=1, reason="completed")


def test_a_caller_that_forgets_an_argument_is_told_even_without_observers() -> None:
    with pytest.raises(TypeError, match=r"twm_run_finished takes \['reason', 'run', 'step'\], got \['run'\]"):
        with_observers().notify("twm_run_finished", run="r")


def test_every_hook_can_be_called_through_the_relay() -> None:
    watch = Watch()
    with_observers(acme=watch).hook.twm_checkpoint_saved(run="r", step=4, path="p")
    assert watch.seen == [("r", 4)]
