"""The manual holds together: links lead somewhere, every page is in the navigation, and mkdocs builds it without a warning."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest
from pages import MANUAL, PAGES, ROOT

FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)


def anchors(page: Path) -> set[str]:
    """The anchors that headings make, as mkdocs spells them."""
    headings = re.findall(r"^#+ (.*)$", FENCE.sub("", page.read_text(encoding="utf-8")), flags=re.MULTILINE)
    return {re.sub(r"[\s-]+", "-", re.sub(r"[^\w\s-]", "", h).strip().lower()) for h in headings}


@pytest.mark.parametrize("page", [*PAGES, *sorted((ROOT / "plugins").glob("*/README.md"))], ids=lambda p: str(p.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    for target in re.findall(r"\]\(([^)]+)\)", text):
        if target.startswith("https://"):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.is_file(), target
        assert not anchor or anchor in anchors(file), target


@pytest.mark.parametrize("page", [p for p in PAGES if p.name != "CONTRIBUTING.md"], ids=lambda p: str(p.relative_to(ROOT)))
def test_files_that_a_page_names_exist(page: Path) -> None:
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    for name in re.findall(r"`((?:twm_core|plugins|cli|docs|benchmarks|tests)/[\w./-]+)`", text):
        assert (ROOT / name).exists(), name


def test_every_page_is_in_the_navigation_once() -> None:
    named = re.findall(r": ([\w./-]+\.md)$", (ROOT / "mkdocs.yml").read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert sorted(named) == sorted(str(p.relative_to(MANUAL)) for p in MANUAL.rglob("*.md"))


def test_mkdocs_builds_the_manual_without_a_warning(tmp_path: Path) -> None:
    for module in ("mkdocs", "mkdocstrings_handlers"):
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"{module} is not installed (extra `docs`)")
    command = [sys.executable, "-W", "ignore", "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    interfaces = (tmp_path / "reference/interfaces/index.html").read_text(encoding="utf-8")
    assert "the posterior of the step before" in interfaces  # a docstring arrived
    assert not list(tmp_path.rglob("*.py"))


def test_pictures_are_small() -> None:
    pictures = [p for p in MANUAL.rglob("*") if p.suffix in (".png", ".gif", ".jpg", ".svg")]
    assert pictures
    assert all(p.stat().st_size < 150_000 for p in pictures)
