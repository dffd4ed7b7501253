"""The whole comparison with the official numbers passes, and it fails where a number is off."""

from __future__ import annotations

from pathlib import Path

import check
import pytest
from safetensors import safe_open
from safetensors.torch import save_file

DATA = Path(__file__).parents[2].parent / "shared" / "data" / "dreamerv3_parity"


def official(name: str) -> Path:
    path = DATA / f"{name}_seed0.safetensors"
    if not path.is_file():
        pytest.skip(f"{path.name} is not at hand")
    return path


@pytest.mark.parametrize("name", ["vector", "image"])
def test_every_quantity_is_within_its_limit(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    status = check.main([str(official(name))])
    printed = capsys.readouterr().out
    assert "MISS" not in printed
    assert status == 0
    assert printed.count("\nok ") > 200


@pytest.mark.parametrize("wrong", ["param/dyn/dyngru/bias", "out/loss/rep", "grad/enc/mlp0/kernel", "opt/update3/con/head/logit/kernel"])
def test_a_number_that_is_off_is_a_miss(wrong: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with safe_open(official("vector"), "pt") as file:
        tensors, facts = {k: file.get_tensor(k) for k in file.keys()}, file.metadata()  # noqa: SIM118 (not a mapping)
    tensors[wrong] = tensors[wrong] + 1e-3 * tensors[wrong].abs().max()
    save_file(tensors, tmp_path / "off.safetensors", facts)
    assert check.main([str(tmp_path / "off.safetensors")]) == 1
    missed = [line for line in capsys.readouterr().out.splitlines() if line.startswith("MISS")]
    assert missed
    if wrong.startswith(("out/", "opt/")):  # parameters and gradients enter into more than one quantity
        assert len(missed) == 1


def test_a_file_of_something_else_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "x").write_text("nothing")
    assert check.main([str(tmp_path / "x")]) == 2
    assert "is not a file of official numbers" in capsys.readouterr().err
