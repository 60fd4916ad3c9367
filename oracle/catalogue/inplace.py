"""Ops that write their first input and return it."""

from __future__ import annotations

from oracle.catalogue.params import Param, empty_sizes, flag, index, integer, number, optional
from oracle.catalogue.spec import OpSpec

_DIM = integer(-64, 63)


def _method(name: str, tensors: int = 1, family: str = "inplace", **params: Param) -> OpSpec:
    """A method of a fixed number of tensors."""
    return OpSpec(
        name, family, "method", name, None, (tensors, tensors), (0, 0), params, gradient="unsure", writes=True
    )


def _arithmetic(name: str, scalar: str, **params: Param) -> OpSpec:
    """A method that takes a tensor, or a number in its place."""
    return OpSpec(
        name,
        "inplace",
        "method",
        name,
        None,
        (1, 2),
        (0, 0),
        {scalar: optional(number(finite=False)), **params},
        gradient="unsure",
        scalar=scalar,
        writes=True,
    )


def _placed(name: str, names: tuple[str, ...], **params: Param) -> OpSpec:
    """A method that takes a dim, indices, and maybe a source, by keyword."""
    count = 1 + len(names)
    return OpSpec(
        name, "inplace", "method", name.removesuffix("value_"), None, (count, count), (0, 0), {"dim": _DIM, **params},
        names, "unsure", writes=True,
    )  # fmt: skip


def _out(name: str) -> OpSpec:
    return OpSpec(
        f"{name}_out", "inplace", "out", name, None, (3, 3), (0, 0), {}, gradient="unsure", writes=True
    )


_ALPHA: dict[str, Param] = {"alpha": optional(number())}

SPECS = [
    *(_arithmetic(name, "other", **_ALPHA) for name in ("add_", "sub_")),
    *(_arithmetic(name, "other") for name in ("mul_", "div_", "lt_", "ge_")),
    _arithmetic("pow_", "exponent"),
    _arithmetic("fill_", "value"),
    *(_method(name) for name in ("neg_", "sin_", "exp_", "sqrt_", "tanh_", "sigmoid_", "relu_", "floor_", "zero_")),
    _method("clamp_", min=optional(number()), max=optional(number())),
    _method("copy_", 2),
    OpSpec(
        "masked_fill_",
        "inplace",
        "method",
        "masked_fill_",
        None,
        (2, 3),
        (0, 0),
        {"value": optional(number(finite=False))},
        gradient="unsure",
        scalar="value",
        writes=True,
    ),
    _method("addcmul_", 3, value=optional(number())),
    OpSpec(
        "lerp_",
        "inplace",
        "method",
        "lerp_",
        None,
        (2, 3),
        (0, 0),
        {"weight": optional(number())},
        gradient="unsure",
        scalar="weight",
        writes=True,
    ),
    _placed("index_add_", ("index", "source"), alpha=optional(number())),
    _placed("index_fill_", ("index",), value=number()),
    _placed("index_copy_", ("index", "source")),
    _placed("scatter_", ("index", "src")),
    _placed("scatter_value_", ("index",), value=number()),
    _placed("scatter_add_", ("index", "src")),
    OpSpec(
        "index_put_",
        "inplace",
        "index_put",
        "index_put_",
        None,
        (3, 6),
        (0, 0),
        {"accumulate": optional(flag())},
        gradient="unsure",
        writes=True,
    ),
    OpSpec(
        "setitem",
        "inplace",
        "setitem",
        "setitem",
        None,
        (1, 6),
        (0, 0),
        {"index": index(), "value": optional(number(finite=False))},
        gradient="unsure",
        writes=True,
    ),
    _method("unsqueeze_", dim=_DIM),
    _method("squeeze_", dim=optional(_DIM)),
    _method("t_"),
    _method("transpose_", dim0=_DIM, dim1=_DIM),
    _method("detach_"),
    _method("resize_", size=empty_sizes()),  # any other might show memory that nobody has written
    OpSpec(
        "set_", "inplace", "method", "set_", None, (2, 2), (0, 0), gradient="unsure", writes=True, rehomes=True
    ),
    *map(_out, ("add", "mul")),
]

