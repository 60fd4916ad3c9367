"""Hooks on saved tensors: what is packed, when and how often, what comes back, and what is refused."""

from __future__ import annotations

import gc
import threading
import weakref
from typing import Any

import refgrad
from tests.refgrad.semantics.rows import as_torch, case, error, leaf


class Log(list[Any]):
    """A pair of hooks that note what they see. What is packed is a copy, which is noted by its values."""

    def __init__(self, torch: Any) -> None:
        self.hooks = torch.autograd.graph.saved_tensors_hooks(self.pack, self.unpack)

    def pack(self, t: Any) -> Any:
        self.append(("pack", t.tolist()))
        return t.detach().clone()

    def unpack(self, packed: Any) -> Any:
        self.append(("unpack", packed.tolist()))
        return packed


@case(141)
def packed_when_saved_and_unpacked_when_needed(torch):
    x, w, log = leaf(torch, 1, 2), leaf(torch, 3, 4), Log(torch)
    with log.hooks:
        y = x * w
        log.append("recorded")
        z = y.exp().sum()
    log.append("backward")
    z.backward(retain_graph=True)
    log.append("again")
    z.backward()
    return log, x.grad, w.grad


@case(142)
def only_what_is_saved_is_packed(torch):
    x, c, log = leaf(torch, 1, 2), torch.tensor([3.0, 4.0], dtype=torch.float64), Log(torch)
    with log.hooks:
        made = [x * c, x + c, x * 2, x**2, 2 / x, x.sum(), c * c, x.detach() * c, x.view(2, 1), x.tanh(), x.relu()]
        with torch.no_grad():
            x * x
        with torch.inference_mode():
            x * x
        made.append(x.max(0).values)
        made.append(torch.where(c > 3, x, c))
    total = sum(t.sum() for t in made)
    log.append("backward")
    total.backward()
    return sorted(log[: log.index("backward")], key=repr), x.grad


@case(141, 142)
def what_pack_hooks_are_given(torch):
    x, seen = leaf(torch, 1, 2), []
    y = x * 1

    def pack(t):
        known = [name for name, u in (("x", x), ("y", y), ("c", c)) if u is t]
        seen.append((t.requires_grad, t.is_leaf, t._version, torch.is_grad_enabled(), known, t.grad_fn is not None))
        return t.detach()

    c = torch.ones(2, dtype=torch.float64)
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
        made = [x * c, y * c, y.exp(), c * x, y.clone().exp_()]
    return seen, made


@case(141)
def a_result_is_packed_as_the_user_gets_it(torch):
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t), lambda t: kept[0]):
        y = leaf(torch, 1, 2).exp()
    same = kept[0] is y
    del kept[:]
    return same


@case(80, 141)
def in_place_operations_pack_what_they_wrote(torch):
    x, log = leaf(torch, 1, 2), Log(torch)
    with log.hooks:
        y = x * 2
        y.exp_()
        y.sin_()
        y.mul_(y)
        y[0] = 5
        y[1:].mul_(x[1:])
        y[:1].sigmoid_()
    log.append("backward")
    y.sum().backward()
    return sorted(log[: log.index("backward")]), x.grad, y._version


@case(80, 90)
def a_result_written_into_a_view_that_is_gone(torch):
    found = []
    for packing in (False, True):
        x, log = leaf(torch, 1, 2), Log(torch)
        y = x * 2
        if packing:
            with log.hooks:
                y[:1].sigmoid_()
        else:
            y[:1].sigmoid_()
        (first,) = torch.autograd.grad(y.sum(), x, create_graph=True)
        found.append((first.tolist(), torch.autograd.grad(first.sum(), x), list(log)))
    return found


@case(144)
def writes_into_aliases_are_not_noticed(torch):
    found = []
    for pack in (lambda t: t, lambda t: t.detach(), lambda t: t.clone()):
        x = leaf(torch, 1, 2)
        y = x * 1
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
            z = y * y
            e = y.exp()
        y.mul_(10)
        e.mul_(10)
        (z.sum() + e.sum()).backward()
        found.append(x.grad)
    return found


@case(143)
def the_innermost_hooks_count(torch):
    x, outer, inner = leaf(torch, 1, 2), Log(torch), Log(torch)
    with outer.hooks:
        with inner.hooks:
            y = x * x
        z = y * y
    u = z * z
    u.sum().backward()
    return outer, inner, x.grad


@case(141, 143)
def the_same_hooks_again(torch):
    x, log = leaf(torch, 1, 2), Log(torch)
    with log.hooks:
        with log.hooks:
            y = x * x
        y = y * y
    y.sum().backward()
    with log.hooks:
        (x * x).sum().backward()
    return log


@case(145)
def hooks_can_be_refused(torch):
    refuse, log = torch.autograd.graph.disable_saved_tensors_hooks, Log(torch)
    found = []
    with refuse("no"):
        found.append(error(log.hooks.__enter__))
        with refuse("not even here"):
            found.append(error(log.hooks.__enter__))
        found.append(error(log.hooks.__enter__))
        found.append(error(torch.autograd.graph.save_on_cpu().__enter__))
    with log.hooks:
        found.append(error(refuse("too late").__enter__))
        (leaf(torch, 1, 2) ** 2).sum()
    found.append(error(refuse(3).__enter__)[0])
    return found, log


@case(145)
def hooks_must_be_callable(torch):
    hooks = torch.autograd.graph.saved_tensors_hooks
    x = leaf(torch, 1, 2)
    return error(hooks(3, 4).__enter__)[0], error(hooks(None, lambda t: t).__enter__)[0], (x * x)


@case(145)
def what_unpack_hooks_return(torch):
    found = []
    answers = (
        lambda t: 3,
        lambda t: None,
        lambda t: [t],
        lambda t: torch.ones(3, dtype=torch.float64),
        lambda t: t.to(torch.float32),
        lambda t: leaf(torch, 5, 6),
        lambda t: leaf(torch, 5, 6) * 2,
        lambda t: t * t + 1,
        lambda t: 1 / 0,
    )
    for answer in answers:
        x = leaf(torch, 1, 2)
        with torch.autograd.graph.saved_tensors_hooks(lambda t: t.clone(), answer):
            y = x * x
        found.append((error(y.sum().backward), x.grad))
    return found


@case(145)
def errors_of_pack_hooks(torch):
    def run(pack):
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
            return y * y

    x = leaf(torch, 1, 2)
    y = x * 1
    found = [error(run, pack) for pack in (lambda t: t.add_(1), lambda t: t.detach().add_(1), lambda t: 1 / 0)]
    (y * y).sum().backward()
    return found, y, x.grad


@case(141)
def unpack_hooks_compute_under_the_mode_of_the_pass(torch):
    found = []
    for create_graph in (False, True):
        x, seen = leaf(torch, 1, 2), []

        def unpack(packed, seen=seen):
            seen.append(torch.is_grad_enabled())
            return packed.exp().log() + packed.sum() * 0

        with torch.autograd.graph.saved_tensors_hooks(lambda t: t.detach(), unpack):
            y = (x * x * x).sum()
        found.append((torch.autograd.grad(y, x, create_graph=create_graph), seen))
    return found


@case(147)
def unpacked_tensors_stand_where_the_saved_ones_stood(torch):
    x, w = leaf(torch, 1, 2), leaf(torch, 3, 4)
    with torch.autograd.graph.saved_tensors_hooks(lambda t: t.detach(), lambda t: t):
        y = x * w
        z = (y * y.exp() * w).tanh()
    (first,) = torch.autograd.grad(z.sum(), x, create_graph=True)
    second = torch.autograd.grad(first.sum(), [x, w], create_graph=True)
    third = torch.autograd.grad(second[0].sum() + second[1].sum(), [x, w])
    return first.tolist(), [t.tolist() for t in second], third


@case(147)
def what_saved_tensors_look_like_after_unpacking(torch):
    keep = torch.ones(2, dtype=torch.float64)
    x = leaf(torch, 1, 2)
    y = x * 1
    c = torch.ones(2, dtype=torch.float64)
    with torch.autograd.graph.saved_tensors_hooks(lambda t: None, lambda t: keep):
        made = [x * c, y * c, y * y, y.exp()]
    at_leaf = made[0].grad_fn._saved_other
    inner, result = made[2].grad_fn._saved_other, made[3].grad_fn._saved_result
    (x * x).sum()
    return [
        at_leaf is keep,
        inner,
        inner.grad_fn is y.grad_fn,
        result,
        result.grad_fn is made[3].grad_fn,
        inner is keep,
        keep,
    ]


@case(147)
def leaves_keep_their_place(torch):
    keep = torch.tensor([7.0, 8.0], dtype=torch.float64)
    x = leaf(torch, 1, 2)
    with torch.autograd.graph.saved_tensors_hooks(lambda t: None, lambda t: keep):
        y = x * x
    got = y.grad_fn._saved_self
    (got * 3).sum().backward()
    return got, got is keep, keep, x.grad, got.grad


@case(147)
def saved_on_the_cpu(torch):
    x = leaf(torch, 1, 2)
    with torch.autograd.graph.save_on_cpu():
        y = x * x
        z = y.exp() * y
    (first,) = torch.autograd.grad(z.sum(), x, create_graph=True)
    with torch.autograd.graph.save_on_cpu(pin_memory=False):
        w = x * x
    w.sum().backward()
    return first.tolist(), torch.autograd.grad(first.sum(), x), x.grad


@case(51, 146)
def hooks_on_one_saved_tensor(torch):
    x, w, log = leaf(torch, 1, 2), leaf(torch, 3, 4), Log(torch)
    y = x * w
    node = y.grad_fn
    node._raw_saved_self.register_hooks(log.pack, log.unpack)
    seen = node._saved_self
    node._raw_saved_other.register_hooks(lambda t: (log.append(t.requires_grad), t)[1], lambda t: t * 10)
    y.sum().backward()
    return log, seen, x.grad, w.grad


@case(146)
def hooks_on_a_saved_result(torch):
    x, log = leaf(torch, 1, 2), Log(torch)
    y = x.exp()
    raw = y.grad_fn._raw_saved_result
    raw.register_hooks(log.pack, log.unpack)
    (first,) = torch.autograd.grad(y.sum(), x, create_graph=True)
    return log, torch.autograd.grad(first.sum(), x)


@case(146)
def what_hooks_on_one_saved_tensor_refuse(torch):
    x = leaf(torch, 1, 2)
    y = x * x
    raw = y.grad_fn._raw_saved_self
    same = lambda t: t  # noqa: E731
    found = [error(raw.register_hooks, 3, 4)[0], error(raw.register_hooks, lambda t: t.detach().add_(1), same)]
    y = x * x
    raw = y.grad_fn._raw_saved_self
    raw.register_hooks(same, same)
    found.append(error(raw.register_hooks, same, same))
    with torch.autograd.graph.saved_tensors_hooks(same, same):
        found.append(error((x * x).grad_fn._raw_saved_self.register_hooks, same, same))
    y.sum().backward()
    found += [error(raw.register_hooks, same, same), error(lambda: y.grad_fn._saved_self)]
    late = y.grad_fn._raw_saved_other
    return found, error(late.register_hooks, same, same), x


@case(146)
def what_nodes_save_under_which_name(torch):
    x, w = leaf(torch, 1, 2), leaf(torch, 3, 4)
    found = []
    for t in (x * w, x * 2, 2 * x, x * 2.5, x**2, x.exp(), x.sum(), x + w, x / w, x.tanh(), x.sin()):
        node = t.grad_fn
        names = ("self", "other", "result", "exponent")
        saved = {name: getattr(node, f"_saved_{name}", "none") for name in names}
        raw = [name for name in names if hasattr(node, f"_raw_saved_{name}")]
        found.append((saved, raw))
    return found


@case(142, 146)
def a_number_is_packed_on_demand_only(torch):
    x, log = leaf(torch, 1, 2), Log(torch)
    with log.hooks:
        y = x * 2
    y.grad_fn._raw_saved_other.register_hooks(log.pack, lambda t: t * 5)
    y.sum().backward()
    return log, x.grad


@case(141)
def hooks_of_nodes_inside_a_pass(torch):
    x, log = leaf(torch, 1, 2), Log(torch)
    y = (x * x * x).sum()
    with log.hooks:
        (first,) = torch.autograd.grad(y, x, create_graph=True)
    packed = len(log)
    torch.autograd.grad(first.sum(), x)
    return packed > 0, first.tolist()


def _custom(torch: Any) -> Any:
    class Scaled(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, a: Any, b: Any, c: Any) -> Any:
            out = a * b
            ctx.save_for_backward(a, b, None, out, c)
            return out

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            a, b, _, out, c = ctx.saved_tensors
            return g * b, g * a + out * 0, None

    return Scaled.apply


@case(128, 142, 147)
def custom_functions_pack_each_tensor_that_they_save(torch):
    x, w, log = leaf(torch, 1, 2), leaf(torch, 3, 4), Log(torch)
    kept = []
    with log.hooks:
        y = _custom(torch)(x, w, torch.ones(2))
    with torch.autograd.graph.saved_tensors_hooks(
        lambda t: (kept.append((t is x, t.requires_grad, t.is_leaf)), t.detach())[1], lambda t: t
    ):
        z = _custom(torch)(x, y, torch.ones(2))
    (first,) = torch.autograd.grad(z.sum(), x, create_graph=True)
    second = torch.autograd.grad(first.sum(), w)
    return log, kept, first.tolist(), second


@case(128, 146)
def hooks_on_one_saved_tensor_of_a_custom_function(torch):
    x, w, log = leaf(torch, 1, 2), leaf(torch, 3, 4), Log(torch)
    y = _custom(torch)(x, w, torch.ones(2))
    raw = y.grad_fn._raw_saved_tensors
    raw[0].register_hooks(lambda t: (log.append(t.requires_grad), log.pack(t))[1], log.unpack)
    raw[3].register_hooks(log.pack, log.unpack)
    refused = [error(raw[k].register_hooks, lambda t: t, lambda t: t) for k in (0, 2)]
    y.sum().backward()
    return log, x.grad, w.grad, refused


@case(93, 141)
def several_outputs_and_sequences(torch):
    x, log = leaf(torch, 3, 1, 2), Log(torch)
    with log.hooks:
        values, order = x.sort()
        stacked = torch.stack([x, x * 2])
        a, b = stacked.unbind()
        total = (values * a * b).sum() + torch.cat([x, x]).prod()
    total.backward()
    return x.grad


@case(76, 78)
def what_is_saved_without_need_is_checked_all_the_same(torch):
    index, c = torch.tensor([0, 1]), torch.tensor([2.0, 3.0], dtype=torch.float64)
    calls = (
        lambda y, c: torch.gather(y, 0, index),
        lambda y, c: torch.take_along_dim(y, index, 0),
        lambda y, c: torch.cummax(y, 0)[0],
        lambda y, c: torch.cummin(y, 0)[0],
        lambda y, c: torch.index_add(c, 0, index, y),
        lambda y, c: torch.lerp(c, c.clone(), y),
        lambda y, c: torch.addcdiv(y, c.clone(), c),
        lambda y, c: torch.pow(y, c),
        lambda y, c: torch.float_power(y, c),
        lambda y, c: torch.addcmul(y, c, c),
        lambda y, c: y + c,
    )
    found = []
    for call in calls:
        for victim in range(3):
            y, other = leaf(torch, 1, 2) * 1, c.clone()
            made = call(y, other)
            with torch.no_grad():
                (y, other, made)[victim].mul_(2)
            found.append(error(made.sum().backward))
    return found


@case(141)
def the_order_of_packing(torch):
    calls = (
        lambda a, b, c: a / b,
        lambda a, b, c: torch.addcmul(a, b, c),
        lambda a, b, c: torch.atan2(a, b),
        lambda a, b, c: torch.lerp(a, b, c),
        lambda a, b, c: torch.clamp(a, b, c),
        lambda a, b, c: torch.pow(a, b),
        lambda a, b, c: torch.dot(a, b),
        lambda a, b, c: torch.mv(a.view(1, 2), b),
        lambda a, b, c: torch.addmm(a, b.view(2, 1), c.view(1, 2)),
        lambda a, b, c: torch.maximum(a, b) * torch.where(a > b, a, c),
    )
    found = []
    for call in calls:
        log = Log(torch)
        with log.hooks:
            made = call(leaf(torch, 0.5, 0.25), leaf(torch, 0.125, 2), leaf(torch, 3, 5))
        made.sum().backward()
        found.append(list(log))
    return found


@case(141)
def a_view_that_requires_grad_for_its_base_is_unpacked_as_it_was(torch):
    x, y = leaf(torch, 2), leaf(torch, 3)
    with torch.no_grad():
        v = x.view(1, 1)
    found = []
    for pack in (lambda t: t, lambda t: t.detach(), lambda t: t.clone()):
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
            z = v * y
        (g,) = torch.autograd.grad(z.sum(), y, create_graph=True)
        found += [v.requires_grad, g, g.grad_fn.name(), error(g.sum().backward), x.grad]
    return found


def test_hooks_are_for_one_thread() -> None:
    x, log = leaf(refgrad, 1, 2), Log(refgrad)
    thread = threading.Thread(target=lambda: (x * x).sum().backward())
    with log.hooks:
        thread.start()
        thread.join()
    assert log == [] and x.grad.tolist() == [2, 4]


def test_a_packed_graph_is_freed_without_the_garbage_collector() -> None:
    x = leaf(refgrad, 1, 2)
    with refgrad.autograd.graph.saved_tensors_hooks(lambda t: t.detach(), lambda t: t):
        y = (x * 2).exp().sigmoid()
        z = y.clone().exp_() * y
    with refgrad.autograd.graph.save_on_cpu():
        u = z.tanh()
    node = weakref.ref(y.grad_fn)
    gc.disable()
    try:
        del y, z, u
        assert node() is None
    finally:
        gc.enable()


test_as_torch = as_torch(__name__)
