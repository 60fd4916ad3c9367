"""Every in-place form of an op in every kind of target: state, history, gradients and errors, held against torch.

`FORMS` says how each is called, `TARGETS` what on; each pair runs under both engines. Numbers are held to within
rounding here (the ops have tests of their own), everything else exactly.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest
import torch

import refgrad

POSITIVE = (0.3, 0.7, 0.9, 0.2, 0.6, 0.45)
MIXED = (-1.5, 0.0, 2.0, 1.25, -0.5, 3.0)
WHOLE = (3, 1, 2, 7, 5, 4)

# How the forms are called. y: the target; o, p: operands of its shape; s: a 0-dim one; m: a mask; i, k, r: an index,
# one for scatter, and rows to write; A, B, u, w: matrices and vectors.

_ONE = (
    "abs absolute acos acosh arccos arccosh arcsin arcsinh arctan arctanh asin asinh atan atanh ceil cos cosh deg2rad "
    "digamma erf erfc erfinv exp exp2 expm1 fix floor frac lgamma log log10 log1p log2 logical_not logit nan_to_num "
    "neg negative rad2deg reciprocal relu round rsqrt sgn sigmoid sign sin sinc sinh sqrt square tan tanh trunc zero "
    "bitwise_not tril triu"
).split()
_TENSOR_ONLY = "copy atan2 arctan2 hypot logical_and logical_or logical_xor".split()
_TWO = (
    "add sub mul div multiply divide subtract true_divide pow remainder fmod xlogy float_power floor_divide eq ne lt "
    "le gt ge less less_equal greater greater_equal not_equal bitwise_and bitwise_or bitwise_xor bitwise_left_shift "
    "bitwise_right_shift clamp_min clamp_max"
).split()
_OPERATORS = "add sub mul truediv pow floordiv mod and or xor lshift rshift".split()
FORMS = [
    *[f"y.{name}_()" for name in _ONE],
    *[f"y.{name}_({operand})" for name in _TWO for operand in ("o", "2.5")],
    *[f"y.{name}_(o)" for name in _TENSOR_ONLY],
    *[f"y.__i{name}__({operand})" for name in _OPERATORS for operand in ("o", "2")],
    *"""
    y.add_(o, alpha=2)|y.add_(2.0, alpha=3)|y.add_(s)|y.sub_(o, alpha=2)|y.mul_(2)|y.mul_(s)|y.pow_(2)|y.copy_(s)
    y.div_(o, rounding_mode='floor')|y.div_(o, rounding_mode='trunc')|y.floor_divide_(2)|y.round_(decimals=1)
    y.fill_(2)|y.fill_(2.5)|y.fill_(s)|y.masked_fill_(m, 2.0)|y.masked_fill_(m, s)|y.tril_(1)|y.triu_(-1)
    y.clamp_(0)|y.clamp_(min=0.3, max=0.8)|y.clamp_(o, p)|y.clamp_(max=o)|y.clip_(0.3, 0.8)|y.clip_(o)
    y.logit_(0.25)|y.nan_to_num_(1.0, 2.0, 3.0)|y.polygamma_(1)|y.lerp_(o, 0.25)|y.lerp_(o, p)
    y.addcmul_(o, p)|y.addcmul_(o, p, value=2)|y.addcdiv_(o, p)|y.addcdiv_(o, p, value=2)
    y.cumsum_(-1)|y.cumprod_(-1)|y.addmm_(A, B)|y.addmm_(A, B, beta=2, alpha=3)|y.addr_(u, w)
    y.index_fill_(0, i, 3.0)|y.index_fill_(0, i, s)|y.index_add_(0, i, r)|y.index_add_(0, i, r, alpha=2)
    y.index_copy_(0, i, r)|y.scatter_(0, k, r)|y.scatter_(0, k, 2.0)|y.scatter_add_(0, k, r)
    y.index_put_((i,), r)|y.index_put_((i,), r, accumulate=True)|y.index_put_((m,), s)
    y.__setitem__(0, s)|y.__setitem__(i, r)|y.__setitem__(m, 1.0)
    torch.abs_(y)|torch.relu_(y)|torch.exp_(y)|torch.sigmoid_(y)|torch.sqrt_(y)|torch.tanh_(y)|torch.neg_(y)
    torch.zero_(y)|torch.fill_(y, s)|torch.fill_(y, 2.0)|torch.clamp_(y, 0.3)|torch.xlogy_(y, o)|torch.selu_(y)
    torch.celu_(y)|torch.threshold_(y, 0.5, 2.0)|torch.index_put_(y, (i,), r)|torch.round_(y)|torch.logit_(y)
    F.relu(y, inplace=True)|F.relu6(y, inplace=True)|F.silu(y, inplace=True)|F.mish(y, inplace=True)
    F.hardtanh(y, 0.3, 0.6, True)|F.hardswish(y, inplace=True)|F.elu(y, 2.0, True)|F.selu(y, inplace=True)
    F.celu(y, 2.0, True)|F.leaky_relu(y, 0.2, True)|F.threshold(y, 0.5, 2.0, inplace=True)
    F.elu(y, -2.0, True)|F.celu(y, -2.0, True)|F.leaky_relu(y, -0.2, True)
    F.relu_(y)|F.elu_(y)|F.celu_(y)|F.selu_(y)|F.hardtanh_(y)|F.leaky_relu_(y)|F.threshold_(y, 0.5, 2.0)
    y.unsqueeze_(0)|y.unsqueeze_(-1)|y.squeeze_()|y.squeeze_(0)|y.squeeze_((0,))|y.t_()|y.transpose_(0, -1)
    y.swapaxes_(0, -1)|y.swapdims_(0, -1)|y.as_strided_((2,), (1,))
    y.copysign_(o)|y.copysign_(2.5)|y.i0_()|y.nextafter_(o)|y.put_(k, r)|y.scatter_reduce_(0, k, r, 'sum')
    """.strip().replace("\n", "|").split("|"),
]
FORMS = [form.strip() for form in FORMS]
OPERANDS = "opsrABuw"

# What they are called on. A maker gives the leaf, the base and the target.

Maker = Callable[..., tuple[Any, Any, Any]]


def _leaf(torch: Any, shape: tuple[int, ...], dtype: Any, values: tuple[float, ...], requires_grad: bool) -> Any:
    x = torch.tensor([values[k % 6] for k in range(math.prod(shape))], dtype=dtype).reshape(shape)
    return x.requires_grad_() if requires_grad and dtype.is_floating_point else x


def computed(*shape: int) -> Maker:
    def make(torch: Any, *args: Any) -> Any:
        x = _leaf(torch, shape, *args)
        y = x * 1
        return x, y, y

    return make


def view(shape: tuple[int, ...], function: Callable[[Any], Any]) -> Maker:
    def make(torch: Any, *args: Any) -> Any:
        x = _leaf(torch, shape, *args)
        base = x * 1
        return x, base, function(base)

    return make


def a_leaf(torch: Any, *args: Any) -> Any:
    x = _leaf(torch, (2, 3), *args)
    return x, x, x


def view_of_leaf(torch: Any, *args: Any) -> Any:
    x = _leaf(torch, (3, 3), *args)
    return x, x, x[1:]


class Target(NamedTuple):
    make: Maker
    then: str = "differentiate"  # what is looked at after the call
    values: tuple[float, ...] = POSITIVE
    dtype: str = "float64"
    operand_dtype: str = "float64"
    requires_grad: bool = True
    operands_require_grad: bool = True
    recording: bool = True
    operand: Callable[[Any, Any, Any], Any] | None = None  # another `o`


def _wider(torch: Any, base: Any, y: Any) -> Any:
    return torch.ones((2, *y.shape), dtype=torch.float64)


TARGETS = {
    "computed": Target(computed(2, 3)),
    "computed from other values": Target(computed(2, 3), values=MIXED),
    "of one number": Target(computed()),
    "empty": Target(computed(0, 3)),
    "without grad": Target(computed(2, 3), requires_grad=False),
    "with operands without grad": Target(computed(2, 3), operands_require_grad=False),
    "nothing requires grad": Target(computed(2, 3), requires_grad=False, operands_require_grad=False),
    "rows": Target(view((4, 3), lambda b: b[1:3])),
    "rows, seen from the base": Target(view((4, 3), lambda b: b[1:3]), "differentiate base"),
    "every other column": Target(view((2, 6), lambda b: b[:, ::2]), "differentiate base"),
    "transposed": Target(view((3, 2), lambda b: b.t())),
    "one element": Target(view((2, 3), lambda b: b[0, 1]), "differentiate base"),
    "no rows": Target(view((2, 3), lambda b: b[1:1]), "differentiate base"),
    "expanded": Target(view((1, 3), lambda b: b.expand(2, 3))),
    "seen from a live view": Target(computed(2, 3), "differentiate view"),
    "under no_grad": Target(computed(2, 3), recording=False),
    "leaf": Target(a_leaf),
    "leaf under no_grad": Target(a_leaf, recording=False),
    "view of a leaf": Target(view_of_leaf),
    "integers": Target(computed(2, 3), values=WHOLE, dtype="int64", operand_dtype="int64"),
    "integers with floats": Target(computed(2, 3), values=WHOLE, dtype="int64", operands_require_grad=False),
    "bytes with integers": Target(computed(2, 3), values=WHOLE, dtype="uint8", operand_dtype="int64"),
    "booleans": Target(computed(2, 3), values=(1, 0, 1, 1, 0, 0), dtype="bool", operand_dtype="bool"),
    "booleans with integers": Target(computed(2, 3), values=WHOLE, dtype="bool", operand_dtype="int64"),
    "single with double": Target(computed(2, 3), dtype="float32"),
    "double with single": Target(computed(2, 3), operand_dtype="float32"),
    "with a complex operand": Target(computed(2, 3), operand_dtype="complex128"),
    "with a wider operand": Target(computed(2, 3), operand=_wider),
    "of one number with a wider operand": Target(computed(), operand=_wider),
    "with itself": Target(computed(2, 3), operand=lambda torch, base, y: y),
    "with itself transposed": Target(computed(3, 3), operand=lambda torch, base, y: y.t()),
    "overlapping": Target(view((3, 3), lambda b: b[1:]), operand=lambda torch, base, y: base[:-1]),
    "beside its operand": Target(
        view((4, 3), lambda b: b[2:]), "differentiate base", operand=lambda torch, base, y: base[:2]
    ),
    "written again": Target(computed(2, 3), "write"),
    "rows written again": Target(view((4, 3), lambda b: b[1:3]), "write"),
    "with hooks": Target(computed(2, 3), "hooks"),
    "rows with hooks": Target(view((4, 3), lambda b: b[1:3]), "hooks"),
}

# What is known to differ, and why. The test sees to it that nothing is listed that agrees.

_RESHAPING = ("squeeze_", "y.t_", "transpose_", "swapaxes_", "swapdims_", "as_strided_")
DIFFERENT: dict[tuple[str, str], str] = {
    **{
        (form, "with hooks"): "torch hangs a hook registered after a change of shape on the node before it"
        for form in FORMS
        if any(name in form for name in _RESHAPING)
    },
    **{
        (form, target): "the node of an op without derivative has edges to all operands"
        for form in ("y.floor_divide_(o)", "y.__ifloordiv__(o)")
        for target in ("without grad", "with operands without grad")
    },
    ("y.as_strided_((2,), (1,))", "no rows"): "an empty slice of an array does not tell where it starts",
}


def _operands(torch: Any, target: Target, shape: tuple[int, ...]) -> dict[str, Any]:
    dtype, rows = getattr(torch, target.operand_dtype), min(1, *shape[:1]) if shape else 1

    def operand(start: int, *size: int) -> Any:
        values = [target.values[(k + start) % 6] for k in range(math.prod(size))]
        x = torch.tensor(values, dtype=dtype).reshape(size)
        return x.requires_grad_() if target.operands_require_grad and dtype.is_floating_point else x

    made = {"o": operand(1, *shape), "p": operand(2, *shape), "s": operand(3), "r": operand(4, rows, *shape[1:])}
    made["m"] = torch.tensor([k % 3 != 1 for k in range(math.prod(shape))], dtype=torch.bool).reshape(shape)
    made["i"] = torch.zeros(rows, dtype=torch.int64)
    made["k"] = torch.zeros((rows, *shape[1:]) if shape else (), dtype=torch.int64)
    if len(shape) == 2:
        made |= {"A": operand(1, shape[0], 2), "B": operand(2, 2, shape[1]), "u": operand(3, shape[0])}
        made["w"] = operand(4, shape[1])
    return made


def _state(t: Any) -> dict[str, Any]:
    node = t.grad_fn
    return {
        "values": t.detach().tolist(),
        "dtype": str(t.dtype),
        "shape": tuple(t.shape),
        "stride": tuple(t.stride()) if t.numel() else None,
        "version": t._version,
        "requires_grad": t.requires_grad,
        "is_leaf": t.is_leaf,
        "node": node and (node.name(), [n and n.name() for n, _ in node.next_functions]),
    }


def _raised(function: Callable[[], Any]) -> Any:
    """What a function returns, or its error."""
    try:
        return function()
    except Exception as error:
        return "error", type(error).__name__, str(error).partition("\n")[0][:60]


def _plain(g: Any) -> Any:
    return None if g is None else (g + 0).tolist()  # torch's lazy zeros have no list


def _gradients(torch: Any, out: Any, leaves: list[Any], second: bool = True) -> Any:
    """Gradients of first and second order, with a seed that tells elements apart."""
    if not out.requires_grad or not leaves:
        return None
    seed = torch.arange(1.0, out.numel() + 1, dtype=torch.float64).reshape(out.shape).to(out.dtype)
    seed.requires_grad_(second and seed.dtype.is_floating_point)
    found = torch.autograd.grad((out * seed).sum(), leaves, create_graph=second, allow_unused=True)
    seen = [_plain(g) for g in found]
    squares = [(g * g).sum() for g in found if g is not None and g.requires_grad]
    if second and squares:
        again = torch.autograd.grad(sum(squares[1:], squares[0]), [*leaves, seed], allow_unused=True)
        seen += [_plain(g) for g in again]
    return seen


def observed(torch: Any, form: str, target: Target) -> dict[str, Any]:
    """All that a call of a form shows under one engine."""
    leaf, base, y = target.make(torch, getattr(torch, target.dtype), target.values, target.requires_grad)
    names = _operands(torch, target, tuple(y.shape)) | {"torch": torch, "F": torch.nn.functional, "y": y}
    if target.operand is not None:
        names["o"] = target.operand(torch, base, y)
    live = [base[:1] if base.dim() else base[...], base[...]]
    fired: list[Any] = []
    hooked = target.then == "hooks" and y.requires_grad
    if hooked:
        for t in {id(t): t for t in (y, base)}.values():
            t.retain_grad()
            t.register_hook(lambda g, t=t: fired.append((t is y, _plain(g))))
    with torch.set_grad_enabled(target.recording):
        returned = _raised(lambda: eval(form, names))
    seen: dict[str, Any] = {"returned": returned if isinstance(returned, tuple) else returned is y}
    for name, t in (("target", y), ("base", base), ("first live view", live[0]), ("live view", live[1])):
        seen[name] = _raised(lambda t=t: _state(t))
    if isinstance(returned, tuple):
        return seen
    leaves = [t for t in (leaf, *[names[n] for n in OPERANDS if n in names]) if t.is_leaf and t.requires_grad]
    if target.then == "write":
        seen["write"] = _raised(lambda: _state(y.mul_(1)))
        seen["gradients"] = _raised(lambda: _gradients(torch, y, leaves, second=False))
    elif target.then == "hooks" and y.requires_grad:
        y.register_hook(lambda g: fired.append(("late", _plain(g))))
        seen["backward"] = _raised(base.sum().backward)
        seen["hooks"] = fired, [_plain(t.grad) for t in (*leaves, base, y)]
    else:
        out = {"differentiate base": base, "differentiate view": live[1]}.get(target.then, y)
        seen["gradients"] = _raised(lambda: _gradients(torch, out * 1, leaves))
    return seen


def _differences(expected: Any, got: Any, near: float, where: str = "") -> Iterator[str]:
    if isinstance(expected, dict) and isinstance(got, dict):
        for key in expected.keys() | got.keys():
            yield from _differences(expected.get(key), got.get(key), near, f"{where}.{key}")
    elif isinstance(expected, (list, tuple)) and isinstance(got, (list, tuple)) and len(expected) == len(got):
        for k, pair in enumerate(zip(expected, got, strict=True)):
            yield from _differences(*pair, near, f"{where}[{k}]")
    elif type(expected) is float and type(got) is float:
        equal = math.isclose(expected, got, rel_tol=near, abs_tol=near) or (expected != expected and got != got)
        if not equal:
            yield f"{where}: torch has {expected}, refgrad {got}"
    elif type(expected) is not type(got) or expected != got:
        yield f"{where}: torch has {expected}, refgrad {got}"


@pytest.mark.parametrize("form", FORMS)
def test_as_torch(form: str) -> None:
    found = {}
    for name, target in TARGETS.items():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            expected, got = observed(torch, form, target), observed(refgrad, form, target)
        near = 1e-9 if "32" not in target.dtype + target.operand_dtype else 2e-5
        differences = sorted(_differences(expected, got, near))
        if bool(differences) != ((form, name) in DIFFERENT):
            found[name] = differences or "agrees now"
    assert not found


NOT_YET = {"conj_physical_", "ldexp_", "mvlgamma_", "renorm_", "index_reduce_", "masked_scatter_"}


def test_every_form_is_covered() -> None:
    """Each in-place method that torch and refgrad share is called in `FORMS`; none is missing whose op is there."""
    elsewhere = {"detach_", "requires_grad_", "set_", "resize_", "resize_as_", "addmv_", "addbmm_", "baddbmm_"}
    samplers = "bernoulli cauchy exponential geometric log_normal normal random uniform"
    elsewhere |= {f"{name}_" for name in samplers.split()}
    methods = {n for n in dir(torch.Tensor) if n.endswith("_") and not n.endswith("__")}
    text = "\n".join(FORMS)
    shared = {n for n in methods if hasattr(refgrad.Tensor, n)}
    assert sorted(n for n in shared - elsewhere if f"y.{n}(" not in text) == []
    assert {n for n in methods - shared if hasattr(refgrad.Tensor, n[:-1])} == NOT_YET


def test_functions_that_write() -> None:
    """torch's functions such as ``torch.relu_`` are there for all methods that are."""
    for ours, theirs in ((refgrad, torch), (refgrad.nn.functional, torch.nn.functional)):
        names = [n for n in dir(theirs) if n.endswith("_") and not n.startswith("_")]
        expected = [n for n in names if hasattr(refgrad.Tensor, n) or hasattr(ours, n[:-1])]
        assert [n for n in expected if not hasattr(ours, n) and n not in NOT_YET] == []
