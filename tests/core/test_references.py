"""Objects named by strings."""

from __future__ import annotations

import math

import pytest

from twm_core.plugin.references import load_reference


def test_a_reference_leads_to_its_object() -> None:
    assert load_reference("math:tau") is math.tau


def test_a_module_that_is_not_there_is_an_import_error() -> None:
    with pytest.raises(ImportError, match="no_such_module"):
        load_reference("no_such_module:thing")


def test_an_attribute_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no_such_thing"):
        load_reference("math:no_such_thing")
