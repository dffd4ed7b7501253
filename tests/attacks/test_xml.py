"""XML that declares entities: every reader of XML refuses the document type before anything of it is used.

The files are the examples of the readers, with a document type put before their root element.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from attempts import attempt

from twm_core.data.importing.reader import Reader
from twm_core.plugin.registry import Registry

FILES = {
    ("commonroad", "ZAM_Test-1_1_T-1.xml"),
    ("ethucy", "map.xml"),
    ("interaction", "DR_TEST_Merging_XX0.osm"),
    ("sumo", "crossing.fcd.xml"),
    ("sumo", "crossing.net.xml"),
    ("sumo", "crossing.rou.xml"),
    ("sumo", "crossing.tls.xml"),
}
"""Readers and those of their example's files that are XML; a test finds them."""


@pytest.fixture(scope="session")
def examples(registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Reader, Path, list[Path]]]:
    """By name of a reader of XML: the reader, the folder of its example, and the paths to import in it."""
    found = {}
    for registered in registry.components("reader"):
        name = registered.component.name
        reader = registered.load_build()(registered.load_config()())
        folder = tmp_path_factory.mktemp(name)
        paths = [p.relative_to(folder) for p in reader.example(folder)]
        if any(is_xml(p) for p in folder.rglob("*")):
            found[name] = reader, folder, paths
    return found


def is_xml(path: Path) -> bool:
    return path.is_file() and path.read_bytes()[:200].lstrip().startswith(b"<")


def laughs(levels: int = 30) -> tuple[str, str]:
    lines = ['<!ENTITY l0 "ha">', *(f'<!ENTITY l{i + 1} "{f"&l{i};" * 10}">' for i in range(levels))]
    return "[" + "".join(lines) + "]", f"&l{levels};"


def document_types(secret: Path) -> Iterator[tuple[str, str, str]]:
    """Name, what follows `<!DOCTYPE root`, and what stands in an attribute or a text."""
    declared, used = laughs()
    yield "billion laughs", declared, used
    yield "quadratic blowup", f'[<!ENTITY long "{"a" * 100_000}">]', "&long;" * 1000
    yield "an external entity", f'[<!ENTITY secret SYSTEM "file://{secret}">]', "&secret;"
    yield "an external entity by path", f'[<!ENTITY secret SYSTEM "{secret}">]', "&secret;"
    yield "a public entity", f'[<!ENTITY secret PUBLIC "-//x//y" "{secret}">]', "&secret;"
    yield "an unparsed entity", f'[<!NOTATION n SYSTEM "n"><!ENTITY secret SYSTEM "{secret}" NDATA n>]', ""
    yield "a parameter entity", f'[<!ENTITY % more SYSTEM "{secret}"> %more;]', ""
    yield "a parameter entity in itself", '[<!ENTITY % a "&#37;a;"> %a;]', ""
    yield "an entity in itself", '[<!ENTITY a "&b;"><!ENTITY b "&a;">]', "&a;"
    yield "an external document type", f'SYSTEM "{secret}"', ""
    yield "a default attribute", '[<!ATTLIST lane id CDATA "x">]', ""
    yield "an empty document type", "", ""


def put_into(path: Path, declared: str, used: str) -> None:
    """Put a document type before the root element, and something into an attribute and a text after it."""
    text = path.read_text(encoding="utf-8")
    root = re.search(r"<([A-Za-z][\w.-]*)", text)
    assert root is not None
    end = text.index(">", root.end())
    # External entities may not stand in attributes.
    attribute = "" if "secret" in used else used
    remark = f"<remark note='{attribute}'>{used}</remark>"
    start = f"{text[: root.start()]}<!DOCTYPE {root[1]} {declared}>{text[root.start() : end + 1]}"
    path.write_text(f"{start}{remark}{text[end + 1 :]}", encoding="utf-8")


def test_every_file_of_xml_is_tried(examples: dict[str, tuple[Reader, Path, list[Path]]]) -> None:
    found = {(name, p.name) for name, (_, folder, _) in examples.items() for p in folder.rglob("*") if is_xml(p)}
    assert found == FILES


@pytest.mark.parametrize(("name", "file"), sorted(FILES))
def test_a_document_type_is_refused_before_anything_of_it_is_used(
    name: str, file: str, examples: dict[str, tuple[Reader, Path, list[Path]]], tmp_path: Path
) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("must-not-appear")
    reader, folder, paths = examples[name]
    for number, (attack, declared, used) in enumerate(document_types(secret)):
        place = tmp_path / str(number)
        shutil.copytree(folder, place / "in")
        (target,) = (place / "in").rglob(file)
        put_into(target, declared, used)
        error = attempt(reader, name, [place / "in" / p for p in paths], place, file=file)
        assert error is not None, attack
        assert "a document type is declared" in error.message, (attack, error.message)
        assert re.search(r", line \d+", error.message)
        assert error.hint
        assert "must-not-appear" not in str(error)
