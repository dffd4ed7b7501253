"""twm's own components go through the same conformance kit as everybody's, with small sizes and in each of their layouts.

The recorded datasets need files; where those are not at hand their checks are skipped, and say so.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from twm_core.testing import conformance

DATA = Path(__file__).parents[2].parent / "shared" / "data"
GRU: dict[str, Any] = {"hidden": 16}
STOCHASTIC: dict[str, Any] = {"deter": 12, "stoch": 4}
TRANSFORMER: dict[str, Any] = {"width": 8, "heads": 2, "feedforward": 2, "n_layers": 2, "window": 3}
RSSM: dict[str, Any] = {"deter": 16, "hidden": 8, "heads": 2}
CAT: dict[str, Any] = {**RSSM, "groups": 3, "classes": 4}
GAUSS: dict[str, Any] = {**RSSM, "stoch": 6}
EARLY: dict[str, Any] = {"core": "gru", "norm": "layer", "eps": 1e-3, "initial": "learned"}
HIGHWAY: dict[str, Any] = {
    "runs": 1,
    "evaluation_runs": 1,
    "run_seconds": 12.0,
    "warm_up_seconds": 20.0,
    "train_sites": ["straight-3"],
    "test_sites": ["bends-2"],
}
ROADMAP: dict[str, Any] = {"width": 8, "channels": 4, "layers": 3, "agent_layers": 2, "crop_pixels": 4}
SHAPES: dict[str, Any] = {"episodes": 12, "evaluation_episodes": 8, "image_size": 16}
DRIVERS: dict[str, Any] = {
    "desired_speed": 30.0,
    "compliance": 1.0,
    "headway": 1.5,
    "standstill": 2.0,
    "acceleration": 1.0,
    "braking": 1.5,
}
OPTIONS: dict[str, list[dict[str, Any]]] = {
    "dataset/highway": [HIGHWAY, {**HIGHWAY, "actions": True}, {**HIGHWAY, "raster": True, "raster_size": 32, "metres_per_pixel": 4.0}],
    "dataset/shapes": [SHAPES, {**SHAPES, "actions": "discrete", "vectors": False}, {**SHAPES, "actions": "none", "images": False}],
    "encoder/multiagent": [
        {"width": 16, "heads": 2},
        {"width": 16, "heads": 2, "history": 3, "layers": 0},
        {"width": 16, "hidden": 8, "heads": 2, "frame": "scene", "pooled": "hidden", "dropout": 0.1},
        {"width": 16, "heads": 2, "frame": "world", "neighbours": 0, "pooling": "mean", "embeddings": "sum", "agent_tokens": False},
    ],
    "decoder/modes": [
        {"width": 16, "modes": 3},
        {"width": 16, "modes": 3, "joint": True},
        {"width": 16, "modes": 3, "layers": 1, "reads": "both"},
    ],
    "loss/modes": [{}, {"anneal": 4, "observed": 1, "final": 0.0}],
    "encoder/multimodal": [
        {"depth": 2, "units": 8, "layers": 2},
        {"depth": 4, "units": 8, "cnn": "resnet", "norm": "layer"},
        {"depth": 4, "units": 8, "norm": "layer", "symlog": False},
    ],
    "encoder/roadmap": [
        ROADMAP,
        {**ROADMAP, "tokens": "scene"},
        {**ROADMAP, "tokens": "agents", "frame": "scene"},
        {**ROADMAP, "crop": "pixels", "crop_pixels": 8},
    ],
    "dynamics/gru": [{**GRU, "layout": "scene"}, {**GRU, "layout": "agents"}, {**GRU, "n_layers": 2}],
    "dynamics/lstm": [{**GRU, "layout": "scene"}, {**GRU, "layout": "agents"}, {**GRU, "n_layers": 2}],
    "dynamics/stochastic-gru": [{**STOCHASTIC, "layout": "scene"}, {**STOCHASTIC, "layout": "agents"}],
    "dynamics/transformer": [
        {**TRANSFORMER, "layout": "scene"},
        {**TRANSFORMER, "layout": "agents"},
        {**TRANSFORMER, "window": 8, "positions": "learned", "max_steps": 8},
    ],
    "dynamics/rssm-cat": [
        {**CAT, "layout": "scene"},
        {**CAT, "layout": "agents"},
        {**CAT, "heads": 0},
        {**CAT, "geometry": True},
        {**CAT, "correction": True, "draws": "stratified"},
        {**CAT, "correction": True, "layout": "scene"},
        {**CAT, "initial": "learned", "norm": "layer"},
        {**CAT, "core": "gru", "layout": "scene"},
        {**CAT, **EARLY, "layout": "scene", "unimix_stored": True},
        {**CAT, **EARLY, "layout": "agents", "unimix_stored": True},
    ],
    "dynamics/rssm-gauss": [
        {**GAUSS, "layout": "scene"},
        {**GAUSS, "layout": "agents"},
        {**GAUSS, "core": "gru", "heads": 0, "std": "softplus"},
        {**GAUSS, "correction": True, "draws": "stratified"},
        {**GAUSS, **EARLY, "layout": "scene"},
        {**GAUSS, **EARLY, "layout": "agents"},
        {**GAUSS, "geometry": True, "core": "gru"},
    ],
    "decoder/image": [
        {"depth": 4, "units": 8, "mults": [2, 4, 4, 4]},
        {"depth": 8, "upsampling": "transposed", "distribution": "normal", "std": 0.5, "norm": "layer", "squash": "shift"},
    ],
    "decoder/agents": [
        {"width": 16},
        {"width": 16, "existence": False},
        {"width": 16, "prior": "constant-acceleration", "heading": "angle-head"},
        {"width": 16, "parametrisation": "displacement", "distribution": "gaussian"},
        {"width": 16, "parametrisation": "absolute"},
        {"width": 16, "parametrisation": "absolute", "queries": "slots", "heading": "angle-head", "distribution": "mixture", "modes": 2},
        {"width": 16, "distribution": "gaussian", "heading": "angle-head"},
        {"width": 16, "distribution": "mixture", "modes": 3},
        {"width": 16, "queries": "slots", "distribution": "mixture", "modes": 2, "slots": 8},
        {"width": 16, "queries": "slots", "parametrisation": "absolute", "features": "continuous", "activation": "relu", "slots": 8},
        {"width": 16, "parametrisation": "absolute", "features": "continuous", "distribution": "gaussian", "heading": "angle-head"},
    ],
    "decoder/vector": [
        {"units": 8},
        {"units": 8, "distribution": "normal", "layers": 1},
        {"units": 8, "distribution": "mse", "keys": ".*", "norm": "layer"},
    ],
    "decoder/reward": [
        {"units": 8},
        {"units": 8, "distribution": "symlog-twohot", "bins": 11, "norm": "layer"},
        {"units": 8, "distribution": "mse"},
    ],
    "decoder/continue": [{"units": 8}, {"units": 8, "norm": "layer"}],
    "loss/nll": [{}, {"prediction": 1.0, "reconstruction": 0.0}, {"keys": ".*(state|own)", "scales": {".*": 0.5}}],
    "loss/mse": [{}, {"prediction": 0.5}],
    "loss/kl": [{}, {"free": "mean"}, {"form": "balance"}],
    "loss/rollout": [{}, {"final": 0.5, "anneal": 3}, {"samples": 1, "steps": 1}, {"overshooting": 1.0, "free_nats": 0.0}],
    "loss/angle": [{}, {"form": "squared", "reconstruction": 1.0}],
    "loss/velocity-direction": [{}, {"reconstruction": 1.0}],
    "loss/kinematic": [
        {},
        {"prediction": 0.0, "futures": 1.0, "samples": 2},
        {
            "rule": "backward",
            "acceleration": 1.0,
            "max_acceleration": 2.0,
            "yaw_rate": 1.0,
            "max_yaw_rate": 0.2,
            "futures": 1.0,
            "steps": 1,
        },
    ],
    "loss/boundary": [{}, {"mode": "range", "futures": 1.0}, {"mode": "map"}],
    "loss/wta": [{}, {"samples": 2, "epsilon": 0.1, "steps": 1}],
    "baseline/constant-velocity": [{}, {"estimate": "mean"}],
    "baseline/sampled-constant-velocity": [{}, {"straight": False}],
    "baseline/kalman": [{}, {"model": "acceleration"}, {"process": 1.0, "measurement": 0.1, "speed": 5.0}],
    "baseline/idm": [{}, DRIVERS],
}
for name, folder in (("commonroad", "commonroad_ngsim"), ("ethucy", "eth_ucy")):
    if (DATA / folder).is_dir():
        OPTIONS[f"dataset/{name}"] = [{"path": str(DATA / folder)}]

test_conformance = conformance("twm", options=OPTIONS)
