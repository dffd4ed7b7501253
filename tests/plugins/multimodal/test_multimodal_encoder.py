"""The encoder `multimodal`: against NumPy loops in float64, one key after the other, and what it refuses."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from pydantic import ValidationError
from torch import Tensor, nn

from twm_core.errors import Mismatch
from twm_core.specs import EncoderSpecs, KeySpec, ObservationSpec
from twm_multimodal.config import MultimodalConfig
from twm_multimodal.encoder import Multimodal, build
from twm_multimodal.resnet import ResidualCNN

FRONT = KeySpec(key="image.front", axes="B T C H W", dtype="uint8", shape=(2, 4, 8))
REAR = KeySpec(key="image.rear", axes="B T C H W", dtype="uint8", shape=(1, 4, 8))
SMALL = KeySpec(key="image.small", axes="B T C H W", dtype="uint8", shape=(1, 4, 4))
SPEED = KeySpec(key="vector.speed", axes="B T D", shape=(3,))
GEAR = KeySpec(key="vector.gear", axes="B T", dtype="int64", classes=4)
REWARD = KeySpec(key="reward", axes="B T")
SECRET = KeySpec(key="vector.secret", axes="B T D", shape=(2,), role="target")
TINY: dict[str, Any] = {"depth": 2, "mults": (1, 2), "units": 6, "layers": 2}


def obs_spec(*keys: KeySpec) -> ObservationSpec:
    return ObservationSpec(keys=keys, dt=0.1, context=2, horizon=1)


def make(spec: ObservationSpec, **options: Any) -> Multimodal:
    config = MultimodalConfig(**{**TINY, **options})
    torch.manual_seed(0)
    module = build(config, EncoderSpecs(obs_spec=spec, embedding=config.embedding(spec)))
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return module


def batch() -> dict[str, Tensor]:
    source = torch.Generator().manual_seed(1)
    images = {k.key: torch.randint(0, 256, (2, 3, *k.shape), generator=source, dtype=torch.uint8) for k in (FRONT, REAR)}
    return {
        **images,
        "vector.speed": 5 * torch.randn(2, 3, 3, generator=source),
        "vector.gear": torch.randint(0, 4, (2, 3), generator=source),
        "reward": torch.randn(2, 3, generator=source),
    }


def norm_silu(x: NDArray[np.float64], scale: NDArray[np.float64]) -> NDArray[np.float64]:
    y = x / np.sqrt((x**2).mean(axis=-1, keepdims=True) + 1e-4) * scale
    return y / (1 + np.exp(-y))


def numbers(x: Tensor) -> NDArray[np.float64]:
    return x.detach().double().numpy()


def by_hand(module: Multimodal, data: dict[str, Tensor], b: int, t: int) -> NDArray[np.float64]:
    """The token of one (b, t) by loops over pixels."""
    parameters = {k: numbers(v) for k, v in module.named_parameters()}
    speed = numbers(data["vector.speed"][b, t])
    x = np.concatenate([np.eye(4)[int(data["vector.gear"][b, t])], np.sign(speed) * np.log1p(np.abs(speed))])
    for i in range(2):
        x = norm_silu(
            parameters[f"trunk.linears.{i}.weight"] @ x + parameters[f"trunk.linears.{i}.bias"], parameters[f"trunk.norms.{i}.scale"]
        )
    image = np.concatenate([numbers(data["image.front"][b, t]), numbers(data["image.rear"][b, t])]) / 255 - 0.5
    for i in range(2):
        kernel, bias = parameters[f"cnn.convolutions.{i}.weight"], parameters[f"cnn.convolutions.{i}.bias"]
        _, height, width = image.shape
        padded = np.pad(image, ((0, 0), (2, 2), (2, 2)))
        y = np.zeros((height, width, len(bias)))
        for r in range(height):
            for c in range(width):
                y[r, c] = (kernel * padded[:, r : r + 5, c : c + 5]).sum(axis=(1, 2, 3)) + bias
        pooled = np.maximum.reduce([y[::2, ::2], y[1::2, ::2], y[::2, 1::2], y[1::2, 1::2]])
        image = norm_silu(pooled, parameters[f"cnn.norms.{i}.scale"]).transpose(2, 0, 1)
    return np.concatenate([x, image.transpose(1, 2, 0).ravel()])


def test_tokens_are_what_loops_over_pixels_give() -> None:
    module, data = make(obs_spec(REAR, FRONT, SPEED, GEAR)), batch()
    with torch.no_grad():
        scene = module(data).scene
    assert scene is not None
    assert scene.shape == (2, 3, 6 + 1 * 2 * 4)
    for b in range(2):
        for t in range(3):
            np.testing.assert_allclose(numbers(scene[b, t]), by_hand(module, data, b, t), rtol=1e-5, atol=1e-5)


def test_missing_values_silence_their_key_only() -> None:
    module, data = make(obs_spec(SPEED, GEAR)), batch()
    gone = {k: v.clone() for k, v in data.items()}
    gone["vector.speed"][0, 1, 2] = -torch.inf
    gone["vector.gear"][1, 0] = -1
    zero = {**data, "vector.speed": data["vector.speed"].clone()}
    zero["vector.speed"][0, 1] = 0
    with torch.no_grad():
        usual, holes, zeroed = (module(d).scene for d in (data, gone, zero))
    changed = (usual != holes).any(dim=-1)
    assert changed.tolist() == [[False, True, False], [True, False, False]]
    torch.testing.assert_close(holes[0], zeroed[0])
    assert bool(holes.isfinite().all())


def test_symlog_can_be_left_out() -> None:
    module = make(obs_spec(SPEED), symlog=False, layers=1)
    data = batch()
    with torch.no_grad():
        scene = module(data).scene
        assert module.trunk is not None
        torch.testing.assert_close(scene, module.trunk(data["vector.speed"]))


def test_keys_are_chosen_by_pattern_and_targets_never() -> None:
    spec = obs_spec(FRONT, REAR, SPEED, GEAR, REWARD, SECRET)
    assert MultimodalConfig().taken(spec) == {"image.front", "image.rear", "vector.speed", "vector.gear"}
    assert MultimodalConfig(image_keys="image.front", vector_keys="$^").taken(spec) == {"image.front"}
    assert MultimodalConfig(vector_keys=".*").taken(spec) == MultimodalConfig().taken(spec)


def test_a_vector_of_another_shape_is_refused_with_a_pattern_that_works() -> None:
    spec = obs_spec(SPEED, KeySpec(key="vector.number", axes="B T"))
    with pytest.raises(Mismatch, match=r"got vector\.number with axes B T, float32") as refused:
        MultimodalConfig().embedding(spec)
    assert str(refused.value.remedy).startswith("set encoder.multimodal.vector_keys so that it leaves vector.number out")
    pattern = str(refused.value.remedy).split("such as ")[1].strip("'")
    assert MultimodalConfig(vector_keys=pattern).taken(spec) == {"vector.speed"}


def test_the_residual_network_halves_down_to_its_smallest_map() -> None:
    spec = obs_spec(KeySpec(key="image.front", axes="B T C H W", dtype="uint8", shape=(3, 32, 64)))
    config = MultimodalConfig(cnn="resnet", depth=3)
    assert config.embedding(spec).scene == 4 * 8 * 12
    module = make(spec, cnn="resnet", depth=3, blocks=0)
    assert isinstance(module.cnn, ResidualCNN)
    # Without blocks each stage is a strided convolution, the norm and SiLU.
    x = torch.randn(2, 3, 32, 64)
    y = x
    for halve, norm in zip(module.cnn.halvings, module.cnn.norms, strict=True):
        y = norm(halve(y).movedim(1, -1)).movedim(-1, 1)
    torch.testing.assert_close(module.cnn(x), y.movedim(1, -1).flatten(1))


def test_a_residual_block_adds_to_its_input() -> None:
    module = make(obs_spec(FRONT), cnn="resnet", depth=3, blocks=2, minres=1, norm="layer")
    assert isinstance(module.cnn, ResidualCNN)
    for layer in module.cnn.blocks.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
    with_blocks = module.cnn(torch.ones(1, 2, 4, 8))
    module.cnn.blocks = nn.ModuleList([nn.Identity() for _ in module.cnn.norms])
    torch.testing.assert_close(module.cnn(torch.ones(1, 2, 4, 8)), with_blocks)


@pytest.mark.parametrize(
    ("keys", "options", "words", "cure"),
    [
        ((REWARD,), {}, "got observations", None),
        ((SPEED,), {"image_keys": "image.front"}, "needs images whose key matches", {"image_keys": "$^"}),
        ((FRONT, SPEED), {"image_keys": "camera"}, "the keys image.front", {"image_keys": r"image\.front"}),
        ((FRONT, SPEED), {"vector_keys": "velocity"}, "the keys vector.speed", {"vector_keys": r"vector\.speed"}),
        ((FRONT, SMALL), {}, "image.front 4 x 8, image.small 4 x 4", {"image_keys": r"image\.front$"}),
        ((FRONT,), {"mults": (2, 3, 4, 4)}, "images of 4 x 8", {"mults": (2, 3)}),
        ((FRONT,), {"cnn": "resnet", "minres": 3}, "images of 4 x 8", {"minres": 2}),
    ],
)
def test_what_does_not_fit_is_refused_with_a_remedy_that_works(
    keys: tuple[KeySpec, ...], options: dict[str, Any], words: str, cure: dict[str, Any] | None
) -> None:
    with pytest.raises(Mismatch) as caught:
        MultimodalConfig(**{**TINY, **options}).embedding(obs_spec(*keys))
    assert words in str(caught.value.got) or words in caught.value.message
    assert caught.value.remedy
    if cure is not None:
        (option, value) = next(iter(cure.items()))
        said = list(value) if isinstance(value, tuple) else value
        assert caught.value.remedy.startswith(f"set encoder.multimodal.{option} to ")
        assert str(said) in caught.value.remedy
        assert MultimodalConfig(**{**TINY, **options, **cure}).embedding(obs_spec(*keys)).scene


def test_options_that_mean_nothing_are_refused() -> None:
    with pytest.raises(ValidationError, match="is not a regular expression"):
        MultimodalConfig(image_keys="image.(")
    with pytest.raises(ValidationError, match="is even"):
        MultimodalConfig(kernel=4)
