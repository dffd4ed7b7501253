"""The documentation as data: its pages and their fenced blocks."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
MANUAL = ROOT / "docs"
PAGES = (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(MANUAL.rglob("*.md")))
_BLOCK = re.compile(r"(?:^<!-- (newcomer: \w+|guide: begin) -->\n)?^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_FILE = re.compile(r"# ([\w/]+\.(?:py|toml))\n")


@dataclass(frozen=True)
class Block:
    """A fenced block: its page, number on the page, language, text, the name in a `newcomer` comment before it, and
    whether it belongs to the author's guide."""

    page: Path
    number: int
    language: str
    text: str
    newcomer: str
    guide: bool = False

    @property
    def id(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.number}"

    @property
    def file(self) -> str | None:
        """The name under which a reader saves this block, from the comment in its first line."""
        found = _FILE.match(self.text)
        return found[1] if found and self.language in ("python", "toml") else None

    @property
    def commands(self) -> list[str]:
        """The command lines of a block of the shell."""
        return [line for line in self.text.splitlines() if line.strip()] if self.language == "bash" else []


def blocks(*pages: Path) -> Iterator[Block]:
    for page in pages or PAGES:
        for number, found in enumerate(_BLOCK.finditer(page.read_text(encoding="utf-8")), start=1):
            mark = found[1] or ""
            yield Block(page, number, found[2], found[3], mark.removeprefix("newcomer: ") if "newcomer" in mark else "", "guide" in mark)


def save_files(page: Path, folder: Path) -> list[str]:
    """Save every block of a page that names its file, as a reader would, and return the names."""
    names = []
    for block in blocks(page):
        if block.file is not None:
            target = folder / block.file
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(block.text, encoding="utf-8")
            names.append(block.file)
    return names
