"""What a pickle may name, and the values these names give: NumPy arrays and types as checked descriptions, and plain containers.

An array's type and shape are compared with the bytes that are there before NumPy sees them. The states of arrays and types are documented
in NumPy's `__reduce__` and `__setstate__`.
"""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

_CORES = ("numpy.core", "numpy._core")
NAMES = frozenset(
    {
        *((f"{core}.multiarray", name) for core in _CORES for name in ("_reconstruct", "scalar")),
        *((f"{core}.numeric", "_frombuffer") for core in _CORES),
        ("numpy", "ndarray"),
        ("numpy", "dtype"),
        ("_codecs", "encode"),
        ("collections", "OrderedDict"),
        ("collections", "defaultdict"),
        *((module, name) for module in ("builtins", "__builtin__") for name in ("set", "frozenset", "bytes", "bytearray")),
        # Factories of a defaultdict; they are never called.
        *(
            (module, name)
            for module in ("builtins", "__builtin__")
            for name in ("int", "long", "float", "str", "list", "dict", "tuple", "bool")
        ),
    }
)
"""What a pickle may name. The names are not looked up anywhere."""

_DTYPE = re.compile(r"([<>=|]?)(?:([biuf])(1|2|4|8)|([SU])(\d{1,6})|(O)8?)")
_SCALARS = (str, int, float, bool, bytes, type(None))


class Name:
    """One of `NAMES` on the stack."""

    def __init__(self, module: str, name: str) -> None:
        self.name = name
        self.whole = f"{module}.{name}"


class Dtype:
    """A NumPy type that the file describes: its code, such as `f8`, and its byte order."""

    def __init__(self, code: str) -> None:
        found = _DTYPE.fullmatch(code)
        if found is None:
            raise ValueError(f"an array type {code[:40]!r}")
        self.order = found[1] or "="
        self.code = code.lstrip("<>=|")

    def numpy(self) -> np.dtype[Any]:
        """The type in NumPy; it holds no references."""
        return np.dtype(("<" if self.order in "=|" else self.order) + self.code)


class Array:
    """An array that the file describes; filled by the state that follows it."""

    def __init__(self) -> None:
        self.dtype: Dtype | None = None
        self.shape: tuple[int, ...] = ()
        self.data: bytes | bytearray | list[Any] = b""
        self.fortran = False

    def fill(self, dtype: Any, shape: Any, data: Any, fortran: bool) -> None:
        """Set type, shape and contents, which must agree."""
        if not isinstance(dtype, Dtype) or not isinstance(shape, tuple) or not all(type(n) is int and 0 <= n < 1 << 48 for n in shape):
            raise ValueError("an array without type or shape")
        if isinstance(data, str):
            data = data.encode("latin-1")
        cells = math.prod(shape) if len(shape) <= 32 else -1
        if dtype.code.startswith("O"):
            if not isinstance(data, list) or len(data) != cells:
                raise ValueError(f"an array of objects of shape {shape} without as many objects")
        elif not isinstance(data, bytes | bytearray) or len(data) != cells * dtype.numpy().itemsize:
            size = len(data) if isinstance(data, (bytes, bytearray, list)) else 0
            raise ValueError(f"an array of shape {str(shape)[:60]} and type {dtype.code} in {size} bytes")
        if dtype.code.startswith("U") and (np.frombuffer(bytes(data), dtype=f"{dtype.numpy().str[0]}u4") > 0x10FFFF).any():
            raise ValueError("an array of texts with impossible characters")
        self.dtype, self.shape, self.data, self.fortran = dtype, shape, data, bool(fortran)

    def numpy(self) -> NDArray[Any]:
        """The array; object arrays come as one row of plain values."""
        if self.dtype is None:
            return np.zeros(0)
        if isinstance(self.data, list):
            found = np.empty(len(self.data), dtype=object)
            for i, value in enumerate(self.data):
                found[i] = value
            return found
        flat = np.frombuffer(self.data, dtype=self.dtype.numpy())
        return flat.reshape(self.shape, order="F" if self.fortran else "C")


class RefusedError(Exception):
    """The pickle wants something that plain data does not need."""


def hashable(value: Any) -> Any:
    """The value, if it may be a key: hashing deeply nested tuples would exhaust the C stack."""
    if isinstance(value, _SCALARS) or (isinstance(value, tuple) and len(value) < 16 and all(isinstance(v, _SCALARS) for v in value)):
        return value
    raise ValueError(f"a {type(value).__name__} as a key")


def make(callee: Name, args: tuple[Any, ...]) -> Any:
    """What a call of one of `NAMES` gives, made here and not by the thing of that name."""
    name = callee.name
    if name == "_reconstruct":
        return Array()
    if name == "dtype" and args and isinstance(args[0], str):
        return Dtype(args[0])
    if name == "scalar" and len(args) == 2:
        one = Array()
        one.fill(args[0], (), [args[1]] if isinstance(args[0], Dtype) and args[0].code.startswith("O") else args[1], False)
        return one.numpy().reshape(-1)[0].item() if isinstance(one.data, bytes | bytearray | str) else args[1]
    if name == "_frombuffer" and len(args) == 4 and args[3] in ("C", "F"):
        array = Array()
        array.fill(args[1], args[2], args[0], args[3] == "F")
        return array
    if name == "encode" and len(args) == 2 and isinstance(args[0], str) and args[1] == "latin1":
        return args[0].encode("latin-1")
    if name in ("bytes", "bytearray") and not args:
        return b""
    if name in ("bytes", "bytearray") and len(args) == 1 and isinstance(args[0], bytes):
        return args[0]
    if name in ("set", "frozenset") and len(args) <= 1 and all(isinstance(a, list) for a in args):
        return set(map(hashable, args[0] if args else ()))
    if callee.whole == "collections.OrderedDict" and not args:
        return dict[Any, Any]()
    if callee.whole == "collections.defaultdict" and len(args) == 1 and (args[0] is None or isinstance(args[0], Name)):
        return dict[Any, Any]()
    raise RefusedError(f"a call of {callee.whole} with such arguments")
