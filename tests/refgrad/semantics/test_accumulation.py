"""How gradients come into .grad: sums, dtypes, layouts, assigned ones."""

from __future__ import annotations

from tests.refgrad.semantics.rows import as_torch, case, error, leaf


@case(39)
def accumulation_adds_in_place(torch):
    x = leaf(torch, 1, 2)
    (x * 2).sum().backward()
    first = x.grad
    (x * 3).sum().backward()
    return x.grad is first, x.grad, first._version


@case(40)
def accumulation_under_create_graph_makes_a_new_tensor(torch):
    x = leaf(torch, 1, 2)
    (x * x).sum().backward()
    first = x.grad
    (x * x).sum().backward(create_graph=True)
    return x.grad is first, x.grad, first


@case(35)
def gradient_reaching_a_leaf_with_zero_derivative(torch):
    x, y = leaf(torch, 1), leaf(torch, 2)
    (x * 0).sum().backward()
    return x.grad, y.grad


@case(36, 37)
def two_leaves_never_share_a_gradient(torch):
    x, y = leaf(torch, 1, 2), leaf(torch, 3, 4)
    (x + y).sum().backward()
    x.grad.mul_(10)
    return x.grad, y.grad


@case(37)
def seed_is_not_aliased(torch):
    x = leaf(torch, 1, 2)
    seed = torch.tensor([5.0, 6.0], dtype=torch.float64)
    (x + 0).backward(seed)
    seed.mul_(10)
    return x.grad


@case(44)
def gradient_takes_the_layout_of_a_transposed_leaf(torch):
    x = torch.arange(6.0, dtype=torch.float64).reshape(2, 3).t().detach().requires_grad_()
    (x * 2).sum().backward()
    return x.grad


@case(44)
def gradient_of_an_expanded_leaf_is_dense(torch):
    x = torch.ones(3, dtype=torch.float64).expand(2, 3).detach().requires_grad_()
    (x * 2).sum().backward()
    return x.grad


@case(189, 190)
def gradient_of_float32_operand_of_float64_product(torch):
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    y = leaf(torch, 3, 4)
    z = x * y
    z.sum().backward()
    return z, x.grad, y.grad


@case(190)
def zero_dim_operand_does_not_widen(torch):
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    s = torch.tensor(3.0, dtype=torch.float64, requires_grad=True)
    z = x * s
    z.sum().backward()
    return z, x.grad, s.grad


@case(175)
def broadcast_operands_get_sums(torch):
    x = torch.ones(3, 1, dtype=torch.float64, requires_grad=True)
    y = torch.ones(1, 2, dtype=torch.float64, requires_grad=True)
    s = torch.tensor(2.0, dtype=torch.float64, requires_grad=True)
    (x * y * s).sum().backward()
    return x.grad, y.grad, s.grad


@case(46, 175)
def broadcasting_against_nothing(torch):
    x = torch.ones(1, dtype=torch.float64, requires_grad=True)
    z = x * torch.ones(0, dtype=torch.float64)
    z.sum().backward()
    return z, x.grad


@case(42)
def assigned_grad_is_the_accumulator(torch):
    x = leaf(torch, 1, 2)
    mine = torch.ones(2, dtype=torch.float64)
    x.grad = mine
    (x * 2).sum().backward()
    return x.grad is mine, mine


@case(42)
def grad_of_wrong_shape(torch):
    leaf(torch, 1, 2).grad = torch.ones(3, dtype=torch.float64)


@case(42)
def grad_of_wrong_dtype(torch):
    leaf(torch, 1, 2).grad = torch.ones(2)


@case(42)
def grad_of_wrong_type(torch):
    leaf(torch, 1, 2).grad = 1


@case(42)
def grad_of_itself(torch):
    x = leaf(torch, 1, 2)
    x.grad = x


@case(5)
def deleting_grad(torch):
    x = leaf(torch, 1, 2)
    x.sum().backward()
    del x.grad
    return x.grad


@case(47)
def retained_gradient_of_a_non_leaf(torch):
    x = leaf(torch, 3)
    y = x * x
    y.retain_grad()
    (y * y).backward(retain_graph=True)
    first = y.grad
    (y * y).backward()
    return first, y.grad, x.grad, y.retains_grad


@case(113)
def retain_grad_without_grad(torch):
    torch.ones(1).retain_grad()


@case(35)
def zero_derivatives_and_unreached_leaves(torch):
    a, b, c, d = leaf(torch, 1.5), leaf(torch, 1.5), leaf(torch, 1.5), leaf(torch, 1)
    (a.floor() + b.sign() + c * 0).sum().backward()
    return a.grad, b.grad, c.grad, d.grad


@case(36, 37)
def no_gradient_shares_memory_with_what_can_be_seen(torch):
    x, y = leaf(torch, 1, 2), leaf(torch, 3, 4)
    seed = torch.ones(2, dtype=torch.float64)
    held = []
    z = x + y
    z.register_hook(held.append)
    z.backward(seed)
    for t in (seed, held[0]):
        t.mul_(10)
    x.grad.add_(1)
    return x.grad, y.grad, seed


@case(39, 40)
def identity_and_version_of_grad_over_several_passes(torch):
    x = leaf(torch, 1, 2)
    (x * 2).sum().backward()
    first = x.grad
    seen = [first._version]
    (x * x).sum().backward()
    seen += [x.grad is first, first._version]
    (x * x * x).sum().backward(create_graph=True)
    second = x.grad
    seen += [second is first, first._version, second._version, second.requires_grad]
    (x * 2).sum().backward()
    return seen, x.grad is second, x.grad, first


@case(41)
def a_grad_that_requires_grad_is_still_added_to(torch):
    x = leaf(torch, 1, 2)
    x.grad = mine = leaf(torch, 5, 6)
    (x * 2).sum().backward()
    return x.grad is mine, mine


@case(44)
def layouts_of_grad(torch):
    found = []
    for make in (
        lambda t: t.t(),
        lambda t: t[:, ::2],
        lambda t: t[:, :1].expand(3, 4),
        lambda t: t[::2],
        lambda t: t.reshape(2, 3, 2).permute(2, 0, 1),
        lambda t: t[:, :1],
    ):
        x = make(torch.arange(12, dtype=torch.float64).reshape(3, 4)).detach().requires_grad_()
        (x * 2).sum().backward()
        found.append(x.grad)
        x.sum().backward()
        found.append(x.grad)
    return found


@case(45)
def grad_returns_what_arrives(torch):
    x = torch.ones(2, 3, dtype=torch.float64, requires_grad=True)
    y = torch.ones(3, 2, dtype=torch.float64, requires_grad=True)
    return torch.autograd.grad(x.sum() + (y + y).sum(), (x, y)), torch.autograd.grad(x.t().sum(0).sum(), x)


@case(46)
def fan_in_is_summed_in_the_dtype_of_the_producer(torch):
    x = torch.tensor([1.0], dtype=torch.float16, requires_grad=True)
    y = x * 1
    total = (y.double() * 1.0).sum()
    for _ in range(3):
        total = total + (y.double() * 1e-4).sum()
    total.backward()
    return x.grad


@case(46)
def empty_tensors_have_empty_gradients(torch):
    x = torch.ones(0, 3, dtype=torch.float64, requires_grad=True)
    y = torch.ones(1, 3, dtype=torch.float64, requires_grad=True)
    (x * y).sum().backward()
    return x.grad, y.grad


@case(7)
def an_assigned_grad_of_a_frozen_leaf_is_left_alone(torch):
    x = leaf(torch, 1, 2)
    y = (x * 3).sum()
    x.requires_grad_(False)
    x.grad = torch.ones(2, dtype=torch.float64)
    y.backward()
    return x.grad


@case(14)
def grad_of_an_old_shape(torch):
    x = leaf(torch, 1, 2)
    (x * 2).sum().backward()
    x.data = torch.ones(3, dtype=torch.float64)
    return error((x * 2).sum().backward), x.grad


def _reshaped_and_used(torch, reshape, use, alive):
    x = torch.arange(6.0, dtype=torch.float64).reshape(2, 3).clone().requires_grad_()
    before = x * 2 if alive else None
    x.requires_grad_(False)
    reshape(x)
    x.requires_grad_(True)
    seen = []
    for _ in range(2):
        made = use(x)
        cotangent = torch.arange(1.0, 1 + made.numel(), dtype=torch.float64).reshape(made.shape)
        seen += [error(made.backward, cotangent), x.grad, x.grad is not None and x.grad.stride()]
    if alive:
        seen += [error(before.backward, torch.ones(2, 3, dtype=torch.float64)), x.grad]
    return seen


RESHAPES = [
    lambda x: x.t_(),
    lambda x: x.unsqueeze_(0),
    lambda x: x.unsqueeze_(-1),
    lambda x: x.resize_(3),
    lambda x: x.resize_(1, 3),
    lambda x: x.resize_(3, 3),
]


@case(14)
def gradients_have_the_shape_of_the_leaf_when_its_node_was_made(torch):
    """The node lives as long as a graph with it."""
    uses = [lambda x: x * 3, lambda x: x + x.new_ones((4, 1, 1)), lambda x: x.sum()]
    return [_reshaped_and_used(torch, r, use, True) for r in RESHAPES for use in uses]


@case(14)
def a_leaf_without_a_graph_takes_gradients_of_its_new_shape(torch):
    return [_reshaped_and_used(torch, r, lambda x: x * 3, False) for r in RESHAPES]


@case(14)
def new_data_of_another_dtype_have_a_node_of_their_own(torch):
    def swap(x):
        x.data = torch.ones(3, 2, dtype=torch.float32)

    def same(x):
        x.data = torch.ones(3, 2, dtype=torch.float64)

    return [_reshaped_and_used(torch, f, lambda x: x * 3, alive) for f in (swap, same) for alive in (True, False)]


@case(43)
def grad_dtype(torch):
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    seen = [x.grad_dtype]
    refused = error(setattr, x, "grad", torch.ones(2, dtype=torch.float64))
    x.grad_dtype = torch.float64
    (x * 2).sum().backward()
    seen += [x.grad_dtype, x.grad.dtype]
    x.grad_dtype = None
    x.grad = torch.ones(2, dtype=torch.float16)
    return seen, refused, x.grad_dtype, x.grad, error(lambda: (x * 2).grad_dtype)


@case(49)
def zeroing_as_optimisers_do(torch):
    x = leaf(torch, 1, 2)
    (x * x).sum().backward(create_graph=True)
    grad = x.grad
    grad.detach_()
    grad.zero_()
    x.grad.requires_grad_(False)
    (x * 2).sum().backward()
    return x.grad is grad, grad, x.grad.requires_grad


test_as_torch = as_torch(__name__)
