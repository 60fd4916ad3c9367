"""Copies, pickles and parameters: the same as torch."""

from __future__ import annotations

import copy
import pickle

import pytest

from tests.refgrad.both import assert_both

CALLS = (
    lambda t: pickle.loads(pickle.dumps(t.bool)),
    lambda t: copy.copy(t.ones(2, requires_grad=True) * 2),
    lambda t: (x := t.ones(2)).data_ptr() == copy.copy(x).data_ptr(),
    lambda t: copy.deepcopy(t.ones(2, 3).t()),
    lambda t: copy.deepcopy(t.ones(6)[::2]),
    lambda t: copy.deepcopy(t.ones(1).expand(3)),
    lambda t: (copy.deepcopy(t.tensor(2.0)), pickle.loads(pickle.dumps(t.tensor(2.0)))),
    lambda t: copy.deepcopy(t.arange(24.0).view(2, 3, 4).permute(2, 0, 1).clone().unsqueeze(1).expand(4, 2, 2, 3)[1]),
    lambda t: (lambda pair: (pair[0].add_(1), pair[1]))(copy.deepcopy([x := t.ones(2), x.view(2, 1)])),
    lambda t: pickle.loads(pickle.dumps(t.ones(2, requires_grad=True) * 2)),
    lambda t: pickle.loads(pickle.dumps(t.ones(2, 3).t())),
    lambda t: pickle.loads(pickle.dumps(t.ones(6)[::2])),
    lambda t: (lambda pair: (pair[0].add_(1), pair[1]))(pickle.loads(pickle.dumps([x := t.ones(2), x.view(2, 1)]))),
    lambda t: t.nn.Parameter(t.ones(2)),
    lambda t: t.nn.Parameter(t.ones(2), requires_grad=False),
    lambda t: t.nn.Parameter(t.ones(2), False),
    lambda t: t.nn.Parameter(t.ones(2, dtype=t.int64)),
    lambda t: t.nn.Parameter(t.ones(2, dtype=t.int64), requires_grad=False),
    lambda t: t.nn.Parameter(t.ones(2, requires_grad=True) * 2),
    lambda t: t.nn.Parameter(),
    lambda t: t.nn.Parameter(None),
    lambda t: t.nn.Parameter([1.0, 2.0]),
    lambda t: t.nn.Parameter(3.0),
    lambda t: t.nn.Parameter(t.tensor([1j])),
    lambda t: repr(t.nn.Parameter(t.ones(2))),
    lambda t: str(t.nn.Parameter(t.ones(2), False)),
    lambda t: isinstance(t.nn.Parameter(t.ones(2)), t.Tensor),
    lambda t: isinstance(t.ones(2), t.nn.Parameter),
    lambda t: type(t.nn.Parameter(t.ones(2))).__name__,
    lambda t: type(t.nn.Parameter(t.ones(2)) * 2).__name__,
    lambda t: type(t.nn.Parameter(t.ones(2)).view(2)).__name__,
    lambda t: type(t.nn.Parameter(t.ones(2)).detach()).__name__,
    lambda t: type(t.nn.Parameter(t.ones(2)).data).__name__,
    lambda t: type(t.nn.Parameter(t.ones(2)).clone()).__name__,
    lambda t: type(t.nn.Parameter(t.ones(2)).float()).__name__,
    lambda t: type(copy.deepcopy(t.nn.Parameter(t.ones(2)))).__name__,
    lambda t: type(copy.copy(t.nn.Parameter(t.ones(2)))).__name__,
    lambda t: copy.copy(t.nn.Parameter(t.ones(2))),
    lambda t: copy.deepcopy(t.nn.Parameter(t.ones(2))),
    lambda t: copy.deepcopy(t.nn.Parameter(t.ones(2), False)),
    lambda t: pickle.loads(pickle.dumps(t.nn.Parameter(t.ones(2)))),
    lambda t: type(pickle.loads(pickle.dumps(t.nn.Parameter(t.ones(2))))).__name__,
    lambda t: (x := t.ones(2)).data_ptr() == t.nn.Parameter(x).data_ptr(),
    lambda t: (p := t.nn.Parameter(x := t.ones(2)), x.add_(1), p),
    lambda t: (p := t.nn.Parameter(x := t.ones(2)), x.add_(1), p._version),
    lambda t: t.nn.Parameter(t.nn.Parameter(t.ones(2))),
    lambda t: t.nn.parameter.Parameter(t.ones(2)),
    lambda t: t.nn.Parameter(data=t.ones(2), requires_grad=True),
    lambda t: t.nn.Parameter(t.ones(2), requires_grad=1),
    lambda t: t.nn.Parameter(t.ones(2) * 1).backward(),
    lambda t: (p := t.nn.Parameter(t.ones(2)), (p * p).sum().backward(), p.grad),
    lambda t: t.nn.Parameter(t.ones(2)).add_(1),
    lambda t: t.nn.Parameter(t.ones(2)) + 1,
    lambda t: t.nn.Parameter(t.ones(2)) @ t.ones(2),
    lambda t: t.autograd.Variable(t.ones(2)),
    lambda t: t.autograd.Variable(t.ones(2), requires_grad=True),
    lambda t: t.autograd.Variable(3),
    lambda t: t.autograd.Variable(),
    lambda t: t.autograd.Variable(t.ones(2, dtype=t.int64), requires_grad=True),
    lambda t: type(t.autograd.Variable(t.ones(2))).__name__,
    lambda t: isinstance(t.ones(2), t.autograd.Variable),
)


@pytest.mark.parametrize("call", CALLS, ids=lambda f: f"line{f.__code__.co_firstlineno}")
def test_as_in_torch(call):
    assert_both(call)
