"""Custom functions: how they are called, and what their backward gets and may return."""

from __future__ import annotations

import importlib

from tests.refgrad.semantics.functions import custom, raised
from tests.refgrad.semantics.rows import as_torch, case, leaf


def double(ctx, x):
    return x * 2


def module(torch):
    """`torch.autograd.function`, imported by its name."""
    return importlib.import_module(f"{torch.__name__}.autograd.function")


# Calls


@case(13, 123, 216)
def a_call_makes_a_node_named_after_the_class_which_is_ctx(torch):
    x, seen = leaf(torch, 1, 2), []

    def forward(ctx, x, k):
        seen.extend((ctx, torch.is_grad_enabled(), ctx.next_functions[0][0].name(), len(ctx.next_functions)))
        ctx.k = k
        return x * k

    def backward(ctx, g):
        seen.extend((torch.is_grad_enabled(), g.requires_grad, g))
        return g * ctx.k, None

    y = custom(torch, forward, backward).apply(x, 3)
    node = y.grad_fn
    y.sum().backward(retain_graph=True)
    torch.autograd.grad(y.sum(), x, create_graph=True)
    same = seen.pop(0) is node
    return y, seen, same, node.k, node.name(), type(node).__name__, x.grad, node.requires_grad


@case(13)
def arguments_without_gradient_have_no_edge_or_an_empty_one(torch):
    x = leaf(torch, 1, 2)
    node = custom(torch, lambda ctx, *a: x * 2).apply("a", x, None, torch.ones(2), 3, x * 1).grad_fn
    return [(None if n is None else n.name(), k) for n, k in node.next_functions], node.needs_input_grad


@case(124)
def needs_input_grad_is_of_the_call_and_not_of_the_backward(torch):
    x, w, seen = leaf(torch, 1, 2), leaf(torch, 3, 4), []

    def backward(ctx, g):
        seen.append(ctx.needs_input_grad)
        return g, g, None, None

    f = custom(torch, lambda ctx, a, b, c, k: a * b, backward)
    y = f.apply(x, w, torch.ones(2), "k")
    found = torch.autograd.grad(y.sum(), w)
    with torch.no_grad():
        custom(torch, lambda ctx, a: seen.append(ctx.needs_input_grad)).apply(x)
    return found, seen


@case(60, 123)
def without_recording_nothing_hangs_on_the_outputs(torch):
    x, f = leaf(torch, 1, 2), custom(torch, double)
    with torch.no_grad():
        quiet = f.apply(x)
    with torch.inference_mode():
        inference = f.apply(x)
        with torch.enable_grad():
            within = f.apply(x)
    return quiet, f.apply(torch.ones(2)), inference, inference.is_inference(), within, within.is_inference()


@case(123)
def recording_inside_forward_leaves_no_trace(torch):
    x = leaf(torch, 1, 2)

    def forward(ctx, x):
        with torch.enable_grad():
            return x * 2

    f = custom(torch, forward, lambda ctx, g: g * 7)
    y = f.apply(x)
    y.sum().backward()
    with torch.no_grad():
        quiet = f.apply(x)
    return y, y.grad_fn.next_functions[0][0].name(), x.grad, quiet


@case(137)
def setup_context_gets_arguments_and_output(torch):
    x, seen = leaf(torch, 1, 2), []

    def setup(ctx, inputs, output):
        seen.extend((inputs[1:], inputs[0] is x, output, torch.is_grad_enabled()))
        ctx.save_for_backward(inputs[0])
        ctx.k = inputs[1]
        return "ignored"

    def backward(ctx, g):
        return g * ctx.saved_tensors[0] * 2 * ctx.k, None

    f = custom(torch, lambda x, k=2: x * x * k, backward, setup_context=setup)
    outputs = f.apply(x), f.apply(x, 3), f.apply(x, k=4), f.apply(k=5, x=x)
    sum(outputs).sum().backward()
    return outputs, outputs[0].grad_fn.needs_input_grad, seen, x.grad


@case(137)
def setup_context_sees_lists_and_star_arguments_as_they_are(torch):
    x, seen = leaf(torch, 1, 2), []

    def setup(ctx, inputs, output):
        seen.append((inputs, output))

    found = custom(torch, lambda x, *rest: [x * 1, x * 2], setup_context=setup).apply(x, 3, 4)
    return found, seen


def keywords_only(ctx, x, *, k):
    return x


def any_keywords(ctx, x, **k):
    return x


@case(137)
def keywords_are_matched_to_plain_parameters(torch):
    x = leaf(torch, 1, 2)
    three = custom(torch, lambda ctx, a, b=3, c=4: a * b * c)
    plain = custom(torch, lambda a, k=2: a * k, setup_context=lambda ctx, i, o: None)
    return (
        three.apply(x, c=1, b=2),
        three.apply(a=x).grad_fn.needs_input_grad,
        raised(three.apply, x, z=3),
        raised(three.apply, x, a=3),
        raised(three.apply, x, c=3),
        raised(three.apply, x, ctx=3),
        raised(three.apply, x, x, x, x, a=3),
        raised(custom(torch, keywords_only).apply, x, k=3),
        raised(custom(torch, any_keywords).apply, x, k=3),
        raised(plain.apply, x, z=3),
        raised(plain.apply, k=3),
    )


@case(138)
def what_is_not_defined_or_defined_twice(torch):
    x = leaf(torch, 1, 2)
    bare = type("MyF", (torch.autograd.Function,), {"forward": staticmethod(double)})
    twice = custom(torch, double, vjp=lambda ctx, g: g)
    other = type("MyF", (bare,), {"vjp": staticmethod(lambda ctx, g: g * 5)})
    other.apply(x).sum().backward()
    return (
        raised(type("MyF", (torch.autograd.Function,), {}).apply, x),
        raised(bare.apply(x).sum().backward),
        raised(twice.apply(x).sum().backward),
        raised(bare.jvp, None, 3),
        raised(bare.vmap, None, None, 3),
        raised(bare.setup_context, None, 3, 3),
        bare.generate_vmap_rule,
        x.grad,
    )


@case(138)
def instances_are_of_no_use(torch):
    old = type("Old", (module(torch).InplaceFunction,), {"forward": staticmethod(double)})
    return raised(custom(torch, double)(), leaf(torch, 1)), old(True).inplace, old.apply(leaf(torch, 1))


@case(138, 210)
def exceptions_come_through_as_they_are(torch):
    x, w = leaf(torch, 1, 2), leaf(torch, 3, 4)

    def fails(ctx, *args):
        raise KeyError("mine")

    y = custom(torch, double, fails).apply(x)
    z = (y + w * 2).sum()
    return raised(custom(torch, fails).apply, x), raised(z.backward), x.grad, w.grad, torch.is_grad_enabled()


@case(13)
def the_node_is_not_called(torch):
    return raised(custom(torch, double).apply(leaf(torch, 1, 2)).grad_fn, torch.ones(2))


@case(13, 138)
def names_that_functions_have(torch):
    f, names = custom(torch, double), module(torch)
    ctx = names.FunctionCtx()
    ctx.save_for_backward(3)
    ctx.mark_dirty(4)
    ctx.mark_non_differentiable(5)
    ctx.set_materialize_grads(7)
    return (
        f._backward_cls.__name__,
        f._backward_cls._forward_cls is f,
        issubclass(f._backward_cls, (names.BackwardCFunction, names.FunctionCtx)),
        issubclass(f, names.Function) and names.Function is torch.autograd.Function,
        isinstance(f, names.FunctionMeta),
        ctx.__dict__,
    )


@case(13)
def apply_of_the_node_is_the_users_backward(torch):
    x, one = leaf(torch, 1, 2), torch.ones(1)
    plain = custom(torch, double, lambda ctx, g: (g, None, 3)).apply(x).grad_fn
    boxed = custom(torch, double, lambda ctx, g: (g, None, 3), boxed_grads_call=True).apply(x).grad_fn
    return plain.apply(one), plain.apply(None), boxed.apply(one), boxed.apply_boxed([one])


@case(13)
def the_names_on_ctx_are_the_users(torch):
    names = (
        "meta hooks label sequence release name takes_undefined user_code derivative settle saved versions plan op "
        "edge unpack shape dtype grad data needs_input_grad register_hook"
    )
    found = []
    for name in names.split():

        def forward(ctx, x, name=name):
            setattr(ctx, name, "mine")
            ctx.save_for_backward(x)
            return x * 2

        def backward(ctx, g, name=name):
            assert getattr(ctx, name) == "mine"
            return g * ctx.saved_tensors[0]

        x = leaf(torch, 1, 2)
        y = custom(torch, forward, backward).apply(x)
        y.retain_grad()
        before = getattr(y.grad_fn, name)
        found.append((name, before, raised((y * 2).sum().backward), y.grad, x.grad))
    return found


# What backward returns


def _returning(torch, answer):
    x, w = leaf(torch, 1, 2), leaf(torch, 3, 4)
    y = custom(torch, lambda ctx, a, b, n: a * b, lambda ctx, g: answer).apply(x, w, 3)
    return raised(y.sum().backward), x.grad, w.grad


@case(125)
def the_number_of_gradients(torch):
    o = torch.ones(2, dtype=torch.float64)
    answers = o, (o,), (o, o), (o, o, None), (o, o, None, None), (o, o, None, o), (o, o, o), [o, o, None], None, ()
    return [_returning(torch, answer) for answer in answers]


@case(126)
def the_shapes_of_gradients(torch):
    o = torch.ones(2, dtype=torch.float64)
    shapes = (3, 2), (1,), (), (3,), (2, 1), (1, 2), (2, 3, 2), (0,), (0, 2)
    return [_returning(torch, (torch.ones(shape, dtype=torch.float64), o, None)) for shape in shapes]


@case(127)
def the_types_of_gradients(torch):
    o = torch.ones(2, dtype=torch.float64)
    i, f, three = torch.tensor([3, 4]), torch.ones(2), torch.ones(3)
    answers = (
        (3.0, o, None), ("s", o, None), (o, o, 3), (o, None, None), (None, None, None), (i, f, None), (o > 0, o, None),
        (o * 1j, o, None), (o * 1j, three, None), (three, o * 1j, None), (o, [o], None),
    )
    return [_returning(torch, answer) for answer in answers]


@case(127, 194)
def complex_inputs_take_real_gradients(torch):
    z = torch.tensor([1 + 2j, 3j], dtype=torch.complex128, requires_grad=True)
    custom(torch, double, lambda ctx, g: g.real).apply(z).abs().sum().backward()
    return z.grad


@case(127, 189)
def gradients_are_cast_to_the_inputs(torch):
    h = torch.ones(2, dtype=torch.float16, requires_grad=True)
    custom(torch, lambda ctx, a: a.double(), lambda ctx, g: g * 1.0001).apply(h).sum().backward()
    return h.grad


@case(126, 127)
def gradients_that_are_not_asked_for_are_checked_too(torch):
    x, w, v = leaf(torch, 1, 2), leaf(torch, 3, 4), torch.ones(2)
    y = custom(torch, lambda ctx, a, b: a * b, lambda ctx, g: (g, torch.ones(3))).apply(x, w)
    z = custom(torch, lambda ctx, a, b: a * b, lambda ctx, g: (g, torch.ones(3))).apply(x, v)
    return raised(torch.autograd.grad, y.sum(), x), torch.autograd.grad(z.sum(), x), v.grad


@case(35, 127, 148)
def none_for_a_gradient_leaves_it_undefined(torch):
    x, w = leaf(torch, 1, 2), leaf(torch, 3, 4)
    seen = []
    a, b = x * 2, w * 2
    b.register_hook(seen.append)
    y = custom(torch, lambda ctx, a, b: a * b, lambda ctx, g: (g, None)).apply(a, b)
    y.sum().backward()
    return x.grad, w.grad, seen


@case(119)
def gradients_may_be_expanded_or_transposed(torch):
    x = torch.arange(6.0).reshape(2, 3).requires_grad_()
    seen = []

    def backward(ctx, g):
        seen.extend((g.stride(), raised(g.mul_, 2)))
        return g.t().contiguous().t()

    custom(torch, double, backward).apply(x).sum().backward()
    return x.grad, seen


# Undefined gradients of outputs


def _pair(torch, seen, materialize=None):
    def forward(ctx, x):
        if materialize is not None:
            ctx.set_materialize_grads(materialize)
        integers, plain = torch.tensor([1, 2]), (x * 3).float()
        ctx.mark_non_differentiable(plain)
        return x * 2, "text", integers, plain, None, x.sum()

    def backward(ctx, *gradients):
        seen.append(gradients)
        return gradients[0]

    return custom(torch, forward, backward)


@case(133, 134, 135)
def outputs_without_gradient_get_zeros_or_none(torch):
    x, seen = leaf(torch, 1, 2), []
    for materialize in (None, True, False):
        made = _pair(torch, seen, materialize).apply(x)
        made[0].sum().backward()
        made[5].backward(retain_graph=True)
    sizes = [(tuple(m.shape), m.dtype) for m in made[0].grad_fn._input_metadata]
    return made, x.grad, seen, sizes


@case(135)
def materialize_grads_is_a_bool(torch):
    f = custom(torch, lambda ctx, x: ctx.set_materialize_grads(3))
    return raised(f.apply, leaf(torch, 1, 2))


@case(135, 148)
def a_function_runs_though_no_gradient_is_defined(torch):
    x, seen = leaf(torch, 1, 2), []

    def backward(ctx, g):
        seen.append(g)
        return None

    inner = custom(torch, double, backward).apply(x)
    custom(torch, double, lambda ctx, g: None).apply(inner).sum().backward()
    return x.grad, seen


@case(139)
def boxed_gradients(torch):
    x, seen = leaf(torch, 1, 2), []

    def backward(ctx, gradients):
        seen.append((type(gradients).__name__, len(gradients)))
        first = gradients.pop(0)
        return first + gradients.pop()

    y, z = custom(torch, lambda ctx, x: (x * 2, x * 3), backward, boxed_grads_call=True).apply(x)
    (y + z).sum().backward()
    wrong = [raised(custom(torch, double, **{flag: 3}).apply, x) for flag in FLAGS]
    return x.grad, seen, wrong


FLAGS = ("boxed_grads_call", "clear_saved_tensors_on_access")


# once_differentiable


def _once(torch):
    function = module(torch).once_differentiable(lambda ctx, g: g * ctx.saved_tensors[0] * 2)
    return custom(torch, lambda ctx, x: (ctx.save_for_backward(x), x * x)[1], function)


@case(136)
def once_differentiable_refuses_the_second_time(torch):
    x, v = leaf(torch, 1, 2), leaf(torch, 1, 1)
    (first,) = torch.autograd.grad(_once(torch).apply(x), x, v, create_graph=True)
    node = first.grad_fn
    behind = [(n.name(), k) for n, k in node.next_functions]
    return first, type(node).__name__, behind, raised(first.sum().backward), x.grad, v.grad


@case(136)
def once_differentiable_without_need(torch):
    x = leaf(torch, 1, 2)
    (plain,) = torch.autograd.grad(_once(torch).apply(x).sum(), x, create_graph=True)
    _once(torch).apply(x).sum().backward()
    return plain, x.grad


@case(136)
def once_differentiable_with_several_results(torch):
    x, w, v, made = leaf(torch, 1, 2), leaf(torch, 3, 4), leaf(torch, 1, 1), []
    for answer in (lambda g: (g * 2, None), lambda g: (None, g), lambda g: (g, g * 3)):
        function = module(torch).once_differentiable(lambda ctx, g, answer=answer: answer(g))
        y = custom(torch, lambda ctx, a, b: a * b, function).apply(x, w)
        found = torch.autograd.grad(y, (x, w), v, create_graph=True, allow_unused=True)
        made.append((found, [None if g is None else (g.grad_fn.name(), g.output_nr) for g in found]))
    return made


test_as_torch = as_torch(__name__)
