"""What the installed CuPy has: names, keyword arguments, dtype loops. It is read, never run."""

import ast
import functools
import inspect
import re
from collections.abc import Callable
from typing import Any

import cupy
import cupyx
import cupyx.scipy.special
import numpy as np

Ufunc = cupy.ufunc
special = cupyx.scipy.special
extras = cupyx

_C_TYPES = r"\b(?:bint|bool|bytes|int|str|tuple|Py_ssize_t|_ndarray_base) (?=\w)"


def lookup(namespace: Any, name: str) -> Any:
    """`name` of the real package; AttributeError where it has none."""
    try:
        return getattr(namespace, name)
    except AttributeError:
        where = getattr(namespace, "__name__", repr(namespace))
        raise AttributeError(
            f"real {where} {cupy.__version__} has no {name!r}: code for both NumPy and CuPy cannot use it"
        ) from None


def refuse(namespace: Any, name: str) -> NotImplementedError:
    where = getattr(namespace, "__name__", repr(namespace))
    return NotImplementedError(f"{where}.{name} exists, but strictcupy does not stand in for it")


class Mirror:
    """A namespace with exactly the names of a real one; each is built when first asked for."""

    def __init__(self, real: Any, build: Callable[[str, Any], Any], **ready: Any) -> None:
        self._real, self._build = real, build
        for name, value in ready.items():
            lookup(real, name)
            setattr(self, name, value)

    def __getattr__(self, name: str) -> Any:
        made = self._build(name, lookup(self._real, name))
        setattr(self, name, made)
        return made


@functools.cache
def signature(function: Any) -> inspect.Signature:
    """The parameters of a real function or method, without `self`."""
    try:
        found = inspect.signature(function)
    except ValueError:  # compiled: the signature is the first line of the docstring
        found = _from_docstring(function.__doc__)
    kept = [p for name, p in found.parameters.items() if name != "self"]
    return inspect.Signature(kept)


def _from_docstring(text: str) -> inspect.Signature:
    inside = re.search(r"\((.*?)\)(?: ->|$)", text.splitlines()[0])
    assert inside is not None, text
    python = re.sub(_C_TYPES, "", inside.group(1))
    tree = ast.parse(f"def f({python}): pass").body[0]
    assert isinstance(tree, ast.FunctionDef)
    arguments, kinds = tree.args, inspect.Parameter
    parameters: list[inspect.Parameter] = []
    positional = [*arguments.posonlyargs, *arguments.args]
    missing: list[ast.expr | None] = [None] * (len(positional) - len(arguments.defaults))

    def add(argument: ast.arg | None, kind: Any, default: ast.expr | None = None) -> None:
        if argument is not None:
            value = kinds.empty if default is None else ast.literal_eval(default)
            parameters.append(inspect.Parameter(argument.arg, kind, default=value))

    for argument, default in zip(positional, [*missing, *arguments.defaults], strict=True):
        add(argument, kinds.POSITIONAL_OR_KEYWORD, default)
    add(arguments.vararg, kinds.VAR_POSITIONAL)
    for argument, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        add(argument, kinds.KEYWORD_ONLY, default)
    add(arguments.kwarg, kinds.VAR_KEYWORD)
    return inspect.Signature(parameters)


@functools.cache
def ufunc_keywords(ufunc: Any) -> frozenset[str]:
    """The keyword arguments of a real ufunc, from its docstring: no `where`, no `order`."""
    return frozenset(re.findall(r"(\w+)=", ufunc.__doc__.splitlines()[0]))


def _rank(kind: type) -> int:
    return 0 if issubclass(kind, (bool, np.bool_)) else 1 if issubclass(kind, (int, np.integer)) else 2


@functools.cache
def loop(
    ufunc: Any, dtypes: tuple[np.dtype, ...], weak: tuple[type | None, ...], wanted: np.dtype | None
) -> tuple[tuple[np.dtype, ...], tuple[np.dtype, ...]]:
    """The dtypes of operands and results with which CuPy would run `ufunc`.

    `weak` holds the type of a Python number and None for what has a dtype of its own (NEP 50).
    Raises TypeError where CuPy has no loop.
    """
    if wanted is not None:
        found = (ufunc._out_ops or ufunc._ops)._guess_routine_from_dtype(wanted)
    else:
        # As CuPy does: a number counts as weak only beside an operand of at least its kind.
        strong = [_rank(d.type) for d, w in zip(dtypes, weak, strict=True) if w is None]
        numbers = [_rank(w) for w in weak if w is not None]
        weakly = bool(strong and numbers) and max(strong) >= max(numbers)
        marks = tuple((w or False) if weakly else False for w in weak)
        found = ufunc._ops._guess_routine_from_in_types(dtypes, marks)
    if found is None:
        given = ", ".join(map(str, dtypes)) if wanted is None else f"dtype={wanted}"
        raise TypeError(f"Wrong type ({given}) of arguments for {ufunc.name}")
    if found.error_func is not None:
        found.error_func()
    return found._in_dtypes, found._out_dtypes
