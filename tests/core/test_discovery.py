"""Discovery of installed plugins: fake distributions in a temporary folder on the path, twm's own plugins blocked."""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import twm_core
from twm_core.plugin.discovery import Plugin, canonical
from twm_core.plugin.registry import Registry, discover

WITHOUT_TWM = {"TWM_DISABLE_PLUGINS": "twm"}

DECLARATION = """
from twm_core import Component, hookimpl

@hookimpl
def twm_components():
    return [Component(kind="dynamics", name={name!r}, summary="A test.", config="nowhere:Config", build="nowhere:build")]
"""

Install = Callable[..., None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Writes a distribution (metadata, entry points, one module per entry) and forgets its modules after the test."""
    before = set(sys.modules)
    monkeypatch.syspath_prepend(str(tmp_path))

    def write(
        name: str,
        *entries: str,
        version: str = "1.0",
        requires: tuple[str, ...] = (),
        folder: Path = tmp_path,
        **modules: str,
    ) -> None:
        info = folder / f"{name.replace('-', '_')}-{version}.dist-info"
        info.mkdir(parents=True)
        lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}", *(f"Requires-Dist: {line}" for line in requires)]
        (info / "METADATA").write_text("\n".join(lines) + "\n")
        (info / "entry_points.txt").write_text("[twm]\n" + "\n".join(entries) + "\n")
        for module, text in modules.items():
            (folder / f"{module}.py").write_text(text)
        importlib.invalidate_caches()

    yield write
    for module in set(sys.modules) - before:
        del sys.modules[module]


def rows(registry: Registry) -> dict[str, Plugin]:
    return {f"{p.distribution}:{p.name}": p for p in registry.plugins if p.distribution != "twm"}


def test_an_installed_plugin_is_loaded_with_its_components(install: Install) -> None:
    install("Acme_Worlds", "acme = acme_p1", version="1.2", acme_p1=DECLARATION.format(name="leaky"))
    registry = discover(environ=WITHOUT_TWM)
    plugin = rows(registry)["acme-worlds:acme"]
    assert (plugin.status, plugin.version, plugin.value, plugin.reason) == ("loaded", "1.2", "acme_p1", "")
    assert [c.name for c in plugin.components] == ["leaky"]
    assert registry.find("dynamics", "leaky").whose == "dynamics leaky (acme-worlds 1.2)"
    assert registry.warnings == ()


def test_plugins_stand_in_order_of_distribution_and_name(install: Install) -> None:
    install("zeta", "b = z_b", "a = z_a", z_a="", z_b="")
    install("alpha", "z = a_z", a_z="")
    registry = discover(environ=WITHOUT_TWM)
    assert list(rows(registry)) == ["alpha:z", "zeta:a", "zeta:b"]
    assert list(registry.plugins) == sorted(registry.plugins, key=lambda p: (p.distribution, p.name))


def test_an_entry_point_name_shared_by_two_distributions_is_kept_in_both(install: Install) -> None:
    install("first", "same = s_1", s_1=DECLARATION.format(name="one"))
    install("second", "same = s_2", s_2=DECLARATION.format(name="two"))
    registry = discover(environ=WITHOUT_TWM)
    assert {k: p.status for k, p in rows(registry).items()} == {"first:same": "loaded", "second:same": "loaded"}
    assert {r.component.name for r in registry.components("dynamics")} == {"one", "two"}


def test_an_entry_point_name_repeated_in_one_distribution_is_a_duplicate(install: Install) -> None:
    install("acme", "same = d_1", "same = d_2", d_1=DECLARATION.format(name="one"), d_2=DECLARATION.format(name="two"))
    registry = discover(environ=WITHOUT_TWM)
    first, second = (p for p in registry.plugins if p.distribution == "acme")
    assert (first.status, second.status) == ("loaded", "duplicate")
    assert second.reason == "acme declares the entry point 'same' more than once; the first one counts"
    assert "d_2" not in sys.modules


def test_a_distribution_found_twice_on_the_path_counts_once_and_the_first_wins(install: Install, tmp_path: Path) -> None:
    other = tmp_path / "later"
    install("acme", "acme = t_1", version="2.0", t_1="")
    install("acme", "acme = t_1", version="1.0", folder=other, t_1="raise RuntimeError")
    sys.path.append(str(other))
    try:
        found = [p for p in discover(environ=WITHOUT_TWM).plugins if p.distribution == "acme"]
    finally:
        sys.path.remove(str(other))
    assert [(p.version, p.status) for p in found] == [("2.0", "loaded")]


def test_a_copy_hidden_by_an_earlier_one_without_plugins_does_not_count(install: Install, tmp_path: Path) -> None:
    other = tmp_path / "later"
    install("acme", version="2.0")
    (tmp_path / "acme-2.0.dist-info" / "entry_points.txt").unlink()
    install("acme", "acme = h_1", version="1.0", folder=other, h_1="")
    sys.path.append(str(other))
    try:
        assert rows(discover(environ=WITHOUT_TWM)) == {}
    finally:
        sys.path.remove(str(other))


def test_a_malformed_entry_points_file_is_a_broken_row(install: Install) -> None:
    install("acme", "this line has no equals sign")
    (plugin,) = rows(discover(environ=WITHOUT_TWM)).values()
    assert (plugin.name, plugin.status) == ("entry_points.txt", "broken")
    assert plugin.reason.startswith("entry_points.txt cannot be parsed")


def test_a_malformed_target_is_a_broken_row(install: Install) -> None:
    install("acme", "acme = acme worlds!")
    (plugin,) = rows(discover(environ=WITHOUT_TWM)).values()
    assert plugin.status == "broken"
    assert plugin.reason == "PluginError: entry point target 'acme worlds!' is not of the form 'module' or 'module:object'"


def test_a_distribution_without_a_name_is_a_warning(install: Install, tmp_path: Path) -> None:
    install("acme", "acme = n_1", n_1="")
    (tmp_path / "acme-1.0.dist-info" / "METADATA").unlink()
    registry = discover(environ=WITHOUT_TWM)
    assert rows(registry) == {}
    assert registry.warnings == ("a distribution without a readable name declares plugins (acme = n_1): reinstall or remove it",)


def test_an_entry_points_file_in_another_encoding_is_a_warning(install: Install, tmp_path: Path) -> None:
    install("acme")
    (tmp_path / "acme-1.0.dist-info" / "entry_points.txt").write_bytes(b"[twm]\n\xff\xfe = x\n")
    (warning,) = discover(environ=WITHOUT_TWM).warnings
    assert warning.startswith("distribution acme: entry_points.txt is not UTF-8 text")


@pytest.mark.parametrize("item", ["acme", "Acme_Worlds", "acme-worlds:acme", "*", " x , acme "])
def test_a_disabled_plugin_is_blocked_before_import(install: Install, item: str) -> None:
    install("acme-worlds", "acme = b_1", b_1="raise RuntimeError")
    plugin = rows(discover(environ={"TWM_DISABLE_PLUGINS": f"twm,{item}"}))["acme-worlds:acme"]
    assert plugin.status == "blocked"
    assert plugin.reason.startswith("TWM_DISABLE_PLUGINS names ")
    assert "b_1" not in sys.modules


def test_the_allow_list_blocks_all_others(install: Install) -> None:
    install("acme", "acme = o_1", o_1="")
    install("other", "other = o_2", o_2="")
    registry = discover(environ={"TWM_PLUGINS": "acme"})
    assert {p.status for p in registry.plugins if p.distribution != "acme"} == {"blocked"}
    assert rows(registry)["acme:acme"].status == "loaded"
    assert rows(registry)["other:other"].reason == "TWM_PLUGINS does not name it"


def test_disabling_is_stronger_than_allowing(install: Install) -> None:
    install("acme", "acme = w_1", w_1="")
    assert rows(discover(environ={"TWM_PLUGINS": "acme", "TWM_DISABLE_PLUGINS": "acme"}))["acme:acme"].status == "blocked"


def test_an_empty_list_is_no_list(install: Install) -> None:
    install("acme", "acme = e_1", e_1="")
    registry = discover(environ={"TWM_PLUGINS": " ", "TWM_DISABLE_PLUGINS": "twm,"})
    assert rows(registry)["acme:acme"].status == "loaded"
    assert registry.warnings == ()


@pytest.mark.parametrize("variable", ["TWM_PLUGINS", "TWM_DISABLE_PLUGINS"])
def test_an_unknown_name_in_a_list_warns_with_the_closest_name(install: Install, variable: str) -> None:
    install("acme-worlds", "leaky = u_1", u_1="")
    registry = discover(environ={variable: "acme-wrlds,twm"})
    assert registry.warnings == (f"{variable} names 'acme-wrlds', which is no installed plugin; did you mean 'acme-worlds'?",)


def test_an_unknown_name_like_nothing_lists_what_is_installed(install: Install) -> None:
    (warning,) = discover(environ={"TWM_DISABLE_PLUGINS": "twm,qqqqqqqq"}).warnings
    assert warning.startswith("TWM_DISABLE_PLUGINS names 'qqqqqqqq', which is no installed plugin; installed: ")
    assert "twm:rssm" in warning


@pytest.mark.parametrize(
    ("requirement", "status"),
    [
        ("twm>=99", "incompatible"),
        ("TWM <0.1 ; python_version >= '3'", "incompatible"),
        ("twm[docs]==0.0.*", "incompatible"),
        ("twm>=99; python_version < '3'", "loaded"),
        ("twm>=99; extra == 'dev'", "loaded"),
        ("twm>=0.0.1", "loaded"),
        ("twm", "loaded"),
        ("twm-extras>=99", "loaded"),
    ],
)
def test_the_required_twm_version_decides_before_import(install: Install, requirement: str, status: str) -> None:
    install("acme", "acme = r_1", version="3.1", requires=("numpy", requirement), r_1="")
    plugin = rows(discover(environ=WITHOUT_TWM))["acme:acme"]
    assert plugin.status == status
    assert ("r_1" in sys.modules) == (status == "loaded")


def test_an_incompatible_plugin_names_both_versions(install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("twm_core.__version__", "0.1.0")
    install("acme", "acme = v_1", version="3.1", requires=("twm>=99",), v_1="")
    assert rows(discover(environ=WITHOUT_TWM))["acme:acme"].reason == "acme 3.1 requires twm>=99, this is twm 0.1.0"


def test_a_plugin_of_the_version_before_is_told_which_page_lists_the_changes(install: Install) -> None:
    install("acme", "acme = w_1", version="3.1", requires=("twm>=0.1,<0.2",), w_1="")
    plugin = rows(discover(environ=WITHOUT_TWM))["acme:acme"]
    assert plugin.status == "incompatible"
    assert plugin.reason.endswith(f"this is twm {twm_core.__version__}; docs/plugins/upgrade-0.2.md lists what has changed")
    assert (Path(__file__).parents[2] / "docs/plugins/upgrade-0.2.md").is_file()


def test_a_pre_release_of_twm_satisfies_a_plain_requirement(install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("twm_core.__version__", "0.3.0rc1")
    install("acme", "acme = q_1", requires=("twm>=0.2",), q_1="")
    assert rows(discover(environ=WITHOUT_TWM))["acme:acme"].status == "loaded"


def test_an_unreadable_requirement_is_broken(install: Install) -> None:
    install("acme", "acme = m_1", requires=("twm=>1",), m_1="")
    plugin = rows(discover(environ=WITHOUT_TWM))["acme:acme"]
    assert plugin.status == "broken"
    assert plugin.reason.startswith("Requires-Dist 'twm=>1' cannot be parsed: ")


def reason_of(install: Install, text: str) -> tuple[str, str]:
    install("acme", "acme = lonely", lonely=text)
    plugin = rows(discover(environ=WITHOUT_TWM))["acme:acme"]
    return plugin.status, plugin.reason


HEAD = "from twm_core import Component, hookimpl\n"
COMPONENT = "Component(kind='dynamics', name='leaky', summary='A test.', config='a:B', build='a:b')"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("1/0", r"ZeroDivisionError: division by zero \(.*/lonely.py line 1\)"),
        ("import sys\nsys.exit('no')", r"SystemExit: no \(.*/lonely.py line 2\)"),
        ("def broken(:", r"SyntaxError: .*\(lonely.py, line 1\)"),
        ("class E(Exception):\n def __str__(self): return 1/0\nraise E", r"E: \(its message cannot be read: ZeroDivisionError\).*"),
        (HEAD + "@hookimpl\ndef twm_componets(): pass", r"unknown hook 'twm_componets'; did you mean 'twm_components'\?"),
        (HEAD + "@hookimpl\ndef qqq(): pass", r"unknown hook 'qqq'; hooks are .*twm_run_started.*"),
        (HEAD + "@hookimpl(specname='twm_step_finish')\ndef mine(): pass", r"unknown hook 'twm_step_finish'; did you mean .*"),
        (HEAD + "@hookimpl(wrapper=True)\ndef twm_components(): yield", r"hook 'twm_components' is a wrapper, but hooks declare .*"),
        (HEAD + "@hookimpl\ndef twm_components(argument): pass", r"PluginValidationError: .*twm_components\(argument\).*"),
        (HEAD + "@hookimpl\ndef twm_components(): raise KeyError('x')", r"twm_components raised KeyError: 'x' \(.*lonely.py line 3\)"),
        (HEAD + "@hookimpl\ndef twm_components(): raise SystemExit", r"twm_components raised SystemExit \(.*line 3\)"),
        (HEAD + "@hookimpl\ndef twm_components(): return None", r"twm_components returned None instead of a list of Component"),
        (HEAD + "@hookimpl\ndef twm_components(): return 'leaky'", r"twm_components returned str 'leaky' instead of a list of Component"),
        (HEAD + "@hookimpl\ndef twm_components(): return [3]", r"twm_components returned int 3 in its list instead of a Component"),
        (HEAD + f"@hookimpl\ndef twm_components(): return 2 * [{COMPONENT}]", r"it declares dynamics 'leaky' twice"),
        (HEAD + "@hookimpl\ndef twm_commands(): return ['x']", r"twm_commands returned list \['x'\] instead of a mapping .*"),
        (HEAD + "@hookimpl\ndef twm_commands(): return {'x': 'y'}", r"twm_commands maps str 'x' to str 'y' instead of .*"),
        (HEAD + "@hookimpl\ndef twm_commands(): return {'x': print}", r"twm_commands maps str 'x' to builtin_function_or_method .*"),
        (
            HEAD + f"@hookimpl\ndef twm_components(): return [{COMPONENT.replace('leaky', 'Le_aky')}]",
            r"twm_components raised PluginError: component dynamics 'Le_aky': a name is .* \(rename the component\) \(.*line 3\)",
        ),
    ],
)
def test_a_plugin_that_breaks_a_rule_is_broken_and_says_why(install: Install, text: str, reason: str) -> None:
    status, given = reason_of(install, text)
    assert status == "broken"
    assert re.fullmatch(reason, given), given


@pytest.mark.parametrize(
    ("text", "remark"),
    [
        ("", "it implements no hook"),
        ("def twm_components(): return []", "function twm_components lacks @hookimpl and is never called; it implements no hook"),
    ],
)
def test_a_suspicious_plugin_loads_with_a_remark(install: Install, text: str, remark: str) -> None:
    assert reason_of(install, text) == ("loaded", remark)


def test_a_broken_plugin_leaves_no_hook_behind(install: Install) -> None:
    observer = "@hookimpl\ndef twm_run_finished(run): raise AssertionError\n"
    install("acme", "acme = l_1", l_1=HEAD + observer + "@hookimpl\ndef twm_components(): return 3")
    registry = discover(environ=WITHOUT_TWM)
    assert rows(registry)["acme:acme"].status == "broken"
    assert registry.hook.twm_run_finished.get_hookimpls() == []


def test_an_interrupt_from_the_keyboard_passes(install: Install) -> None:
    install("acme", "acme = k_1", k_1="raise KeyboardInterrupt")
    with pytest.raises(KeyboardInterrupt):
        discover(environ=WITHOUT_TWM)


def test_what_a_plugin_prints_at_import_goes_to_stderr(install: Install, capsys: pytest.CaptureFixture[str]) -> None:
    install("acme", "acme = p_1", p_1=HEAD + "print('at import')\n@hookimpl\ndef twm_components(): print('in the hook'); return []")
    assert rows(discover(environ=WITHOUT_TWM))["acme:acme"].status == "loaded"
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "at import\nin the hook\n")


def test_two_entry_points_to_one_object_are_duplicates(install: Install) -> None:
    install("acme", "a = same_1", "b = same_1", same_1=DECLARATION.format(name="leaky"))
    registry = discover(environ=WITHOUT_TWM)
    assert {k: (p.status, p.reason) for k, p in rows(registry).items()} == {
        "acme:a": ("loaded", ""),
        "acme:b": ("duplicate", "leads to the same object as acme:a"),
    }


def test_two_plugins_of_a_distribution_cannot_provide_the_same_component(install: Install) -> None:
    install("acme", "a = c_1", "b = c_2", c_1=DECLARATION.format(name="leaky"), c_2=DECLARATION.format(name="leaky"))
    registry = discover(environ=WITHOUT_TWM)
    second = rows(registry)["acme:b"]
    assert (second.status, second.reason) == ("duplicate", "dynamics 'leaky' is already provided by plugin 'a' of acme")
    assert registry.find("dynamics", "leaky").plugin.name == "a"


def test_an_entry_point_may_lead_to_an_object(install: Install) -> None:
    body = f"class Mine:\n @hookimpl\n def twm_components(self): return [{COMPONENT}]\nplugin = Mine()"
    install("acme", "acme = obj_1:plugin", obj_1=HEAD + body)
    assert discover(environ=WITHOUT_TWM).find("dynamics", "leaky").plugin.value == "obj_1:plugin"


@pytest.mark.parametrize(("name", "normal"), [("Acme_Worlds", "acme-worlds"), ("a.-_b", "a-b"), ("twm", "twm")])
def test_distribution_names_are_compared_as_package_indexes_do(name: str, normal: str) -> None:
    assert canonical(name) == normal
