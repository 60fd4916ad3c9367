"""Devices, and the engine on a second array package: the strict stand-in for CuPy.

The stand-in runs on NumPy. What passes here has not been seen on CUDA.
"""

from __future__ import annotations

import copy
import pickle
from collections.abc import Iterator

import numpy as np
import pytest
import torch

import refgrad
from refgrad.devices import CudaModule, cuda_served_by
from tests import strictcupy
from tests.refgrad.both import assert_both
from tests.strictcupy import cupyx_scipy_special


@pytest.fixture
def standin() -> Iterator[None]:
    with cuda_served_by(CudaModule(strictcupy, cupyx_scipy_special)):
        yield


def test_device_objects() -> None:
    for text in ("cpu", "cuda", "cuda:1"):
        assert repr(refgrad.device(text)) == repr(torch.device(text))
        assert str(refgrad.device(text)) == str(torch.device(text))
    assert refgrad.device("cuda", 1) == refgrad.device("cuda:1")
    assert refgrad.device("cuda") != refgrad.device("cuda:0")
    with pytest.raises(RuntimeError, match="Expected one of cpu, cuda device type at start of device string"):
        refgrad.device("nonsense")
    assert_both(lambda t: t.device("cuda:1", 0))


def test_without_a_gpu_asking_for_one_is_refused() -> None:
    with pytest.raises((AssertionError, RuntimeError), match=r"CUDA"):
        refgrad.ones(2, device="cuda")
    assert refgrad.ones(2).device == refgrad.device("cpu")


@pytest.mark.usefixtures("standin")
def test_tensors_live_where_they_are_made() -> None:
    x = refgrad.ones(2, device="cuda:1")
    assert x.device == refgrad.device("cuda:1")
    assert x.is_cuda
    assert type(x._data) is strictcupy.ndarray
    assert "device='cuda:1'" in repr(x)
    with pytest.raises(TypeError, match=r"Use Tensor\.cpu\(\)"):
        x.numpy()
    assert x.numpy(force=True).tolist() == [1.0, 1.0]
    assert type(x.cpu()._data) is np.ndarray


@pytest.mark.usefixtures("standin")
def test_backward_crosses_devices_where_forward_did() -> None:
    x = refgrad.tensor([1.0, 2.0], dtype=refgrad.float64, requires_grad=True)
    y = x.to("cuda:0") * 3
    z = y.to("cuda:1").exp()
    z.cpu().sum().backward()
    assert x.grad.device == refgrad.device("cpu")
    expected = torch.tensor([1.0, 2.0], dtype=torch.float64, requires_grad=True)
    (expected * 3).exp().sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), expected.grad.numpy(), rtol=1e-15)


@pytest.mark.usefixtures("standin")
def test_operands_on_different_devices_are_refused() -> None:
    a, b, c = refgrad.ones(2, device="cuda:0"), refgrad.ones(2, device="cuda:1"), refgrad.ones(2)
    for x, y in ((a, b), (a, c), (c, a)):
        with pytest.raises(RuntimeError, match="Expected all tensors to be on the same device"):
            x * y


@pytest.mark.usefixtures("standin")
def test_a_zero_dim_cpu_tensor_goes_along() -> None:
    x = refgrad.ones(2, device="cuda", requires_grad=True)
    s = refgrad.tensor(3.0, requires_grad=True)
    (x * s).sum().backward()
    assert x.grad.tolist() == [3.0, 3.0]
    assert s.grad.item() == 2.0
    assert s.grad.device == refgrad.device("cpu")


@pytest.mark.usefixtures("standin")
def test_a_program_of_many_ops_on_the_standin_equals_the_cpu() -> None:
    def program(device: str) -> list[object]:
        refgrad.manual_seed(3)
        x = refgrad.randn(3, 4, dtype=refgrad.float64).to(device).requires_grad_()
        w = refgrad.randn(4, 2, dtype=refgrad.float64).to(device).requires_grad_()
        h = (x @ w).tanh()
        h = refgrad.softmax(h, dim=1) * h.exp().sum(0) - h[:, :1]
        loss = (h[h > 0].log1p().sum() + h.std() + refgrad.cat([h, h.t().reshape(3, 2)]).mean()) ** 2
        gx, gw = refgrad.autograd.grad(loss, (x, w), create_graph=True)
        (gx.sum() + gw.pow(2).sum()).backward()
        return [t.tolist() for t in (loss, gx, gw, x.grad, w.grad)]

    assert program("cuda") == program("cpu")


@pytest.mark.usefixtures("standin")
def test_samples_on_the_standin_are_those_of_the_cpu() -> None:
    def draw(device: str) -> list[object]:
        refgrad.manual_seed(5)
        p = refgrad.full((4,), 0.5, device=device)
        made = [refgrad.rand(3, device=device), refgrad.bernoulli(p), refgrad.normal(p, 2.0)]
        made.append(p.new_ones(2).uniform_(2, 3))
        made.append(refgrad.zeros(2, 3, device=device).t().exponential_())
        return [(t.device.type, t.tolist()) for t in made]

    assert [values for _, values in draw("cuda")] == [values for _, values in draw("cpu")]
    assert {place for place, _ in draw("cuda")} == {"cuda"}


@pytest.mark.usefixtures("standin")
def test_copies_and_pickles_stay_on_their_device() -> None:
    x = refgrad.ones(2, device="cuda:1", requires_grad=True)
    for made in (copy.copy(x), copy.deepcopy(x), pickle.loads(pickle.dumps(x)), refgrad.nn.Parameter(x)):
        assert made.device == refgrad.device("cuda:1")
        assert made.requires_grad
        assert made.tolist() == [1.0, 1.0]


@pytest.mark.usefixtures("standin")
def test_custom_functions_see_gradients_where_the_outputs_are() -> None:
    seen = []

    class Spread(refgrad.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.to("cuda:1"), x.sum().to("cuda:0")

        @staticmethod
        def backward(ctx, g, h):
            seen.extend((g.device, h.device))
            return (g.cpu() + h.cpu()).expand(3, 2)  # to be summed by the engine

    x = refgrad.ones(2, requires_grad=True)
    for output in Spread.apply(x):
        output.sum().backward(retain_graph=True)
    assert [str(d) for d in seen] == ["cuda:1", "cuda:0"] * 2
    assert x.grad.tolist() == [6.0, 6.0]


@pytest.mark.usefixtures("standin")
def test_a_custom_function_must_return_gradients_where_the_inputs_are() -> None:
    class Elsewhere(refgrad.autograd.Function):
        @staticmethod
        def forward(ctx, x, answer):
            ctx.answer = answer
            return x * 1

        @staticmethod
        def backward(ctx, g):
            return ctx.answer, None

    x, number = refgrad.ones(2, requires_grad=True), refgrad.ones((), requires_grad=True)
    expected = "Function ElsewhereBackward returned an invalid gradient at index 0 - expected device cpu but got cuda:1"
    with pytest.raises(RuntimeError, match=expected):
        Elsewhere.apply(x, refgrad.ones(2, device="cuda:1")).sum().backward()
    Elsewhere.apply(number, refgrad.ones((), device="cuda:1") * 5).backward()
    assert number.grad.tolist() == 5.0
    assert number.grad.device == refgrad.device("cpu")
