"""Custom functions whose backward has something to show: what it is given, and what it returns."""

from __future__ import annotations


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
