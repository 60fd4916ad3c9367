"""Ops that give a tensor another name or another form over the same memory, and a few that leave the graph."""

from __future__ import annotations

from oracle.catalogue.params import Param, integer, integers, optional
from oracle.catalogue.spec import OpSpec

_DIM = integer(-64, 63)


def _alias(
    name: str,
    style: str,
    target: str = "",
    inputs: int = 1,
    outputs: tuple[int, int] = (1, 1),
    gradient: str = "none",
    **params: Param,
) -> OpSpec:
    return OpSpec(
        name,
        "shape",
        style,
        target or name,
        None,
        (inputs, inputs),
        outputs,
        params,
        gradient=gradient,
        aliases=True,
    )


def _leaving(name: str, style: str, target: str) -> OpSpec:
    """What comes out shares nothing with what went in."""
    return OpSpec(name, "shape", style, target, None, gradient="cut")


_SIZES = integers(0, 4096)

SPECS = [
    _alias("data", "attribute", gradient="cut"),
    _alias("T", "attribute"),
    _alias("real", "attribute"),
    _alias("conj", "method"),
    _alias("cpu", "method"),
    _alias("positive", "function"),
    _alias("as_tensor", "function"),
    _alias("type_as", "method", inputs=2),
    _alias("view_as", "method", inputs=2),
    _alias("expand_as", "method", inputs=2),
    _alias("as_strided", "function", size=_SIZES, stride=_SIZES, storage_offset=optional(integer(0, 4096))),
    _alias("unfold", "method", dimension=_DIM, size=integer(0, 4096), step=integer(1, 4096)),
    _alias(
        "tensor_split",
        "function",
        outputs=(1, 64),
        sections=optional(integer(1, 64)),
        indices=optional(integers(-64, 4096)),
        dim=optional(_DIM),
    ),
    _alias("iter", "list", outputs=(0, 64)),
    _alias("parameter", "function", "nn.Parameter", gradient="cut"),
    _alias("unsafe_chunk", "function", outputs=(1, 64), chunks=integer(1, 64), dim=optional(_DIM)),  # but no views
    _alias("unsafe_split", "function", outputs=(1, 64), split_size=integer(1, 4096), dim=optional(_DIM)),
    _leaving("tensor_of", "function", "tensor"),
    _leaving("item", "number", "item"),
    _leaving("numpy", "number", "numpy"),
    _leaving("deepcopy", "deepcopy", "deepcopy"),
]
