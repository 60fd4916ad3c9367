"""`autograd.graph`: edges as roots and inputs, hooks on several tensors, versions, callbacks, allowed mutation."""

from __future__ import annotations

import gc
import threading
import weakref
from typing import Any

import pytest

import refgrad
from refgrad.autograd.graph import GradientEdge, get_gradient_edge, register_multi_grad_hook
from refgrad.modes import local
from tests.refgrad.semantics.rows import as_torch, case, error, leaf

# Edges


@case(216)
def nodes_are_instances_of_node(torch):
    node = torch.autograd.graph.Node
    x = leaf(torch, 1, 2)
    y = x * 2
    accumulate = y.grad_fn.next_functions[0][0]
    return [
        isinstance(y.grad_fn, node),
        isinstance(accumulate, node),
        issubclass(type(y.grad_fn), node),
        issubclass(type(accumulate), node),
        isinstance(x, node),
        issubclass(int, node),
        y.grad_fn.requires_grad,
        list(y.grad_fn._input_metadata[0].shape),
    ]


@case(216)
def the_sequence_number_can_be_set(torch):
    x = leaf(torch, 1, 2)
    y = x * 2
    y.grad_fn._set_sequence_nr(7)
    return y.grad_fn._sequence_nr()


@case(33)
def an_edge_tells_node_and_output(torch):
    x = leaf(torch, 1, 2)
    y = x * 2
    edge = torch.autograd.graph.get_gradient_edge(y)
    third = torch.autograd.graph.get_gradient_edge(x.unbind()[1])
    at_leaf = torch.autograd.graph.get_gradient_edge(x)
    return [
        edge.node is y.grad_fn,
        edge._fields,
        edge.output_nr,
        edge.ownership_token,
        third.output_nr,
        at_leaf.node.name(),
        at_leaf.node.variable is x,
        at_leaf == torch.autograd.graph.get_gradient_edge(x),
    ]


@case(33)
def what_has_no_edge(torch):
    edge = torch.autograd.graph.get_gradient_edge
    b = torch.ones(4)
    v = b[1:]
    b.requires_grad_()
    return error(edge, torch.ones(2)), error(edge, 3), error(edge, v)


@case(33)
def edges_as_roots(torch):
    edge = torch.autograd.graph.get_gradient_edge
    found = []
    for given in (None, torch.ones(2), torch.ones(2, dtype=torch.float64), torch.ones(3), torch.ones(2, 1), 3.0):
        for scalar in (False, True):
            x = leaf(torch, 1, 2)
            y = (x * x).sum() if scalar else x * x
            root = edge(y)
            found.append(error(torch.autograd.grad, root, x, given))
            found.append(error(torch.autograd.backward, root, given))
            found.append(x.grad)
    return found


@case(33)
def edges_among_several_roots(torch):
    x = leaf(torch, 1, 2)
    y, z = x * x, x * 3
    torch.autograd.backward([torch.autograd.graph.get_gradient_edge(y), z], [torch.ones(2), torch.ones(2)])
    return x.grad


@case(33)
def a_complex_edge_as_root(torch):
    z = torch.tensor([1 + 1j], requires_grad=True)
    root = torch.autograd.graph.get_gradient_edge(z * z)
    return error(torch.autograd.grad, root, z), error(torch.autograd.grad, root, z, torch.ones(1))


@case(27, 33)
def edges_as_inputs_of_grad(torch):
    x = leaf(torch, 1, 2)
    y = x * x
    s = (y * 3).sum()
    edges = [torch.autograd.graph.get_gradient_edge(t) for t in (x, y, y, s)]
    return torch.autograd.grad(s, edges)


@case(28, 33)
def edges_as_inputs_of_backward(torch):
    x, w = leaf(torch, 1, 2), leaf(torch, 3, 4)
    y = x * x
    s = (y * w).sum()
    edge = torch.autograd.graph.get_gradient_edge
    s.backward(inputs=edge(x), retain_graph=True)
    first = x.grad.clone(), w.grad
    torch.autograd.backward(s, inputs=[edge(y), w])
    return first, x.grad, y.grad, w.grad


@case(24, 25, 33)
def unused_edges(torch):
    edge = torch.autograd.graph.get_gradient_edge
    x = leaf(torch, 1, 2)
    s, unused = (x * x).sum(), x * 2
    grad = torch.autograd.grad
    return [
        error(grad, s, [x, edge(unused)], retain_graph=True),
        grad(s, [x, edge(unused)], allow_unused=True, retain_graph=True),
        error(grad, s, [x, edge(unused)], materialize_grads=True, retain_graph=True),
        grad(s, [x, edge(x)], materialize_grads=True),
    ]


@case(33)
def edges_that_are_none(torch):
    edge = torch.autograd.graph.GradientEdge
    x = leaf(torch, 1, 2)
    s = (x * x).sum()
    return [
        error(torch.autograd.grad, edge(3, 0), x, torch.ones(2)),
        error(torch.autograd.grad, s, edge(3, 0)),
        error(torch.autograd.grad, s, edge(None, 0)),
        error(torch.autograd.grad, edge(s.grad_fn, 1), x),
    ]


def test_an_edge_of_an_output_that_is_not_there_is_refused() -> None:
    """torch reads outside of its memory for these."""
    x = leaf(refgrad, 1, 2)
    s = (x * x).sum()
    for number in (-1, 2):
        edge = GradientEdge(s.grad_fn, number)
        with pytest.raises(IndexError):
            refgrad.autograd.grad(s, edge)
        with pytest.raises(IndexError):
            refgrad.autograd.grad(edge, x, refgrad.ones(()))


def test_an_edge_keeps_its_graph_alive() -> None:
    x = leaf(refgrad, 1, 2)
    edge = get_gradient_edge((x * x).sum())
    (found,) = refgrad.autograd.grad(edge, x)
    assert found.tolist() == [2, 4]


@case(33)
def roots_and_inputs_that_are_no_tensors(torch):
    x = leaf(torch, 1, 2)
    s = (x * x).sum()
    backward, grad = torch.autograd.backward, torch.autograd.grad
    return [
        error(backward, 3.0),
        error(backward, [3.0]),
        error(backward, [None]),
        error(backward, ["a"], [torch.ones(1)]),
        error(grad, 3.0, x),
        error(grad, [3.0], x),
        error(grad, s, 3.0),
        error(grad, s, [3.0]),
        error(grad, s, [x, None]),
        error(grad, torch.ones(()), [3.0]),
        error(backward, s, inputs=[3.0]),
        error(backward, s, inputs=3.0),
    ]


# Arguments of backward and grad


@case(31)
def grad_variables_is_an_old_name(torch):
    x = leaf(torch, 1, 2)
    torch.autograd.backward(x * 2, grad_variables=torch.ones(2))
    torch.autograd.backward(x * 2, None, None, False, torch.ones(2))
    refused = error(torch.autograd.backward, x * 2, torch.ones(2), grad_variables=torch.ones(2))
    return refused, x.grad


@case(31)
def only_inputs_is_ignored(torch):
    x, w = leaf(torch, 1, 2), leaf(torch, 3, 4)
    return torch.autograd.grad((x * w).sum(), x, only_inputs=False), w.grad


@case(25)
def materialized_gradients(torch):
    x, unused = leaf(torch, 1, 2), torch.ones(3, requires_grad=True)
    found = []
    for create_graph in (False, True):
        s = (x * x).sum()
        found.append(torch.autograd.grad(s, [x, unused], materialize_grads=True, create_graph=create_graph))
        found.append(error(torch.autograd.grad, s, unused, materialize_grads=True, allow_unused=False))
    return found


@case(12, 24)
def a_view_that_requires_grad_for_its_base_is_not_reached(torch):
    b = torch.ones(4)
    v = b[1:]
    b.requires_grad_()
    total = (v * 2).sum()
    refused = error(torch.autograd.grad, total, v, retain_graph=True)
    return refused, torch.autograd.grad(total, v, allow_unused=True), b.grad, v.grad


# Hooks on several tensors


class Log(list[Any]):
    def __call__(self, given: Any) -> None:
        self.append([None if g is None else g.tolist() for g in given] if isinstance(given, list) else given.tolist())


def _four(torch: Any) -> Any:
    a, b = leaf(torch, 1, 2), leaf(torch, 3, 4)
    return a, b, a * b, a * b


@case(118)
def hooks_on_several_tensors(torch):
    runs = {
        "backward": lambda a, b, c, d: c.sum().backward(),
        "both": lambda a, b, c, d: (c * 2 + d).sum().backward(),
        "again": lambda a, b, c, d: (c.sum().backward(retain_graph=True), (c + d).sum().backward()),
        "inputs a": lambda a, b, c, d: c.sum().backward(inputs=[a]),
        "inputs c": lambda a, b, c, d: c.sum().backward(inputs=[c]),
        "grad c": lambda a, b, c, d: torch.autograd.grad((c * 2).sum(), c),
        "grad c d": lambda a, b, c, d: torch.autograd.grad((c * 2).sum(), [c, d], allow_unused=True),
        "grad a": lambda a, b, c, d: torch.autograd.grad((c * 2).sum(), a),
        "nothing": lambda a, b, c, d: (a * 2).sum().backward(inputs=[b]),
    }
    found = {}
    for mode in ("all", "any"):
        for name, run in runs.items():
            four, log = _four(torch), Log()
            torch.autograd.graph.register_multi_grad_hook(four, log, mode=mode)
            found[mode, name] = error(run, *four), list(log)
    return found


@case(118)
def hooks_on_inner_tensors_with_grad(torch):
    found = []
    for wanted in ([0], [1], [2], [2, 1]):
        four, log = _four(torch), Log()
        torch.autograd.graph.register_multi_grad_hook(four[1:3], log)
        found.append((error(torch.autograd.grad, (four[2] * 2).sum(), [four[k] for k in wanted]), list(log)))
    return found


@case(118)
def what_hooks_on_several_tensors_refuse(torch):
    register = torch.autograd.graph.register_multi_grad_hook
    x, plain = leaf(torch, 1, 2), torch.ones(2)
    found = [error(register, [x], print, mode="some"), error(register, [x, plain], print)]
    log = Log()
    register([], log)
    register([plain], log, mode="any")
    (x * 2).sum().backward()
    return found, list(log)


@case(118, 120)
def hooks_on_several_tensors_can_be_removed(torch):
    x, w, log = leaf(torch, 1, 2), leaf(torch, 3, 4), Log()
    handle = torch.autograd.graph.register_multi_grad_hook((x, w), log)
    handle.remove()
    handle.remove()
    (x * w).sum().backward()
    with torch.autograd.graph.register_multi_grad_hook((x, w), log, mode="any"):
        (x * w).sum().backward()
    (x * w).sum().backward()
    return list(log)


@case(118)
def what_hooks_on_several_tensors_return_does_not_count(torch):
    a, b, c, d = _four(torch)
    torch.autograd.graph.register_multi_grad_hook((c, d), lambda given: [g * 5 for g in given])
    (c + d).sum().backward()
    return a.grad, b.grad


@case(118, 120)
def errors_in_hooks_on_several_tensors(torch):
    def fail(given: Any) -> None:
        log.append("called")
        raise KeyError("hook")

    a, b, c, d = _four(torch)
    log: list[Any] = []
    torch.autograd.graph.register_multi_grad_hook((c, d), fail)
    total = (c + d).sum()
    found = [error(total.backward, retain_graph=True), error(total.backward)]
    c, later = a * b, Log()
    torch.autograd.graph.register_multi_grad_hook((a, c), later)
    handle = c.register_hook(lambda g: 1 / 0)
    total = (c * 2).sum()
    found.append(error(total.backward, retain_graph=True))
    handle.remove()
    total.backward()
    return found, log, list(later)


@case(118)
def one_tensor_twice_and_several_outputs_of_one_node(torch):
    a, b, c, d = _four(torch)
    log = Log()
    register = torch.autograd.graph.register_multi_grad_hook
    register((c, c), log)
    (c * 2).sum().backward()
    u = (a * b).unbind()
    register(u, log)
    (u[0] * 2).backward()
    return list(log)


@case(118, 213)
def hooks_on_several_tensors_in_a_pass_within_a_pass(torch):
    a, b, c, d = _four(torch)
    log = Log()
    torch.autograd.graph.register_multi_grad_hook((c,), log)
    s = c * 2

    def again(gradient: Any) -> None:
        with torch.enable_grad():
            total = (c * 3).sum()
        total.backward(retain_graph=True)
        log.append("inner pass done")

    s.register_hook(again)
    s.sum().backward()
    return list(log), a.grad


def test_hooks_on_several_tensors_are_freed_with_their_graph() -> None:
    x = leaf(refgrad, 1, 2)
    y = x * 2
    z = y * x
    register_multi_grad_hook((x, y, z), lambda given: None)
    register_multi_grad_hook((y, z), lambda gradient: None, mode="any")
    z.sum().backward()
    alive = weakref.ref(y.grad_fn), weakref.ref(z.grad_fn), weakref.ref(x)
    gc.disable()
    try:
        del x, y, z
        assert [ref() for ref in alive[:2]] == [None] * 2
        gc.collect()  # as in torch, the hook keeps the accumulation node of a leaf, which keeps the leaf
        assert alive[2]() is None
    finally:
        gc.enable()


# Versions


@case(75)
def versions_by_hand(torch):
    increment = torch.autograd.graph.increment_version
    x = torch.ones(3)
    v = x[1:]
    increment(x)
    increment([x, v])
    increment(t for t in (v,))
    with torch.inference_mode():
        inside = torch.ones(2)
        increment(inside)
    increment(inside)
    refused = [error(increment, value) for value in (3, [3], None, "a")]
    y = leaf(torch, 1, 2) * 2
    z = y * y
    increment(y)
    return x._version, v._version, refused, error(z.sum().backward)


@case(75)
def writes_can_be_hidden(torch):
    hide = torch.autograd._unsafe_preserve_version_counter
    x, t = leaf(torch, 1, 2), torch.ones(2, dtype=torch.float64)
    t.add_(1)
    y = x * t
    with hide(t):
        t.mul_(5)
        inside = t._version
    u = torch.zeros(2)
    with hide((t, u)):
        t.add_(1)
        u.add_(1)
    y.sum().backward()
    with torch.inference_mode():
        i = torch.ones(2)
    return inside, t._version, u._version, x.grad, error(hide, [t]), error(hide, 3), error(hide, i)


@case(33, 118)
def edges_of_leaves_in_inference_mode(torch):
    graph = torch.autograd.graph
    asks = (
        lambda x: graph.register_multi_grad_hook([x], print) and None,
        lambda x: graph.register_multi_grad_hook([x], print, mode="any") and None,
        lambda x: graph.get_gradient_edge(x) and None,
    )
    leaves = torch.ones(1), torch.ones(1, requires_grad=True)
    with torch.inference_mode():
        return [error(ask, x) for x in leaves for ask in asks]


# Callbacks


@case(121)
def callbacks_run_when_a_pass_is_complete(torch):
    queue = torch.autograd.Variable._execution_engine.queue_callback
    found = [error(queue, print)]
    for create_graph in (False, True):
        x, log = leaf(torch, 1, 2), []

        def called(x=x, log=log):
            log.append((torch.is_grad_enabled(), x.grad is not None))
            if len(log) < 4:
                queue(called)

        y = x * x
        y.register_hook(lambda g, log=log, called=called: (log.append("hook"), queue(called))[1])
        y.sum().backward(create_graph=create_graph)
        found.append(log)
    return found


@case(121, 213)
def callbacks_of_a_pass_within_a_pass(torch):
    queue = torch.autograd.Variable._execution_engine.queue_callback
    x, log = leaf(torch, 1, 2), []
    y = x * x

    def nested(gradient):
        queue(lambda: log.append("outer"))
        with torch.enable_grad():
            z = leaf(torch, 1, 2) * 2
        z.register_hook(lambda g: queue(lambda: log.append("inner")))
        z.sum().backward()
        log.append("inner pass done")

    y.register_hook(nested)
    y.sum().backward()
    return log


@case(121)
def callbacks_and_errors(torch):
    queue = torch.autograd.Variable._execution_engine.queue_callback
    found = []
    for bad_hook, callback in ((True, lambda: None), (False, lambda: 1 / 0), (False, 3), (False, lambda: 5)):
        x, log = leaf(torch, 1, 2), []
        y = x * x

        def hook(gradient, log=log, callback=callback):
            queue(callback)
            queue(lambda: log.append("second"))

        y.register_hook(hook)
        if bad_hook:
            x.register_hook(lambda g: 1 / 0)
        found.append((error(y.sum().backward), log, x.grad))
    return found


# Threads


@case(212)
def backward_without_threads(torch):
    x = leaf(torch, 1, 2)
    setting = torch.autograd.set_multithreading_enabled

    @setting(False)
    def run():
        (x * x).sum().backward()
        return x.grad.clone()

    found = [run()]
    with setting(True):
        found.append(run())
    return found, error(setting, 1), error(setting, None)


def test_multithreading_is_a_flag_of_the_thread() -> None:
    setting = refgrad.autograd.set_multithreading_enabled
    found = [local.modes.multithreading]
    with setting(False):
        found.append(local.modes.multithreading)
        thread = threading.Thread(target=lambda: found.append(local.modes.multithreading))
        thread.start()
        thread.join()
    found.append(local.modes.multithreading)
    call = setting(False)(lambda: local.modes.multithreading)  # as in torch, it stays as it was set
    found += [call(), local.modes.multithreading]
    setting(True)
    assert found == [True, False, True, True, False, False]


@case(213)
def passes_within_passes(torch):
    x, log = leaf(torch, 0.5), []

    def level(k):
        y = x * 2
        if k:
            y.register_hook(lambda g: again(k - 1))
        return y

    def again(k):
        log.append((k, torch.is_grad_enabled()))
        with torch.enable_grad():
            y = level(k)
        y.sum().backward()

    level(100).sum().backward()
    return len(log), log[:3], log[-1], x.grad


@case()
def variable_is_an_old_name_of_tensor(torch):
    make = torch.autograd.Variable
    t = torch.ones(2)
    return isinstance(t, make), make(t), make(t, requires_grad=True), error(make, [1.0])


# Mutation of saved tensors


def _mutated(torch: Any, write: Any) -> Any:
    with torch.autograd.graph.allow_mutation_on_saved_tensors() as context:
        x = leaf(torch, 1, 2, 3)
        y = x.clone()
        total = (y**2).sum()
        write(y)
        copies = len(context.cloned)
        total.backward()
        return x.grad, copies, y


def _add_into(torch: Any) -> Any:
    def write(y: Any) -> None:
        with torch.no_grad():
            y.add_(y)

    return write


@case(87)
def saved_tensors_may_be_written(torch):
    writes = (
        lambda y: y.sin_(),
        lambda y: y.data.zero_(),
        lambda y: y.detach().mul_(3),
        lambda y: y.copy_(torch.zeros(3)),
        lambda y: y.mul_(y),
        lambda y: (y.add_(1), y.add_(1)),
        lambda y: y.view(3, 1).zero_(),
        _add_into(torch),
        lambda y: None,
    )
    return [_mutated(torch, write)[0] for write in writes]


def test_a_write_into_part_of_a_saved_tensor_is_noticed() -> None:
    """torch looks at the address of what is written alone: its gradient of these is wrong, and it does not say so."""
    for write in (lambda y: y.__setitem__(1, 5.0), lambda y: y[1:].sin_(), lambda y: y.detach()[2:].zero_()):
        gradient, copies, _ = _mutated(refgrad, write)
        assert gradient.tolist() == [2, 4, 6] and copies == 1


@case(87)
def results_and_accumulated_gradients_may_be_written(torch):
    found = []
    with torch.autograd.graph.allow_mutation_on_saved_tensors():
        x = leaf(torch, 1, 2, 3)
        y = x.exp()
        total = y.sum()
        y.mul_(2)
        total.backward()
        found.append(x.grad.clone())
        x.grad = torch.ones(3, dtype=torch.float64)
        total = (x * x.grad).sum()
        (x * 3).sum().backward()
        found += [torch.autograd.grad(total, x), x.grad]
    return found


@case(87)
def second_order_of_what_was_written(torch):
    with torch.autograd.graph.allow_mutation_on_saved_tensors():
        x = leaf(torch, 1, 2, 3)
        y = x.clone()
        z = y.exp()
        y.mul_(2)
        total = (z * y).sum()
        z.add_(1)
        (first,) = torch.autograd.grad(total, x, create_graph=True)
        return first, torch.autograd.grad(first.sum(), x)


@case(87)
def mutation_is_over_with_its_context(torch):
    allow = torch.autograd.graph.allow_mutation_on_saved_tensors
    with allow():
        x = leaf(torch, 1, 2)
        y = x * x
        seen = y.grad_fn._saved_self
    found = [error(y.sum().backward), error(lambda: y.grad_fn._saved_self)]
    with allow():
        found.append(error(y.sum().backward))
        z = x * x
        z.sum().backward()
    return seen, found, x.grad


@case(87)
def all_that_writes_spares_what_was_saved(torch):
    found = []
    for write in (
        lambda x, y: torch.mul(y, y, out=x),
        lambda x, y: x.t_(),
        lambda x, y: x.unsqueeze_(0),
        lambda x, y: x.resize_(1),
        lambda x, y: x.set_(y),
        lambda x, y: x.zero_(),
    ):
        w, x, y = leaf(torch, 1, 2).reshape(1, 2), torch.ones(1, 2), torch.full((1, 2), 3.0)
        with torch.autograd.graph.allow_mutation_on_saved_tensors():
            total = (w * x).sum()
            write(x, y)
            found.append((torch.autograd.grad(total, w), x))
    return found


@case(87, 66)
def inference_tensors_are_not_written_where_mutation_is_allowed(torch):
    found = []
    with torch.inference_mode():
        y = torch.ones(2, 2)
        for write in ("neg_", "t_", "zero_", "detach_"):
            x = y * 2
            with torch.autograd.graph.allow_mutation_on_saved_tensors():
                found += [error(getattr(x, write)), x.clone()]
    return found


@case(87)
def new_data_of_what_was_saved_shows(torch):
    found = []
    for saving in (torch.autograd.graph.save_on_cpu, torch.autograd.graph.allow_mutation_on_saved_tensors):
        for requires in (False, True):
            w, x = leaf(torch, 1, 2), leaf(torch, 3, 4).detach().requires_grad_(requires)
            with saving():
                total = (w * x).sum()
                x.data = leaf(torch, 5, 6).detach()
                found.append(torch.autograd.grad(total, w))
    return found


@case(53)
def a_view_without_an_edge_is_saved_by_an_op_of_its_own(torch):
    x = leaf(torch, 1, 2)
    with torch.no_grad():
        v = x.view(2, 1)
    found = []
    for make in (lambda: v.sin(), lambda: v * v):
        y = make().sum()
        found += [y.requires_grad, error(y.backward), error(y.backward), x.grad]
    return found


@case(53)
def undefined_gradients_look_at_what_hooks_saved(torch):
    class Nothing(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 1

        @staticmethod
        def backward(ctx, g):
            return None

    x, log = leaf(torch, 1, 2), []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: t.tolist(), lambda v: log.append(v) or torch.tensor(v)):
        y = x.sin()
    Nothing.apply(y).sum().backward()
    return log, x.grad, error(Nothing.apply(y).sum().backward)


@case(87)
def mutation_contexts_do_not_nest(torch):
    allow = torch.autograd.graph.allow_mutation_on_saved_tensors
    with allow():
        x = leaf(torch, 1, 2)
        total = (x.clone() ** 2).sum()
        refused = error(allow().__enter__)
        after = error(total.backward)
    with torch.autograd.graph.disable_saved_tensors_hooks("not here"):
        disabled = error(allow().__enter__)
    with allow():
        (x * x).sum().backward()
    return refused, after, disabled, x.grad


def test_saved_tensors_are_freed_with_their_graph() -> None:
    with refgrad.autograd.graph.allow_mutation_on_saved_tensors() as context:
        x = leaf(refgrad, 1, 2)
        y = x.exp()
        z = y * y
        y.add_(1)
        assert len(context.original) == 0 and len(context.cloned) == 1
        gc.disable()
        try:
            node = weakref.ref(z.grad_fn)
            del y, z
            assert node() is None and not context.original and not context.cloned
        finally:
            gc.enable()


def test_mutation_is_allowed_for_one_thread() -> None:
    found = []

    def write() -> None:
        x = leaf(refgrad, 1, 2)
        y = x.clone()
        z = y * y
        y.zero_()
        found.append(error(z.sum().backward)[0])

    with refgrad.autograd.graph.allow_mutation_on_saved_tensors():
        thread = threading.Thread(target=write)
        thread.start()
        thread.join()
    assert found == ["RuntimeError"]


@case(118)
def torch_forgets_the_only_root_of_a_pass(torch):
    x, seen = leaf(torch, 1), []
    register = torch.autograd.graph.register_multi_grad_hook
    y = x * 2
    z = (y * 3).sum()
    for mode in ("all", "any"):
        for name, tensors in (("z", [z]), ("zy", [z, y]), ("zx", [z, x]), ("yx", [y, x])):
            register(tensors, lambda g, note=(mode, name): seen.append(note), mode=mode)
    z.backward(retain_graph=True)
    seen.append("several roots")
    torch.autograd.backward([z, y], [None, torch.ones_like(y)])
    return seen


test_as_torch = as_torch(__name__)
