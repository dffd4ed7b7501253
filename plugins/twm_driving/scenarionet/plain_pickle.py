"""A pickle machine that can make plain data only: nothing that a file names is ever imported or called.

Python's unpickler, even with a restricted `find_class`, hands the file's arguments to real callables (NumPy's array state can be
forged) and allocates what a file declares. This machine interprets the opcodes itself, over `pickletools.genops` of the standard library,
which only decodes them: numbers, texts, bytes, lists, tuples, dicts and sets become themselves; the few names that arrays need become
values of `pickled_values.py`; any other name is refused where it stands. Protocols 0 to 5; the opcodes are documented in `pickletools`.
"""

from __future__ import annotations

import pickletools
import warnings
from collections.abc import Callable
from typing import Any

from twm_core.errors import DataError
from twm_driving.scenarionet.pickled_values import NAMES, Array, Dtype, Name, RefusedError, hashable, make

MOST_OPCODES = 20_000_000
"""Most opcodes of a file; the ScenarioNet files of a scene have about 100,000."""


class _Mark:
    """Where a group of stack items begins."""


_MARK = _Mark()


def load(data: bytes, file: str) -> Any:
    """The plain value that a pickle holds; arrays in it are `Array` values.

    Args:
        data: The whole pickle.
        file: Its name, for messages.

    Raises:
        DataError: The pickle is damaged, or holds anything but plain data; the message names the byte.
    """
    # Texts of old protocols may hold escapes that Python warns about; that is the file's matter.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return _run(_Machine(4 * len(data)), data, file)


def _run(machine: _Machine, data: bytes, file: str) -> Any:
    where = 0
    try:
        for count, (opcode, arg, at) in enumerate(pickletools.genops(data)):
            where = at or 0
            if count >= MOST_OPCODES:
                raise ValueError(f"more than {MOST_OPCODES} values")
            if opcode.name == "STOP":
                return machine.pop()
            machine.step(opcode.name, arg)
    except RefusedError as error:
        raise DataError(
            f"{file}, byte {where}: this pickle asks for {error}, which is more than plain data; nothing of it was executed",
            "do not load it with anything else either, unless you trust whoever made it",
        ) from error
    except (ValueError, IndexError, KeyError, TypeError, AttributeError, OverflowError, RecursionError, MemoryError) as error:
        what = str(error) or type(error).__name__
        raise DataError(
            f"{file}, byte {where}: not a complete pickle of plain data ({what[:160]})", "download or convert it again"
        ) from error
    raise DataError(f"{file}, byte {len(data)}: the pickle ends without a value", "download or convert it again")


class _Machine:
    """Stack and memo of one pickle; `budget` is how many bytes texts may be turned into in all, since one text can be named often."""

    def __init__(self, budget: int) -> None:
        self.budget = budget
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}
        self.opcodes: dict[str, Callable[[Any], None]] = {
            "PROTO": lambda _: None,
            "FRAME": lambda _: None,
            **dict.fromkeys(_LITERALS, self.stack.append),
            "NONE": lambda _: self.stack.append(None),
            "NEWTRUE": lambda _: self.stack.append(True),
            "NEWFALSE": lambda _: self.stack.append(False),
            "EMPTY_LIST": lambda _: self.stack.append([]),
            "EMPTY_TUPLE": lambda _: self.stack.append(()),
            "EMPTY_DICT": lambda _: self.stack.append({}),
            "EMPTY_SET": lambda _: self.stack.append(set()),
            "MARK": lambda _: self.stack.append(_MARK),
            "POP": lambda _: self._drop(),
            "POP_MARK": lambda _: self._drop_group(),
            "DUP": lambda _: self.stack.append(self._top()),
            **dict.fromkeys(("PUT", "BINPUT", "LONG_BINPUT"), self._put),
            "MEMOIZE": lambda _: self._put(len(self.memo)),
            **dict.fromkeys(("GET", "BINGET", "LONG_BINGET"), self._get),
            "LIST": lambda _: self.stack.append(self._group()),
            "TUPLE": lambda _: self.stack.append(tuple(self._group())),
            "TUPLE1": lambda _: self._tuple(1),
            "TUPLE2": lambda _: self._tuple(2),
            "TUPLE3": lambda _: self._tuple(3),
            "FROZENSET": lambda _: self.stack.append(frozenset(map(hashable, self._group()))),
            "DICT": lambda _: self._dict(),
            "APPEND": lambda _: self._extend([self.pop()]),
            "APPENDS": lambda _: self._extend(self._group()),
            "ADDITEMS": lambda _: self._add(self._group()),
            "SETITEM": lambda _: self._set([self.pop(), self.pop()][::-1]),
            "SETITEMS": lambda _: self._set(self._group()),
            "GLOBAL": lambda arg: self._name(*str(arg).split(" ", 1)),
            "STACK_GLOBAL": lambda _: self._name(*[self.pop(), self.pop()][::-1]),
            "REDUCE": lambda _: self._reduce(self.pop(), self.pop()),
            "BUILD": lambda _: self._build(self.pop()),
        }

    def step(self, name: str, arg: Any) -> None:
        """Do one opcode."""
        action = self.opcodes.get(name)
        if action is None:
            raise RefusedError(f"the opcode {name}")
        action(arg)

    def pop(self) -> Any:
        """Take the uppermost value."""
        value = self.stack.pop()
        if value is _MARK:
            raise ValueError("a mark where a value should be")
        return value

    def _top(self) -> Any:
        value = self.stack[-1]
        if value is _MARK:
            raise ValueError("a mark where a value should be")
        return value

    def _drop(self) -> None:
        self.stack.pop()

    def _group(self) -> list[Any]:
        """Take everything above the last mark, and the mark."""
        begin = len(self.stack) - 1
        while self.stack[begin] is not _MARK:
            begin -= 1
            if begin < 0:
                raise ValueError("no mark")
        group = self.stack[begin + 1 :]
        del self.stack[begin:]
        return group

    def _drop_group(self) -> None:
        self._group()

    def _put(self, number: Any) -> None:
        self.memo[int(number)] = self._top()

    def _get(self, number: Any) -> None:
        self.stack.append(self.memo[int(number)])

    def _tuple(self, size: int) -> None:
        values = tuple([self.pop() for _ in range(size)][::-1])
        self.stack.append(values)

    def _dict(self) -> None:
        group = self._group()
        self.stack.append({})
        self._set(group)

    def _extend(self, values: list[Any]) -> None:
        holder = self._top()
        if not isinstance(holder, list):
            raise ValueError(f"items for a {type(holder).__name__}")
        holder.extend(values)

    def _add(self, values: list[Any]) -> None:
        holder = self._top()
        if not isinstance(holder, set):
            raise ValueError(f"items for a {type(holder).__name__}")
        holder.update(map(hashable, values))

    def _set(self, pairs: list[Any]) -> None:
        holder = self._top()
        if not isinstance(holder, dict) or len(pairs) % 2:
            raise ValueError(f"{len(pairs)} keys and values for a {type(holder).__name__}")
        for key, value in zip(pairs[::2], pairs[1::2], strict=True):
            holder[hashable(key)] = value

    def _name(self, module: Any, name: Any = "") -> None:
        if (module, name) not in NAMES if isinstance(module, str) and isinstance(name, str) else True:
            raise RefusedError(f"{str(module)[:60]}.{str(name)[:60]}")
        self.stack.append(Name(module, name))

    def _reduce(self, args: Any, callee: Any) -> None:
        if not isinstance(callee, Name) or not isinstance(args, tuple):
            raise RefusedError(f"a call of a {type(callee).__name__}")
        self._spend(args)
        self.stack.append(make(callee, args))

    def _spend(self, values: tuple[Any, ...]) -> None:
        self.budget -= sum(len(v) for v in values if isinstance(v, str))
        if self.budget < 0:
            raise ValueError("the same text turned into bytes again and again")

    def _build(self, state: Any) -> None:
        holder = self._top()
        if isinstance(holder, Array) and isinstance(state, tuple) and len(state) == 5:
            _, shape, dtype, fortran, data = state
            self._spend(state)
            holder.fill(dtype, shape, data, fortran)
        elif isinstance(holder, Dtype) and isinstance(state, tuple) and len(state) >= 2:
            if state[1] not in ("<", ">", "=", "|") or any(part is not None for part in state[2:5]):
                raise ValueError("an array type with fields")
            holder.order = state[1]
        else:
            raise RefusedError(f"a state of a {type(holder).__name__}")


_LITERALS = (
    *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
    *("STRING", "BINSTRING", "SHORT_BINSTRING", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"),
    *("UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"),
)
