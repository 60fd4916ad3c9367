"""Custom functions that programs call, each of which exercises a rule of `autograd.Function`.

Each of these makes the class for a module with torch's names, and stands on its own, since the script of a
finding carries the source of the one that it uses.
"""

from __future__ import annotations

from functools import cache


def saved_input(torch):
    class SavedInput(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x * x

        @staticmethod
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            return 2 * x * g

    return SavedInput


def saved_output(torch):
    class SavedOutput(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            y = x.exp()
            ctx.save_for_backward(y)
            return y

        @staticmethod
        def backward(ctx, g):
            (y,) = ctx.saved_tensors
            return g * y

    return SavedOutput


def saved_nothing(torch):
    """None may be saved, and the last call of save_for_backward counts."""

    class SavedNothing(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            ctx.save_for_backward(None, x)
            return x * 3

        @staticmethod
        def backward(ctx, g):
            nothing, x = ctx.saved_tensors
            return g * 3 if nothing is None else g * x

    return SavedNothing


def saved_number(torch):
    class SavedNumber(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(1)
            return x * 1

        @staticmethod
        def backward(ctx, g):
            return g

    return SavedNumber


def kept_on_context(torch):
    """What is kept as an attribute is not checked for writes."""

    class KeptOnContext(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.x = x
            return x * x

        @staticmethod
        def backward(ctx, g):
            return 2 * ctx.x * g

    return KeptOnContext


def two_inputs(torch):
    """A gradient is computed for the inputs that need one."""

    class TwoInputs(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x, y):
            ctx.save_for_backward(x, y)
            return x * y

        @staticmethod
        def backward(ctx, g):
            x, y = ctx.saved_tensors
            return g * y if ctx.needs_input_grad[0] else None, g * x if ctx.needs_input_grad[1] else None

    return TwoInputs


def needs(torch):
    """The gradients tell which inputs need one."""

    class Needs(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x, y):
            return x + y

        @staticmethod
        def backward(ctx, g):
            told = 1 + 2 * ctx.needs_input_grad[0] + 4 * ctx.needs_input_grad[1]
            return g * told, g * told

    return Needs


def modes(torch):
    """The results tell the grad mode in forward and in backward."""

    class Modes(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * (3 if torch.is_grad_enabled() else 2)

        @staticmethod
        def backward(ctx, g):
            return g * (5 if torch.is_grad_enabled() else 4)

    return Modes


def with_mask(torch):
    """The second of two outputs is marked as not differentiable; its gradient arrives as zeros."""

    class WithMask(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            mask = x * 0 + 1
            ctx.mark_non_differentiable(mask)
            return x * 2, mask

        @staticmethod
        def backward(ctx, g, h):
            return g * 2 + h

    return WithMask


def all_marked(torch):
    """Nothing is differentiable."""

    class AllMarked(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            y = x * 2
            ctx.mark_non_differentiable(y)
            return y

        @staticmethod
        def backward(ctx, g):
            return g

    return AllMarked


def with_places(torch):
    """Integers are not differentiable, marked or not."""

    class WithPlaces(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2, (x > 0).to(torch.int64)

        @staticmethod
        def backward(ctx, g, h):
            return g * 2

    return WithPlaces


def materialized(torch):
    """The gradient of an output that is not used arrives as zeros."""

    class Materialized(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2, x * 3

        @staticmethod
        def backward(ctx, g, h):
            return g * 2 + h * 3

    return Materialized


def not_materialized(torch):
    """The gradient of an output that is not used arrives as None."""

    class NotMaterialized(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.set_materialize_grads(False)
            return x * 2, x * 3

        @staticmethod
        def backward(ctx, g, h):
            if g is None:
                return None if h is None else h * 30
            return g * 20 if h is None else g * 2 + h * 3

    return NotMaterialized


def doubled_in_place(torch):
    class DoubledInPlace(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            x.mul_(2)
            ctx.mark_dirty(x)
            return x

        @staticmethod
        def backward(ctx, g):
            return g * 2

    return DoubledInPlace


def marked_dirty_only(torch):
    """Marked as written, but not returned."""

    class MarkedDirtyOnly(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.mark_dirty(x)
            return x * 2

        @staticmethod
        def backward(ctx, g):
            return g * 2

    return MarkedDirtyOnly


def written_in_secret(torch):
    """Writes its input and says nothing."""

    class WrittenInSecret(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            x.mul_(2)
            return x * 1

        @staticmethod
        def backward(ctx, g):
            return g * 2

    return WrittenInSecret


def returned_as_is(torch):
    class ReturnedAsIs(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x

        @staticmethod
        def backward(ctx, g):
            return g * 3

    return ReturnedAsIs


def viewing(torch):
    class Viewing(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.shape = x.shape
            return x.unsqueeze(0)

        @staticmethod
        def backward(ctx, g):
            return g.reshape(ctx.shape)

    return Viewing


def returned_twice(torch):
    """One new tensor as both outputs."""

    class ReturnedTwice(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            y = x * 2
            return y, y

        @staticmethod
        def backward(ctx, g, h):
            return g + 10 * h

    return ReturnedTwice


def no_gradient(torch):
    class NoGradient(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2

        @staticmethod
        def backward(ctx, g):
            return None

    return NoGradient


def once(torch):
    class Once(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x * x

        @staticmethod
        @torch.autograd.function.once_differentiable
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            return 2 * x * g

    return Once


def with_setup(torch):
    class WithSetup(torch.autograd.Function):
        @staticmethod
        def forward(x, factor):
            return x * x * factor

        @staticmethod
        def setup_context(ctx, inputs, output):
            x, ctx.factor = inputs
            ctx.save_for_backward(x)

        @staticmethod
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            return 2 * x * g * ctx.factor, None

    return WithSetup


def with_tangent(torch):
    class WithTangent(torch.autograd.Function):
        @staticmethod
        def forward(x):
            return x * x

        @staticmethod
        def setup_context(ctx, inputs, output):
            (x,) = inputs
            ctx.save_for_backward(x)
            ctx.save_for_forward(x)

        @staticmethod
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            return 2 * x * g

        @staticmethod
        def jvp(ctx, t):
            (x,) = ctx.saved_tensors
            return 2 * x * t

    return WithTangent


def scaled(torch):
    """Takes a number; the Nones after the gradient may be more than there are inputs."""

    class Scaled(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x, factor):
            ctx.factor = factor
            return x * factor

        @staticmethod
        def backward(ctx, g):
            return g * ctx.factor, None, None, None

    return Scaled


def gradient_for_a_number(torch):
    class GradientForANumber(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x, factor):
            return x * factor

        @staticmethod
        def backward(ctx, g):
            return g, g

    return GradientForANumber


def too_few(torch):
    class TooFew(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x, y):
            return x + y

        @staticmethod
        def backward(ctx, g):
            return g

    return TooFew


def too_many(torch):
    class TooMany(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2

        @staticmethod
        def backward(ctx, g):
            return g, g

    return TooMany


def as_a_list(torch):
    """A list counts as one value, which is no tensor."""

    class AsAList(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2

        @staticmethod
        def backward(ctx, g):
            return [g]

    return AsAList


def wrong_shape(torch):
    class WrongShape(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2

        @staticmethod
        def backward(ctx, g):
            return torch.zeros(7, 5, dtype=g.dtype)

    return WrongShape


def larger_shape(torch):
    """A gradient that broadcasting could have made larger is summed."""

    class LargerShape(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2

        @staticmethod
        def backward(ctx, g):
            return torch.stack([g, g * 10])

    return LargerShape


def other_dtype(torch):
    class OtherDtype(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2

        @staticmethod
        def backward(ctx, g):
            return (g * 2).to(torch.float32)

    return OtherDtype


def no_tensor(torch):
    class NoTensor(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2

        @staticmethod
        def backward(ctx, g):
            return 1.0

    return NoTensor


def raising_forward(torch):
    class RaisingForward(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            raise KeyError("forward")

        @staticmethod
        def backward(ctx, g):
            return g

    return RaisingForward


def raising_backward(torch):
    class RaisingBackward(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2

        @staticmethod
        def backward(ctx, g):
            raise KeyError("backward")

    return RaisingBackward


def no_backward(torch):
    class NoBackward(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2

    return NoBackward


def both_named(torch):
    """vjp is another name of backward; there may be one of them."""

    class BothNamed(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2

        @staticmethod
        def backward(ctx, g):
            return g * 2

        @staticmethod
        def vjp(ctx, g):
            return g * 2

    return BothNamed


def reentrant(torch):
    """Goes backward inside backward."""

    class Reentrant(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x * x

        @staticmethod
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            with torch.enable_grad():
                inner = x.detach().requires_grad_()
                (inner * inner).sum().backward()
            return g * inner.grad

    return Reentrant


FUNCTIONS = {
    function.__name__: function
    for function in (
        *(saved_input, saved_output, saved_nothing, saved_number, kept_on_context),
        *(two_inputs, needs, modes, with_mask, all_marked, with_places, materialized, not_materialized),
        *(doubled_in_place, marked_dirty_only, written_in_secret, returned_as_is, viewing, returned_twice),
        *(no_gradient, once, with_setup, with_tangent, scaled, gradient_for_a_number),
        *(too_few, too_many, as_a_list, wrong_shape, larger_shape, other_dtype, no_tensor),
        *(raising_forward, raising_backward, no_backward, both_named, reentrant),
    )
}


@cache
def function_of(name, module):
    """The function of that name for a module."""
    return FUNCTIONS[name](module)
