"""What rounding really does stays far below what the kit allows, and no check has a tolerance of its own."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
import torch

import twm_core.testing.checks as checks
from twm_core.testing.failure import Broken
from twm_core.testing.readings import Reading, same
from twm_core.testing.tolerance import TF32, numbers, parameters, rounding, rounding_of_products


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("summands", [1, 100, 10_000])
def test_a_sum_in_any_order_is_within_a_quarter_of_what_is_allowed(dtype: torch.dtype, summands: int) -> None:
    source = torch.Generator().manual_seed(0)
    values = torch.randn(summands, generator=source).to(dtype)
    for _ in range(5):
        order = torch.randperm(summands, generator=source)
        one, other = torch.zeros((), dtype=dtype), torch.zeros((), dtype=dtype)
        for a, b in zip(values, values[order], strict=True):
            one, other = one + a, other + b
        largest = float(values.double()[order].cumsum(dim=0).abs().max())
        assert float((one.double() - other.double()).abs()) <= rounding(dtype, summands) * (1 + largest) / 4


def test_it_grows_with_the_root_of_the_size_and_with_the_coarseness_of_the_type() -> None:
    assert rounding(torch.float32, 400) == pytest.approx(20 * rounding(torch.float32))
    assert rounding(torch.float32, 0) == rounding(torch.float32, 1)
    assert rounding(torch.float32) / rounding(torch.float64) == 2.0**29
    assert rounding_of_products(9) == pytest.approx(3 * rounding_of_products(1))
    assert rounding_of_products(1, torch.finfo(torch.float32).eps) == rounding(torch.float32)
    assert torch.finfo(torch.float32).eps < TF32 < torch.finfo(torch.bfloat16).eps


def test_readings_may_differ_by_the_rounding_of_their_own_type() -> None:
    for dtype in (torch.float32, torch.float64):
        wanted = torch.full((3,), 5.0, dtype=dtype)
        allowed = 6 * rounding(dtype, 100)
        same({"x": Reading(wanted + 0.9 * allowed, "")}, {"x": Reading(wanted, "")}, "a little off", summands=100)
        with pytest.raises(Broken, match="too far off: x differs by"):
            same({"x": Reading(wanted + 1.2 * allowed, "")}, {"x": Reading(wanted, "")}, "too far off", summands=100)


def test_whole_numbers_and_truth_values_may_not_differ_at_all() -> None:
    for one, other in ((torch.tensor([3]), torch.tensor([4])), (torch.tensor([True]), torch.tensor([False]))):
        with pytest.raises(Broken, match="differs by"):
            same({"x": Reading(one, "")}, {"x": Reading(other, "")}, "other", summands=10**30)


def test_a_comparison_names_its_size() -> None:
    with pytest.raises(ValueError, match="summands or within"):
        same({"x": Reading(torch.ones(1), "")}, {"x": Reading(torch.ones(1), "")}, "without a size")


def test_sizes_count_the_numbers_that_can_be_rounded() -> None:
    layer = torch.nn.Linear(3, 2)
    assert (numbers(parameters(layer)), parameters("no network")) == (8, [])
    assert numbers([torch.ones(4), torch.ones(5, dtype=torch.long)]) == 4


def test_no_check_has_a_tolerance_of_its_own() -> None:
    found = []
    files = sorted(Path(checks.__path__[0]).glob("*.py"))
    assert len(files) > 15
    for file in files:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, float) and 0 < node.value <= 1e-3:
                found.append((file.name, node.value))
    assert found == [("reader.py", 1e-3)]  # metres a second, where a share of the rows decides
