"""What an evaluation goes on without: baselines and metrics that the user did not name and that fail, and those left out on request.

A default must not end a command that does not name it, so its failure is one row of the result. What the user named fails with its error.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field

from twm_core.errors import PluginError, TwmError, UsageError
from twm_core.plugin.loading import describe
from twm_core.suggest import did_you_mean

BASELINE, METRIC = "baseline", "metric"


@dataclass(frozen=True)
class Row:
    """One component that was left out.

    Attributes:
        kind: `baseline` or `metric`.
        name: Its name in the evaluation.
        whose: Kind, name, distribution and version where they are known.
        why: The reason on one line.
    """

    kind: str
    name: str
    whose: str
    why: str

    @property
    def line(self) -> str:
        """The row as a remark."""
        return f"{self.whose} is left out: {self.why}"


@dataclass
class LeftOut:
    """The components that were left out of one evaluation.

    Attributes:
        rows: In the order in which they were left out.
    """

    rows: list[Row] = field(default_factory=list)

    @contextmanager
    def unless_named(self, kind: str, name: str, whose: str, *, named: bool) -> Generator[None]:
        """Run code of a component; where it fails and the user did not name it, add a row.

        Args:
            kind: `baseline` or `metric`.
            name: Its name in the evaluation.
            whose: What messages call it.
            named: Whether the user named it: then the error is raised.

        Raises:
            PluginError: A component that the user named tried to end the program.
        """
        try:
            yield
        except SystemExit as error:
            if named:
                raise PluginError(f"{whose} tried to end the program: {describe(error)}", "mend or replace the plugin") from error
            self.add(kind, name, whose, describe(error))
        except TwmError as error:
            if named:
                raise
            self.add(kind, name, whose, error.message)
        except Exception as error:
            if named:
                raise
            self.add(kind, name, whose, describe(error))

    def add(self, kind: str, name: str, whose: str, why: str) -> None:
        """Add a row, once for each component."""
        if not self.has(kind, name):
            for known in (f"{whose}: ", f"{kind} {name}: "):
                why = why.removeprefix(known)
            self.rows.append(Row(kind, name, whose, " ".join(why.split())))

    def has(self, kind: str, name: str) -> bool:
        """Whether this component was left out."""
        return any((row.kind, row.name) == (kind, name) for row in self.rows)

    def as_json(self) -> list[dict[str, str]]:
        """The rows as plain values."""
        return [asdict(row) for row in self.rows]


def without(names: Sequence[str], usual: Mapping[str, Sequence[str]], named: Mapping[str, Sequence[str]]) -> dict[str, set[str]]:
    """The components that the user leaves out, by kind.

    Args:
        names: What the user wrote: `NAME`, or `KIND/NAME` where a baseline and a metric have one name.
        usual: What the evaluation has without them, by kind.
        named: What the user chose, by kind.

    Raises:
        UsageError: The evaluation has no such component, has one of each kind, or the user chose it as well.
    """
    found: dict[str, set[str]] = {kind: set() for kind in usual}
    for given in names:
        kind, slash, bare = given.rpartition("/")
        kinds = [k for k in usual if k == kind] if slash else list(usual)
        meant = [(k, n) for k in kinds for n in usual[k] if bare in (n, f"twm:{n}")]
        chosen = [k for k in kinds if bare in named[k]]
        if chosen:
            raise UsageError(f"--{chosen[0]} {bare} and --without {given} contradict each other", "leave one of them out")
        if not meant:
            every = [n for k in usual for n in usual[k]]
            raise UsageError(
                f"--without {given}: this evaluation has no baseline or metric of that name{did_you_mean(bare, every)}",
                "; ".join(f"{k}s are {', '.join(usual[k]) or 'none'}" for k in usual),
            )
        if len(meant) > 1:
            raise UsageError(f"--without {given} means {' and '.join(f'{k}/{n}' for k, n in meant)}", "write one of them")
        found[meant[0][0]].add(meant[0][1])
    return found
