"""Custom functions whose forward has something to show: what it saves, writes, marks and returns."""

from __future__ import annotations


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


def raising_forward(torch):
    class RaisingForward(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            raise KeyError("forward")

        @staticmethod
        def backward(ctx, g):
            return g

    return RaisingForward
