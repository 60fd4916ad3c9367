"""Hooks of tensors and nodes: when they run, in which order, what they may replace."""

from __future__ import annotations

from typing import Any

from tests.refgrad.semantics.rows import as_torch, case, error, leaf


def plain(value: Any) -> Any:
    """Gradients as lists."""
    if isinstance(value, tuple):
        return tuple(plain(v) for v in value)
    return None if value is None else value.tolist()


class Log(list[Any]):
    """What hooks saw, in order."""

    def hook(self, name: str, answer: Any = None) -> Any:
        def note(*given: Any) -> Any:
            self.append((name, *map(plain, given)))
            return answer

        return note


def everything(log: Log, t: Any) -> None:
    """One hook of each kind on a computed tensor; retain_grad in the midst."""
    t.grad_fn.register_hook(log.hook("post"))
    t.grad_fn.register_prehook(log.hook("pre"))
    t.register_hook(log.hook("first"))
    t.retain_grad()
    t.register_hook(log.hook("second"))


@case(107, 109, 114, 115)
def the_order_at_a_computed_tensor(torch):
    x, log = leaf(torch, 1, 2), Log()
    y = x * x
    everything(log, y)
    (y * 3).sum().backward()
    return log, y.grad, x.grad


@case(108, 117)
def the_order_at_a_leaf(torch):
    x, log = leaf(torch, 1, 2), Log()
    node = x.view_as(x).grad_fn.next_functions[0][0]
    node.register_hook(log.hook("post"))
    node.register_prehook(log.hook("pre"))
    x.register_post_accumulate_grad_hook(lambda p: log.append(("accumulated", p.grad.tolist())))
    x.register_hook(log.hook("tensor"))
    (x * 3).sum().backward()
    (x * 2).sum().backward()
    return log, node.name()


@case(105)
def a_hook_sees_the_whole_gradient_once(torch):
    x, log = leaf(torch, 1, 2), Log()
    x.register_hook(log.hook("x"))
    y = x * 2
    y.register_hook(log.hook("y"))
    (x * 2 + x * 3 + y + y * 4).sum().backward()
    return log


@case(106, 107, 109)
def what_hooks_return_takes_the_place_of_the_gradient(torch):
    x, log = leaf(torch, 1, 2), Log()
    y = x * 2
    y.retain_grad()
    y.register_hook(lambda g: g * 10)
    y.register_hook(log.hook("after"))
    y.grad_fn.register_prehook(lambda g: (g[0] + 1,))
    y.grad_fn.register_hook(lambda i, o: (i[0] * 100, None))
    x.register_hook(lambda g: -g)
    y.sum().backward()
    return log, y.grad, x.grad


@case(106)
def what_hooks_must_not_return(torch):
    found = []
    for answer in (3, torch.ones(3, dtype=torch.float64), torch.ones(2), [1]):
        for on_leaf in (False, True):
            x = leaf(torch, 1, 2)
            y = x * 2
            (x if on_leaf else y).register_hook(lambda g, answer=answer: answer)
            found.append((error(y.sum().backward), x.grad))
    return found


@case(114, 115)
def what_hooks_of_nodes_must_not_return(torch):
    found = []
    one, two = torch.ones(2, dtype=torch.float64), torch.ones(2)
    for answer in (3, (one, one), one, [one], (None,), (two,), (torch.ones(3, dtype=torch.float64),)):
        x = leaf(torch, 1, 2)
        y = x * 2
        y.grad_fn.register_prehook(lambda g, answer=answer: answer)
        found.append((error(y.sum().backward), x.grad))
    for answer in (3, (one,), one, [one, None], (two, None), (one * 5, None), (None, None)):
        x = leaf(torch, 1, 2)
        y = x * 2
        y.grad_fn.register_hook(lambda i, o, answer=answer: answer)
        found.append((error(y.sum().backward), x.grad))
    return found


@case(115)
def a_node_hook_sees_what_is_needed(torch):
    x, w, log = leaf(torch, 1, 2), leaf(torch, 2, 3), Log()
    y = x * w
    y.grad_fn.register_hook(log.hook("post"))
    torch.autograd.grad(y.sum(), x)
    return log


@case(115)
def a_node_hook_of_a_sequence_sees_gradients_that_nobody_needs(torch):
    found = []
    for join in (torch.cat, torch.stack):
        x, y = leaf(torch, 1, 2), torch.ones(2, dtype=torch.float64)
        z = join((x, y, x * 2))
        z.grad_fn.register_hook(lambda inputs, outputs: found.append(inputs))
        z.sum().backward(inputs=[x])
    return found


@case(110)
def hooks_with_grad(torch):
    x, log = leaf(torch, 1, 2), Log()
    y = x * x
    everything(log, y)
    x.register_hook(lambda g: g * 7)
    x.register_post_accumulate_grad_hook(lambda p: log.append("accumulated"))
    z = (y * 3).sum()
    found = torch.autograd.grad(z, (y, x), retain_graph=True)
    log.append("only y")
    found += torch.autograd.grad(z, y, retain_graph=True)
    return found, log, y.grad, x.grad


@case(28, 30, 110)
def hooks_with_inputs_of_backward(torch):
    x, w, log = leaf(torch, 1, 2), leaf(torch, 3, 4), Log()
    y = x * x
    everything(log, y)
    x.register_hook(log.hook("x"))
    w.register_hook(log.hook("w"))
    z = (y * w).sum()
    z.backward(inputs=[y], retain_graph=True)
    log.append("leaf")
    z.backward(inputs=[x])
    return log, y.grad, x.grad, w.grad


@case(111)
def a_hook_stays_with_the_value_it_was_put_on(torch):
    x, log = leaf(torch, 1, 2), Log()
    y = x * 2
    y.register_hook(log.hook("old"))
    y.mul_(5)
    y.register_hook(log.hook("new"))
    y.sum().backward()
    return log, x.grad


@case(112)
def retain_grad_moves_with_a_write(torch):
    x = leaf(torch, 1, 2)
    y = x * 2
    y.retain_grad()
    y.mul_(5)
    y.sum().backward()
    return y.grad, y.retains_grad


@case(104, 117)
def what_cannot_have_hooks(torch):
    x = leaf(torch, 1, 2)
    plain = torch.ones(2)
    return (
        error(plain.register_hook, print),
        error(plain.register_post_accumulate_grad_hook, print),
        error((x * 2).register_post_accumulate_grad_hook, print),
    )


@case(117)
def a_post_accumulate_hook_may_drop_the_gradient_and_must_return_none(torch):
    x = leaf(torch, 1, 2)
    handle = x.register_post_accumulate_grad_hook(lambda p: setattr(p, "grad", None))
    (x * 2).sum().backward()
    dropped = x.grad
    handle.remove()
    x.register_post_accumulate_grad_hook(lambda p: 3)
    return dropped, error((x * 2).sum().backward), x.grad


@case(116)
def hooks_of_an_accumulation_node_die_with_it(torch):
    x, log = leaf(torch, 1, 2), Log()
    x.view_as(x).grad_fn.next_functions[0][0].register_hook(log.hook("lost"))
    x.sum().backward()
    return log


@case(120)
def removal_of_hooks(torch):
    x, log = leaf(torch, 1, 2), Log()
    y = x * 2
    first = y.register_hook(log.hook("first"))
    second = y.register_hook(lambda g: second.remove() or log.append("once"))
    with y.register_hook(log.hook("inside")):
        y.sum().backward(retain_graph=True)
    first.remove()
    first.remove()
    y.sum().backward()
    return log


@case(120, 210)
def an_exception_in_a_hook_comes_through_and_leaves_what_was_done(torch):
    a, b = leaf(torch, 1, 2), leaf(torch, 3, 4)

    def fail(g):
        raise KeyError("hook")

    u = a * 2
    u.register_hook(fail)
    v = b * 3
    return error((u + v).sum().backward), a.grad, b.grad


@case(148)
def hooks_are_called_for_undefined_gradients(torch):
    y, log = leaf(torch, 1, 2, 3, 4) * 1, Log()
    a, b = y.chunk(2)
    b.register_hook(log.hook("b"))
    b.retain_grad()
    a.sum().backward()
    return log, b.grad


@case(119)
def a_hook_may_return_a_tensor_that_requires_grad(torch):
    x, w = leaf(torch, 1, 2), leaf(torch, 3, 4)
    y = x * 2
    y.register_hook(lambda g: g * w)
    y.sum().backward()
    return x.grad, w.grad


@case(13, 216)
def a_node_can_be_called_and_described(torch):
    x, w = leaf(torch, 1, 2), leaf(torch, 3, 4)
    y, one = x * w, torch.ones(2, dtype=torch.float64)
    node = y.grad_fn
    node.metadata["mine"] = 3
    both = node(one)
    (meta,) = node._input_metadata
    return both, y.exp().grad_fn(one), node.metadata, tuple(meta.shape), meta.dtype, node._sequence_nr() >= 0


@case(59)
def saved_values_by_name(torch):
    x, w = leaf(torch, 1, 2), leaf(torch, 3, 4)
    y = x * w
    z = y.exp()
    same = y.grad_fn._saved_self is x, y.grad_fn._saved_other is w
    seen = same, z.grad_fn._saved_result, (x**3).grad_fn._saved_exponent
    z.sum().backward()
    return seen, error(lambda: y.grad_fn._saved_self)


@case(105, 106)
def hook_sees_the_whole_gradient_and_may_replace_it(torch):
    x = leaf(torch, 3)
    seen = []
    y = x * 2
    y.register_hook(lambda g: seen.append(g.tolist()))
    y.register_hook(lambda g: g * 10)
    x.register_hook(lambda g: seen.append(g.tolist()))
    (y * 2 + y * 3).backward()
    return seen, x.grad


@case(106)
def hook_that_returns_a_number(torch):
    x = leaf(torch, 3)
    x.register_hook(lambda g: 3)
    x.backward()


@case(106)
def hook_that_changes_the_shape(torch):
    x = leaf(torch, 3)
    x.register_hook(lambda g: g.sum())
    x.backward()


@case(122)
def hooks_in_reference_cycles_are_collected(torch):
    import gc
    import weakref

    class Holder:
        pass

    def leak():
        holder, x = Holder(), leaf(torch, 1, 2)
        holder.x = x
        x.register_hook(lambda g: holder and None)
        (x * 2).sum().backward()
        return weakref.ref(holder)

    reference = leak()
    gc.collect()
    return reference() is None


@case(217)
def the_garbage_collector_may_run_in_a_hook(torch):
    import gc

    x, log = leaf(torch, 1, 2), Log()
    y = x * 2
    for _ in range(20):
        y = y * 1.5
    z = (y.exp() * x).sum()
    y.register_hook(lambda g: log.append(gc.collect() >= 0))
    del y
    z.backward()
    return log, x.grad.isfinite().all()


test_as_torch = as_torch(__name__)
