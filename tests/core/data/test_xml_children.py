"""Reading the children of an XML file's root: what comes, in which order, and how bad files are refused."""

from __future__ import annotations

import pytest

from twm_core.data.importing.xml_children import read_children
from twm_core.errors import DataError


def test_the_root_comes_first_then_its_children_complete(tmp_path):
    path = tmp_path / "a.xml"
    path.write_text('<map version="3"><way id="1"><nd ref="2"/></way><node/></map>')
    found = [(e.tag, dict(e.attrib), [c.tag for c in e]) for e in read_children(path, "map", what="a map")]
    assert found == [("map", {"version": "3"}, []), ("way", {"id": "1"}, ["nd"]), ("node", {}, [])]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("<map><way></map>", r"a\.xml, line 1, column \d+: not well-formed XML"),
        ("", r"a\.xml, line 1, column 0: not well-formed XML"),
        ("<road/>", r"a\.xml: the root element is <road>, not <map>"),
        ('<?xml version="1.0" encoding="shift_jis"?><map/>', r"a\.xml, line 1: its encoding cannot be read"),
        ('<?xml version="1.0"?>\n<!DOCTYPE map [<!ENTITY a "b">]><map>&a;</map>', r"a\.xml, line 2: a document type is declared"),
        ('<!DOCTYPE map SYSTEM "map.dtd"><map/>', r"a\.xml, line 1: a document type is declared"),
        (f"<!--{'x' * 2_000_000}--><map/>", r"a\.xml, line 1: no element begins in its first megabyte"),
    ],
)
def test_a_bad_file_is_refused_by_name_and_place(text, message, tmp_path):
    path = tmp_path / "a.xml"
    path.write_text(text)
    with pytest.raises(DataError, match=message) as caught:
        list(read_children(path, "map", what="a map"))
    assert caught.value.hint


def test_a_comment_before_the_root_may_speak_of_a_document_type(tmp_path):
    path = tmp_path / "a.xml"
    path.write_text(f"<?xml version='1.0'?>\n<!-- {'long ' * 2000} <!DOCTYPE map> -->\n<map><way/></map>")
    assert [e.tag for e in read_children(path, "map", what="a map")] == ["map", "way"]


def test_a_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"a\.xml: cannot be read"):
        list(read_children(tmp_path / "a.xml", "map", what="a map"))
