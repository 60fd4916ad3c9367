"""Leaving the graph: numbers, NumPy arrays, copies and pickles."""

from __future__ import annotations

import copy
import pickle

from tests.refgrad.semantics.rows import as_torch, case, error, leaf


@case(10)
def arrays_and_numbers_of_tensors_that_require_grad(torch):
    x = leaf(torch, 1)
    return error(x.numpy), x.numpy(force=True).tolist(), x.item(), x.tolist(), bool(x), float(x), complex(x), int(x)


@case(10)
def a_deep_copy_has_the_flag_and_the_gradient_but_no_hooks(torch):
    x = leaf(torch, 1, 2)
    x.register_hook(lambda g: g * 10)
    x.grad = torch.ones(2, dtype=torch.float64)
    y = copy.deepcopy(x)
    x.grad.add_(1)
    (y * 3).sum().backward()
    return y, y.grad, x.grad, y.grad is x.grad


@case(10)
def a_deep_copy_of_a_computed_tensor_is_refused(torch):
    return error(copy.deepcopy, leaf(torch, 1) * 2)


@case(10)
def deep_copies_share_what_their_originals_share(torch):
    x = torch.arange(6.0)
    made = copy.deepcopy([x, x, x[1:4], x.view(2, 3).t()])
    made[0].add_(10)
    return made, made[0] is made[1], x


@case(10)
def attributes_go_along(torch):
    x = torch.ones(2)
    x.note = [1]
    y, z, w = copy.copy(x), copy.deepcopy(x), pickle.loads(pickle.dumps(x))
    return y.note is x.note, z.note is x.note, z.note, w.note


@case(10)
def a_pickle_is_a_leaf(torch):
    x = leaf(torch, 1, 2)
    made = [pickle.loads(pickle.dumps(t)) for t in (x, x * 2, x.detach(), x.view(2, 1).t(), torch.ones(6)[::2])]
    return made, [t.grad for t in made]


def _doubled(g):
    return g * 2


@case(10)
def hooks_are_dropped_with_a_warning(torch):
    x = leaf(torch, 1, 2)
    x.register_hook(_doubled)
    y = x * 2
    y.register_hook(_doubled)
    made = pickle.loads(pickle.dumps(x)), pickle.loads(pickle.dumps(y)), copy.copy(x)
    for t in made:
        t.sum().backward()
    return [t.grad for t in made]


@case(10)
def a_shallow_copy_shares_values_and_is_a_leaf(torch):
    x = leaf(torch, 1, 2) * 2
    y = copy.copy(x)
    y.data.add_(1)
    return x, y, y.data_ptr() == x.data_ptr()


@case(10)
def copies_keep_any_order_of_dense_memory(torch):
    x = torch.arange(12.0).reshape(2, 3, 2).transpose(1, 2).clone().requires_grad_()
    x.backward(torch.arange(12.0).reshape(2, 2, 3))  # whose gradient owns its memory, in the order of the leaf
    made = copy.deepcopy(x), copy.deepcopy(x.grad), pickle.loads(pickle.dumps(x.grad))
    return x.grad.stride(), made, made[0].grad, [t.stride() for t in made]


test_as_torch = as_torch(__name__)
