"""Promises of protocols: they choose what is installed, fix no folder, import no torch, and have one hash wherever they are asked."""

from __future__ import annotations

from pydantic import ValidationError

from twm_core.data.dataset import SPLITS
from twm_core.errors import TwmError
from twm_core.testing.checks.check import Check
from twm_core.testing.failure import NotApplicable, broken
from twm_core.testing.subjects.protocol import ProtocolSubject

_PLACES = ("path", "paths", "folder", "root")


def choices_are_known(subject: ProtocolSubject) -> None:
    """Dataset, metrics and baselines are installed components, and the fields that are fixed are fields of theirs."""
    for kind in ("dataset", "metric", "baseline"):
        for name, fields in subject.specs[kind].items():
            try:
                found = subject.registry.find(kind, name, own=subject.registered.plugin.distribution)
                found.load_config().model_validate(fields)
            except TwmError as error:
                broken(f"{kind} {name}: {error.message}", error.hint or "correct the name")
            except ValidationError as error:
                broken(f"{kind} {name}: {error}", f"see twm describe {kind}/{name}")


def it_fixes_no_folder(subject: ProtocolSubject) -> None:
    """Where the files are is left to whoever runs it."""
    for name, fields in subject.specs["dataset"].items():
        found = [f for f in fields if f in _PLACES]
        if found:
            broken(f"dataset {name}: {', '.join(found)} is fixed", "a protocol is the same on every machine")


def it_says_what_is_scored(subject: ProtocolSubject) -> None:
    """It asks for one future at least and for a split that there is; what `build` returns says the same as the config."""
    given, built = subject.specs, subject.instance
    if given["samples"] < 1:
        broken(f"{given['samples']} futures are asked for", "ask for one at least")
    if given["split"] not in SPLITS:
        broken(f"the split is {given['split']!r}", f"splits are {', '.join(SPLITS)}")
    ((dataset, options),) = given["dataset"].items()
    wanted = (subject.registered.component.name, dataset, options, given["split"], given["samples"], given["metric"], given["baseline"])
    found = (
        *(built.name, built.dataset, dict(built.options), built.split, built.samples),
        *({k: dict(v) for k, v in parts.items()} for parts in (built.metrics, built.baselines)),
    )
    if found != wanted:
        broken(f"build returns {found}, the config says {wanted}", "build with twm_core.evaluation.protocol:build")


def it_has_one_hash(subject: ProtocolSubject) -> None:
    """It is built without torch and numpy, and its hash is the same in every process."""
    if subject.registered.plugin.distribution == "file":
        raise NotApplicable("a one-file plugin is not importable by its name in another process")
    hashes = {subject.instance.hash, subject.build().hash}
    for seed in (1, 2):
        what, text = subject.built_apart(seed)
        if what == "error":
            broken(f"in a process without torch and numpy it is not built: {text}", "a protocol is torch-free")
        hashes.add(text)
    if len(hashes) > 1:
        broken(f"its hash is {' and '.join(sorted(hashes))}", "choose nothing by time, by chance, or by the order of a set")


PROTOCOL = (
    Check(choices_are_known, needs=("builds_its_kind",)),
    Check(it_fixes_no_folder, needs=("builds_its_kind",)),
    Check(it_says_what_is_scored, needs=("builds_its_kind",)),
    Check(it_has_one_hash, needs=("builds_its_kind", "specs_are_pure")),
)
