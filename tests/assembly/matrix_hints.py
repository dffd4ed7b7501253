"""What a reader of a refusal can try: the hint's alternatives, each applied to the recipe that was refused.

Understood are the forms that configs and the assembly write:

    set PATH to VALUE            PATH may leave out the part that was refused (`layout`); further values may follow: `'a' or 'b'`
    --KIND NAME                  as on the command line: in place of the recipe's own, or (`add --KIND NAME`) beside them
    KIND that fits: NAME, NAME   in place of the part that was refused, or, of decoders, of all
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from matrix_recipes import ONE_OF, Choice, outcome, refusal

from twm_core.errors import AssemblyError, UsageError

REFUSED = re.compile(r"^(?P<kind>\w+) (?P<name>[\w-]+) \(twm [^)]+\) does not fit: it needs .+; .*\(twm [^)]+\) gives .+$", re.DOTALL)
SET = re.compile(r"set (?P<path>[\w.-]+) to (?P<values>'[^']*'(?: or '[^']*')*|\[[^\]]*\]|[\w.-]+)")
OPTION = re.compile(r"(?P<add>add )?--(?P<kind>\w+) (?P<name>[\w-]+)")
FITTING = re.compile(r"(?P<kind>\w+) that fits: (?P<names>[\w-]+(?:, [\w-]+)*)")


def both_sides(error: AssemblyError) -> tuple[str, str]:
    """Kind and name of the part that was refused.

    Raises:
        AssertionError: The message does not name it and what it was given, both with distribution and version.
    """
    found = REFUSED.match(error.message)
    assert found, error.message
    return found["kind"], found["name"]


def alternatives(choice: Choice, error: AssemblyError) -> list[Choice]:
    """The choice after each of the changes that the hint names, but for those that set options which do not exist there."""
    return [c for c in _changed(choice, error) if not isinstance(outcome(c), UsageError)]


def steps_to_accepted(choice: Choice, *, most: int) -> int | None:
    """How many refusals must be read and mended, one after another, until the recipe is accepted; None for more than `most`."""
    frontier, known = [choice], {choice}
    for steps in range(most + 1):
        if any(refusal(c) is None for c in frontier):
            return steps
        onward: list[Choice] = []
        for current in frontier:
            error = refusal(current)
            assert error is not None
            for other in alternatives(current, error):
                if other not in known:
                    known.add(other)
                    onward.append(other)
        frontier = onward
    return None


def _changed(choice: Choice, error: AssemblyError) -> Iterator[Choice]:
    kind, name = both_sides(error)
    hint = error.hint or ""
    for found in SET.finditer(hint):
        path = found["path"]
        if "." not in path:
            path = f"{kind}.{path}" if kind in ONE_OF else f"{kind}.{name}.{path}"
        for value in _values(found["values"]):
            yield _with_option(choice, path, value)
    for found in OPTION.finditer(hint):
        yield _with_part(choice, found["kind"], found["name"], beside=bool(found["add"]))
    for found in FITTING.finditer(hint):
        for other in found["names"].split(", "):
            if found["kind"] in ONE_OF:
                yield _with_part(choice, found["kind"], other, beside=False)
            else:
                field = f"{found['kind']}s"
                now = getattr(choice, field)
                yield _of_chosen_parts(replace(choice, **{field: tuple(dict.fromkeys(other if n == name else n for n in now))}))
                yield _of_chosen_parts(replace(choice, **{field: (other,)}))


def _values(text: str) -> list[Any]:
    if text.startswith("["):
        return [tuple(int(x) for x in text.strip("[]").split(","))]
    if text.startswith("'"):
        return re.findall(r"'([^']*)'", text)
    words = {"true": True, "false": False}
    return [words[text] if text in words else int(text) if text.isdigit() else text]


def _with_option(choice: Choice, path: str, value: Any) -> Choice:
    return replace(choice, options=(*(o for o in choice.options if o[0] != path), (path, value)))


def _with_part(choice: Choice, kind: str, name: str, *, beside: bool) -> Choice:
    if kind in ONE_OF:
        changed = replace(choice, **{kind: name})  # type: ignore[arg-type]
        # Another part begins with its own options.
        kept = "dynamics.layout" if kind == "dynamics" else ""
        return replace(changed, options=tuple(o for o in choice.options if not o[0].startswith(f"{kind}.") or o[0] == kept))
    field = f"{kind}s"
    names = (*getattr(choice, field), name) if beside else (name,)
    return _of_chosen_parts(replace(choice, **{field: tuple(dict.fromkeys(names))}))  # type: ignore[arg-type]


def _of_chosen_parts(choice: Choice) -> Choice:
    """Without the options of encoders and decoders that are not chosen any more."""
    chosen = {f"encoder.{n}" for n in choice.encoders} | {f"decoder.{n}" for n in choice.decoders}

    def stays(path: str) -> bool:
        words = path.split(".")
        return words[0] not in ("encoder", "decoder") or ".".join(words[:2]) in chosen

    return replace(choice, options=tuple(o for o in choice.options if stays(o[0])))
