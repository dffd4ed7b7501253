"""`twm check-plugin`: the conformance kit on every component of a distribution or a file, outside of pytest, with times and memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from twm_cli.options.session import Session
from twm_cli.output import show_json, table
from twm_core.errors import UsageError

if TYPE_CHECKING:
    from twm_core.testing.cost import Cost
    from twm_core.testing.runner import Result, Run


def command(session: Session) -> Callable[..., int]:
    """The command function."""

    def check_plugin(
        subject: Annotated[str, typer.Argument(metavar="DIST|FILE.py", help="A distribution, or a one-file plugin.", show_default=False)],
        component: Annotated[
            list[str] | None, typer.Option(metavar="NAME", help="Check this component only (NAME or KIND/NAME); may be repeated.")
        ] = None,
        options: Annotated[
            Path | None,
            typer.Option(metavar="FILE.toml", help='Options to check with, a table for each variant: [["dynamics/NAME"]].'),
        ] = None,
        expect: Annotated[
            list[str] | None, typer.Option(metavar="KIND/NAME/CHECK", help="A check that must fail, as known; may be repeated.")
        ] = None,
        as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object with results and costs.")] = False,
        plugin: Annotated[list[Path] | None, typer.Option("--plugin", "-p", metavar="FILE.py", help="Load a one-file plugin.")] = None,
    ) -> int:
        """Test what every component of a plugin promises.

        Ends with status 1 where a check fails, or an expected failure does not.
        """
        variants = _variants(options)
        from twm_core.testing.conformance import chosen_components
        from twm_core.testing.runner import Run, report

        is_file = subject.endswith(".py")
        chosen = chosen_components(None if is_file else subject, subject if is_file else None, component)
        from twm_core.testing.case import make_cases

        run = Run(make_cases(chosen, variants), dict.fromkeys(expect or (), "expected on the command line"))
        results, costs = run.results(), run.costs()
        failed = [r for r in results if r.status in ("failed", "unexpected")]
        if as_json:
            show_json({"results": [_result(r) for r in results], "costs": [vars(c) for c in costs], "passed": not failed})
        else:
            typer.echo("\n\n".join(_sections(run, results, costs, report(run))))
        return 1 if failed else 0

    return check_plugin


def _variants(file: Path | None) -> Mapping[str, Sequence[Mapping[str, Any]]] | None:
    """The options of a TOML file.

    Raises:
        UsageError: It is not there, or is no TOML of the expected shape.
    """
    if file is None:
        return None
    import tomllib

    try:
        found = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"cannot read {file}: {error.strerror}", "give a TOML file") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{file} is no TOML: {error}", "correct it") from error
    wrong = [k for k, v in found.items() if not (isinstance(v, list) and all(isinstance(x, dict) for x in v))]
    if wrong:
        raise UsageError(f"{file}: {wrong[0]!r} is no list of tables", f'write [["{wrong[0]}"]] above the options of each variant')
    return found


def _sections(run: Run, results: Sequence[Result], costs: Sequence[Cost], lines: Sequence[str]) -> list[str]:
    """What was tested, what did not pass, why something was skipped, what it costs, and the counts."""
    counts = {key: Counter(r.status for r in results if r.component == key) for key in run.cases}
    rows = [
        (
            c.component,
            str(sum(counts[c.component].values())),
            str(counts[c.component]["passed"]),
            _milliseconds(c.build),
            _milliseconds(c.use),
            "" if c.parameters is None else f"{c.parameters:,}",
            f"{c.checks:.1f}",
            f"{c.grown / 2**20:.0f}",
        )
        for c in costs
    ]
    head = ("COMPONENT", "CHECKS", "PASSED", "BUILD MS", "USE MS", "PARAMETERS", "CHECKS S", "GREW MIB")
    sections = [table(head, rows, right=tuple(range(1, len(head))))]
    unmeasured = [(c.component, c.unmeasured) for c in costs if c.unmeasured]
    if unmeasured:
        sections.append(table(("NOT MEASURED", "REASON"), unmeasured))
    skipped = [(r.name, r.reason) for r in results if r.status == "skipped"]
    if skipped:
        sections.append(table(("SKIPPED", "REASON"), skipped))
    hints = [f"{r.name}: {r.failure.hint}" for r in results if r.failure is not None and r.failure.hint and r.status == "failed"]
    *problems, total = lines
    if problems:
        sections.append("\n".join(problems))
    if hints:
        sections.append("\n".join(f"hint: {h}" for h in hints))
    return [*sections, total]


def _milliseconds(seconds: float | None) -> str:
    return "" if seconds is None else f"{1000 * seconds:.2f}"


def _result(result: Result) -> dict[str, Any]:
    return {
        "component": result.component,
        "check": result.check,
        "status": result.status,
        "situations": result.subjects,
        "reason": result.reason,
        "hint": None if result.failure is None else result.failure.hint,
    }
