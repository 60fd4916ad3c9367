"""Arguments of backward() and grad(), and their errors."""

from __future__ import annotations

from tests.refgrad.semantics.rows import as_torch, case, error, leaf


@case(15)
def backward_without_grad(torch):
    torch.ones(1).backward()


@case(16)
def backward_of_vector_without_gradient(torch):
    (leaf(torch, 1, 2) * 2).backward()


@case(16)
def backward_of_one_element_matrix(torch):
    x = leaf(torch, 3)
    (x * x).reshape(1, 1).backward()
    return x.grad


@case(18)
def backward_with_gradient_of_wrong_shape(torch):
    (leaf(torch, 1, 2) * 2).backward(torch.ones(3, dtype=torch.float64))


@case(18)
def backward_with_broadcastable_gradient(torch):
    (leaf(torch, 1, 2) * 2).backward(torch.ones(1, dtype=torch.float64))


@case(20)
def backward_with_gradient_of_other_dtype(torch):
    x = leaf(torch, 1, 2)
    (x * 2).backward(torch.ones(2, dtype=torch.int64))
    return x.grad


@case(21)
def backward_with_a_float(torch):
    (leaf(torch, 1) * 2).backward(1.0)


@case(21)
def backward_with_a_list_of_floats(torch):
    torch.autograd.backward([leaf(torch, 1) * 2], [1.0])


@case(21)
def backward_with_fewer_gradients(torch):
    x = leaf(torch, 1)
    torch.autograd.backward([x * 2, x * 3], [torch.ones(1, dtype=torch.float64)])


@case(21)
def backward_with_more_gradients(torch):
    x = leaf(torch, 1)
    one = torch.ones(1, dtype=torch.float64)
    torch.autograd.backward([x * 2], [one, one])
    return x.grad


@case(21)
def backward_of_nothing(torch):
    torch.autograd.backward([])


@case(22)
def backward_with_empty_inputs(torch):
    (leaf(torch, 1) * 2).backward(inputs=[])


@case(28)
def backward_with_inputs_only_touches_them(torch):
    x, y = leaf(torch, 1), leaf(torch, 2)
    (x * y).backward(inputs=[x])
    return x.grad, y.grad


@case(28)
def backward_with_a_non_leaf_input(torch):
    x = leaf(torch, 3)
    y = x * x
    (y * y).backward(inputs=[y])
    return x.grad, y.grad


@case(26)
def backward_with_the_same_input_twice(torch):
    x = leaf(torch, 3)
    (x * x).backward(inputs=[x, x])
    return x.grad


@case(29)
def backward_with_an_unused_input(torch):
    x, y = leaf(torch, 3), leaf(torch, 1)
    (x * x).backward(inputs=[y])
    return x.grad, y.grad


@case(23)
def backward_with_an_input_that_has_no_grad(torch):
    (leaf(torch, 3) * 2).backward(inputs=[torch.ones(1)])


@case(26)
def the_same_root_twice(torch):
    x = leaf(torch, 3)
    y = x * x
    torch.autograd.backward([y, y])
    return x.grad


@case(58)
def two_roots_that_share_a_node(torch):
    x = leaf(torch, 3)
    y = x * x
    torch.autograd.backward([y * 2, y * y])
    return x.grad


@case(26)
def a_root_inside_the_graph_of_another(torch):
    x = leaf(torch, 3)
    y = x * x
    torch.autograd.backward([y, y * y])
    return x.grad


@case(26)
def a_leaf_as_root(torch):
    x = leaf(torch, 3)
    x.backward()
    return x.grad


@case(34)
def grad_returns_and_does_not_accumulate(torch):
    x, y = leaf(torch, 3), leaf(torch, 4)
    return torch.autograd.grad(x * y, (x, y)), x.grad


@case(24)
def grad_of_an_unused_input(torch):
    x, y = leaf(torch, 3), leaf(torch, 4)
    torch.autograd.grad(x * 2, y)


@case(24)
def grad_of_an_unused_input_allowed(torch):
    x, y = leaf(torch, 3), leaf(torch, 4)
    return torch.autograd.grad(x * 2, (x, y), allow_unused=True)


@case(25)
def grad_materialised(torch):
    x, y = leaf(torch, 3), leaf(torch, 4)
    return torch.autograd.grad(x * 2, (x, y), materialize_grads=True)


@case(25)
def grad_materialised_and_not_allowed(torch):
    x, y = leaf(torch, 3), leaf(torch, 4)
    torch.autograd.grad(x * 2, (x, y), materialize_grads=True, allow_unused=False)


@case(26)
def grad_with_respect_to_itself(torch):
    x = leaf(torch, 3)
    return torch.autograd.grad(x, x)


@case(27)
def grad_with_respect_to_a_non_leaf(torch):
    x = leaf(torch, 3)
    y = x * x
    return torch.autograd.grad(y * y, (y, x))


@case(26)
def grad_with_respect_to_the_same_input_twice(torch):
    x = leaf(torch, 3)
    return torch.autograd.grad(x * x, (x, x))


@case(22)
def grad_without_inputs(torch):
    torch.autograd.grad(leaf(torch, 3) * 2, [])


@case(23)
def grad_of_something_without_grad(torch):
    torch.autograd.grad(leaf(torch, 3) * 2, torch.ones(1))


@case(33)
def grad_with_respect_to_a_number(torch):
    torch.autograd.grad(leaf(torch, 3) * 2, [3.0])


@case(30, 54)
def grad_prunes_what_is_not_asked_for(torch):
    x, y = leaf(torch, 3), leaf(torch, 4)
    a, b = x * x, y * y
    z = a * b
    first = torch.autograd.grad(z, x, retain_graph=False)
    b.backward()  # never run, so never freed
    return first, y.grad


@case(34)
def backward_works_under_no_grad(torch):
    x = leaf(torch, 3)
    y = x * x
    with torch.no_grad():
        y.backward()
    return x.grad


@case(34, 67)
def create_graph_works_under_no_grad(torch):
    x = leaf(torch, 3)
    y = x**3
    with torch.no_grad():
        (g,) = torch.autograd.grad(y, x, create_graph=True)
    return g


@case(27, 110)
def gradients_are_captured_before_the_hooks_of_nodes_that_run(torch):
    x = leaf(torch, 1, 2)
    y = x * 3
    y.register_hook(lambda g: g * 2)
    both = torch.autograd.grad(y.sum(), [y, x], retain_graph=True)
    return both, torch.autograd.grad(y.sum(), [y])


@case(17)
def implicit_gradients_of_complex_outputs(torch):
    z = torch.tensor([1 + 2j], dtype=torch.complex64, requires_grad=True)
    return error((z * 2).backward), error(torch.autograd.grad, z * 2, z)


@case(19)
def complex_gradients_of_real_outputs_and_the_reverse(torch):
    z = torch.tensor([1 + 2j], dtype=torch.complex128, requires_grad=True)
    x = leaf(torch, 1)
    one = torch.ones(1, dtype=torch.float64)
    return error((z * 2).backward, one), error((x * 2).backward, one * 1j)


@case(15)
def the_first_root_without_grad_is_named(torch):
    x = leaf(torch, 1)
    return error(torch.autograd.backward, [x * 2, torch.ones(1)]), error(torch.autograd.grad, torch.ones(2), x)


@case(21)
def no_outputs(torch):
    x = leaf(torch, 1)
    return error(torch.autograd.grad, [], [x])


@case(24)
def a_new_view_of_a_leaf_is_not_used(torch):
    x = leaf(torch, 1, 2)
    y = x * 2
    return error(torch.autograd.grad, y.sum(), x[:1], retain_graph=True), torch.autograd.grad(y.sum(), x)


@case(27)
def what_lies_behind_a_captured_tensor_is_neither_run_nor_freed(torch):
    x, seen = leaf(torch, 3), []
    y = x * x
    y.grad_fn.register_hook(lambda i, o: seen.append("y"))
    z = y * y
    (g,) = torch.autograd.grad(z, y)
    y.backward()
    return g, seen, x.grad


@case(25)
def materialised_gradients_under_create_graph(torch):
    x, y = leaf(torch, 3), leaf(torch, 4)
    return torch.autograd.grad(x * x, (x, y), create_graph=True, materialize_grads=True)


@case(30, 47, 110)
def hooks_of_a_lone_root_run_though_nothing_behind_it_is_asked_for(torch):
    x, z, seen = leaf(torch, 1, 2), leaf(torch, 3), []
    y = -x
    y.retain_grad()
    y.register_hook(lambda g: seen.append(g.tolist()))
    alone = torch.autograd.grad([y], [z], [torch.ones_like(y)], allow_unused=True)
    first = y.grad
    y.grad = None
    beside = torch.autograd.grad([y, z * 2], [z], [torch.ones_like(y), torch.ones_like(z)])
    return alone, first, beside, y.grad, seen


@case(26, 37)
def a_seed_that_arrives_unchanged_is_returned_itself(torch):
    x, seed, seen = leaf(torch, 1, 2), torch.ones(2, dtype=torch.float64), []
    y = x + 0
    y.register_hook(lambda g: seen.append(g is seed))
    (g,) = torch.autograd.grad(y, x, seed)
    return g is seed, seen


@case(213, 140)
def backward_within_backward_to_any_depth(torch):
    x, count = leaf(torch, 1), [0]

    def hook(g):
        count[0] += 1
        if count[0] < 150:
            with torch.enable_grad():
                y = x * 1
            y.register_hook(hook)
            y.backward()

    y = x * 1
    y.register_hook(hook)
    y.backward()
    return count, x.grad


@case(208)
def leaves_accumulate_as_soon_as_they_are_ready(torch):
    a, b, order = leaf(torch, 1), leaf(torch, 2), []
    u, v = a * 2, b * 3
    for name, t in (("a", a), ("b", b), ("u", u), ("v", v)):
        t.register_hook(lambda g, name=name: order.append(name))
    (u + v).backward()
    return order


test_as_torch = as_torch(__name__)
