"""What dense programs leave out, since torch gets it wrong, and what they take for granted about what it saves."""

import math
import signal
import subprocess
import sys

import pytest
import torch

from oracle.catalogue import CATALOGUE
from oracle.choices import Source, entropy
from oracle.engines import get
from oracle.generate import PROFILES, programs
from oracle.program import Call
from oracle.script.memory import SAVE_ALL, SAVE_RESULT

TORCH = get("torch")


def result(shape=(2, 1)):
    return torch.ones(shape, requires_grad=True) * 2


@pytest.mark.parametrize("reshape", ["squeeze_", "t_"])
def test_torch_loses_a_retained_gradient_when_a_tensor_is_reshaped_and_written(reshape):
    y = result()
    y.retain_grad()
    getattr(y, reshape)()
    with pytest.raises(RuntimeError, match="INTERNAL ASSERT FAILED"):
        y.mul_(2)


@pytest.mark.parametrize("place", [0, 1])
def test_torch_loses_a_retained_gradient_of_later_outputs_that_are_written(place):
    y = result().unsafe_chunk(2)[place]
    y.retain_grad()
    if place:
        with pytest.raises(RuntimeError, match="INTERNAL ASSERT FAILED"):
            y.mul_(2)
    else:
        assert y.mul_(2).retains_grad


@pytest.mark.filterwarnings("ignore:.*torch.jit.script")  # torch's own, on the way
def test_torch_has_a_wrong_tangent_where_a_tensor_is_multiplied_by_itself_in_place():
    forward = torch.autograd.forward_ad
    with forward.dual_level():
        x = forward.make_dual(torch.tensor(3.0), torch.tensor(1.0))
        beside = forward.unpack_dual((x + 1) * (x + 1)).tangent
        y = x + 1
        y.mul_(y)
        assert forward.unpack_dual(y).tangent != beside == 8.0


SCALED = """
import torch
with torch.autograd.graph.allow_mutation_on_saved_tensors(), torch.autograd.forward_ad.dual_level():
    x = torch.autograd.forward_ad.make_dual(torch.ones(2), torch.ones(2))
    x.add(torch.ones(2), alpha=2)
"""


def test_torch_crashes_where_it_scales_an_absent_tangent_while_saved_tensors_may_be_written():
    died = subprocess.run([sys.executable, "-c", SCALED], capture_output=True, check=False)
    assert died.returncode == -signal.SIGSEGV
    harmless = SCALED.replace("alpha=2", "alpha=1")
    assert subprocess.run([sys.executable, "-c", harmless], capture_output=True, check=False).returncode == 0


def test_torch_finds_no_node_of_a_leaf_in_inference_mode():
    x = torch.ones(2, requires_grad=True)
    with torch.inference_mode(), pytest.raises(AttributeError, match="next_functions"):
        torch.autograd.graph.get_gradient_edge(x)


@pytest.mark.parametrize("detached", [torch.Tensor.detach, lambda x: x.data])
def test_torch_lets_detached_inference_tensors_be_written(detached):
    with torch.inference_mode():
        x = torch.ones(2)
    with pytest.raises(RuntimeError, match="Inplace update to inference tensor"):
        x.add_(1)
    y = detached(x)
    assert y.is_inference() and y.add_(1)._version == 1


def test_torch_registers_hooks_on_the_node_that_a_reshaped_tensor_had_before():
    seen = []
    y = result()
    y.register_hook(lambda gradient: seen.append(("first", tuple(gradient.shape))))
    y.t_()
    y.register_hook(lambda gradient: seen.append(("second", tuple(gradient.shape))))
    assert y.shape == (1, 2)
    y.sum().backward()
    assert seen == [("first", (2, 1)), ("second", (2, 1))]


def test_torch_takes_gradients_of_a_reshaped_leaf_in_its_old_shape_only():
    x = torch.ones(2, 1, requires_grad=True)
    y = x * 1
    with torch.no_grad():
        x.t_()
    with pytest.raises(RuntimeError, match="expected shape compatible with .2, 1."):
        torch.autograd.grad(x, x, torch.ones(1, 2))
    y.sum().backward()
    assert x.grad.shape == (2, 1) != x.shape


# What nodes save: a write to it has to be seen


def calls(name, count=12):
    """Calls of an op with tensors that may be written, and what comes of each; there are some."""
    found = 0
    source = Source(programs(PROFILES["default"].restricted([name])))
    for index in range(count):
        program = source.draw(entropy(1, index))
        for statement in program.statements[:1]:
            if isinstance(statement, Call) and max(statement.inputs) < len(program.leaves):
                leaves = [TORCH.leaf(leaf) for leaf in program.leaves]
                given = [t.clone() if t.is_floating_point() else t for t in leaves]
                inputs = [given[i] for i in statement.inputs]
                out = TORCH.call(CATALOGUE[name], inputs, statement.params)[0]
                if out.requires_grad and math.prod(out.shape):
                    found += 1
                    yield inputs, out
    assert found > count // 4


def survives(written, out):
    """Whether a pass from `out` works after these were written."""
    with torch.no_grad():
        for t in written:
            if t.is_floating_point():
                t.zero_()
    try:
        out.sum().backward()
    except RuntimeError as error:
        assert "modified by an inplace operation" in str(error)
        return False
    return True


@pytest.mark.parametrize("name", sorted(name for name in SAVE_RESULT if not name.startswith("custom")))
def test_some_ops_save_their_result_alone(name):
    assert all(survives(inputs, out) for inputs, out in calls(name))
    assert not any(survives([out], out) for _, out in calls(name))


_CONSTANT = [
    name
    for name, spec in CATALOGUE.items()
    if spec.draw and spec.gradient in ("none", "zero") and not spec.aliases and spec.style != "custom"
]


@pytest.mark.parametrize("name", sorted(set(_CONSTANT) - SAVE_ALL))
def test_ops_of_constant_derivative_save_no_operand(name):
    assert all(survives(inputs, out) for inputs, out in calls(name))


@pytest.mark.parametrize("name", sorted(SAVE_ALL & set(_CONSTANT)))
def test_other_ops_of_constant_derivative_save_some(name):
    assert not all(survives(inputs, out) for inputs, out in calls(name, 40))
