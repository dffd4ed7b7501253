"""Writes the parts of the documentation that are tables of the code: run `python docs/generate.py` after changing a component.

    README.md                      components, between its two markers
    CONTRIBUTING.md                the tree: every folder of source with the first line of its docstring, between two markers
    docs/reference/components.md   every field of every first-party component, and of the tables `training`, `fusion`, `plugins`
    docs/reference/checks.md       every promise that the conformance kit tests
    docs/reference/public.md       every public name, see `surface.py`
    docs/contracts/KIND.md         signatures and names of checks, between two markers
    docs/plugins/hooks.md          signatures of the hooks, between two markers

`--check` writes nothing and exits 1 if a file is not up to date; a test does that. Plugins of others that happen to be installed are
left out.
"""

from __future__ import annotations

import ast
import importlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import surface

from twm_cli.options.fields import inline, range_text, type_name
from twm_core.config import ComponentConfig
from twm_core.hooks import HookSpecs
from twm_core.kinds import KINDS, Kind
from twm_core.plugin.registry import Registered, discover
from twm_core.recipe.fusion import FusionConfig
from twm_core.recipe.pins import PluginsConfig
from twm_core.recipe.training_config import TrainingConfig
from twm_core.testing.checks import CHECKS

ROOT = Path(__file__).parents[1]
BEGIN, END = "<!-- components: begin -->", "<!-- components: end -->"
GENERATED, GENERATED_END = "<!-- generated: begin -->", "<!-- generated: end -->"
WITHOUT_SPECS = ("reader", "renderer", "simulator")
"""Kinds whose `build` takes the config alone."""

NOTE = "<!-- Written by docs/generate.py. Edit the code it reads, not this file. -->"


def first_party() -> list[Registered]:
    """The components of the distribution twm, by kind and name."""
    for variable in ("TWM_PLUGINS", "TWM_DISABLE_PLUGINS"):
        os.environ.pop(variable, None)
    registry = discover()
    failed = [p for p in registry.plugins if p.distribution == "twm" and p.status != "loaded"]
    if failed:
        raise SystemExit("\n".join(f"plugin {p.name} is {p.status}: {p.reason}" for p in failed))
    mine = [r for r in registry.components() if r.plugin.distribution == "twm"]
    order = list(KINDS)
    return sorted(mine, key=lambda r: (order.index(r.component.kind), r.component.name))


def cell(text: str) -> str:
    """Text that a table cell can hold."""
    return text.replace("|", "\\|").replace("\n", " ")


def table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    """A Markdown table."""
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join("| " + " | ".join(row) + " |" for row in lines)


def overview(components: list[Registered]) -> str:
    """The components by kind and name."""
    rows = [(r.component.kind, f"`{r.component.name}`", cell(r.component.summary)) for r in components]
    return table(("kind", "name", "what it does"), rows)


def fields(config: type[ComponentConfig]) -> str:
    """The fields of a config."""
    rows = []
    for name, field in config.model_fields.items():
        value = field.get_default(call_default_factory=True)
        default = "none" if value is None else inline(value)
        kind = " ".join(part for part in (type_name(field.annotation), range_text(field)) if part)
        rows.append((f"`{name}`", cell(kind), f"`{cell(default)}`", cell(field.description or "")))
    return table(("field", "type", "default", "meaning"), rows)


def components_page(components: list[Registered]) -> str:
    """The page of all fields."""
    parts = [
        "# Components and their fields",
        NOTE,
        "A field stands under the same dotted path in a recipe file, in `--set` and as an option; the headings show how the path begins. "
        "`twm describe NAME` prints the same for every installed component.",
        "## training",
        "Options `--training.FIELD`.",
        fields(TrainingConfig),
        "## fusion",
        "How the tokens of several encoders become one embedding. Options `--fusion.FIELD`.",
        fields(FusionConfig),
        "## plugins",
        "Which plugins a recipe pins, blocks and allows; see [versions](../plugins/versions.md#pins). Options `--plugins.FIELD`.",
        fields(PluginsConfig),
    ]
    for r in components:
        kind, name = r.component.kind, r.component.name
        prefix = f"--{kind}.{name}." if KINDS[kind].several else f"--{kind}."
        parts += [f"## {kind} {name}", f"{r.component.summary} Options `{prefix}FIELD`.", fields(r.load_config())]
    return "\n\n".join(parts) + "\n"


def checks_page() -> str:
    """The page of all promises."""
    parts = [
        "# Conformance checks",
        NOTE,
        "What `twm_core.testing` tests for a component of each kind. A check that does not apply is skipped with a reason.",
    ]
    for kind, checks in CHECKS.items():
        rows = [(f"`{c.name}`", cell(" ".join(c.promise.partition("\n\n")[0].split()))) for c in checks]
        parts += [f"## {kind}: {len(checks)} checks", table(("check", "promise"), rows)]
    return "\n\n".join(parts) + "\n"


def public_page() -> str:
    """The page of all public names."""
    parts = [
        "# Public names",
        NOTE,
        "What may be imported from outside of `twm_core`, and nothing else: see [versions](../plugins/versions.md). A class is shown with "
        "its constructor or its fields, a function with its arguments; the docstrings have the rest.",
    ]
    for module, purpose, lines in surface.listing():
        parts.append(f"## `{module}`\n\n{purpose[0].upper()}{purpose[1:]}.")
        if lines:
            parts.append("```text\n" + "\n".join(lines) + "\n```")
    return "\n\n".join(parts) + "\n"


def contract(kind: Kind) -> str:
    """The generated part of a kind's page: methods of its config, its class, its checks."""
    module, _, attribute = kind.interface.partition(":")
    interface = getattr(importlib.import_module(module), attribute)
    second = "" if kind.name in WITHOUT_SPECS else ", name" if kind.name == "protocol" else ", specs"
    lines = [f"class {kind.config.__name__}({kind.config.__mro__[1].__name__})", *surface.members(kind.config), ""]
    lines += [f"build(config{second}) -> {attribute}", "", f"class {attribute}"]
    # torch's own optimizer is described by torch.
    lines += ["    step(closure=None)"] if kind.name == "optimizer" else surface.members(interface)
    names = ", ".join(f"`{c.name}`" for c in CHECKS[kind.name])
    return "\n\n".join(
        [
            "## Signatures",
            NOTE.replace("Edit", "From the marker above to the one below: edit"),
            "```text\n" + "\n".join(lines) + "\n```",
            f"`twm check-plugin` and `conformance` run {len(CHECKS[kind.name])} checks on a component of this kind: {names}. "
            "[Conformance checks](../reference/checks.md) says what each promises.",
        ]
    )


def hooks() -> str:
    """The generated part of the page on hooks."""
    found = [f"{name}{surface.annotated(f)}" for name, f in vars(HookSpecs).items() if name.startswith("twm_")]
    return "## Signatures\n\n" + NOTE + "\n\n```text\n" + "\n".join(found) + "\n```"


def tree() -> str:
    """Every folder of source with the first line of its docstring."""
    rows = []
    for room in ("twm_core", "cli/twm_cli", "plugins"):
        for file in sorted((ROOT / room).rglob("__init__.py"), key=lambda f: f.parent.parts):
            text = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
            rows.append((f"`{file.parent.relative_to(ROOT)}`", cell(text.partition("\n")[0])))
    return table(("folder", "what belongs in it"), rows)


def between(path: Path, text: str) -> str:
    """A page with new text between its two markers."""
    before, begin, rest = path.read_text(encoding="utf-8").partition(GENERATED)
    _, end, after = rest.partition(GENERATED_END)
    if not (begin and end):
        raise SystemExit(f"{path.relative_to(ROOT)} lacks {GENERATED} or {GENERATED_END}")
    return f"{before}{begin}\n{text}\n{end}{after}"


def files() -> dict[Path, str]:
    """What every generated file should hold."""
    components = first_party()
    readme = ROOT / "README.md"
    before, begin, rest = readme.read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise SystemExit(f"README.md lacks {BEGIN} or {END}")
    return {
        readme: f"{before}{BEGIN}\n{overview(components)}\n{END}{after}",
        ROOT / "docs/reference/components.md": components_page(components),
        ROOT / "docs/reference/checks.md": checks_page(),
        ROOT / "docs/reference/public.md": public_page(),
        ROOT / "CONTRIBUTING.md": between(ROOT / "CONTRIBUTING.md", tree()),
        **{p: between(p, contract(k)) for k in KINDS.values() for p in [ROOT / f"docs/contracts/{k.name}.md"]},
        ROOT / "docs/plugins/hooks.md": between(ROOT / "docs/plugins/hooks.md", hooks()),
    }


def main() -> int:
    """Write the files, or check them."""
    stale = [p for p, text in files().items() if not p.exists() or p.read_text(encoding="utf-8") != text]
    names = ", ".join(str(p.relative_to(ROOT)) for p in stale)
    if "--check" in sys.argv[1:]:
        if stale:
            sys.stderr.write(f"not up to date: {names}; run python docs/generate.py\n")
        return int(bool(stale))
    for path, text in files().items():
        path.write_text(text, encoding="utf-8")
    sys.stdout.write(f"wrote {names}\n" if stale else "everything was up to date\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
