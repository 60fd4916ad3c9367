"""What a tutorial on torch's autograd shows, printed by the engine that is named on the command line.

    python tests/tutorial/walkthrough.py torch
    python tests/tutorial/walkthrough.py refgrad

Both print the same text; `test_walkthrough.py` holds them to it. Only the addresses of objects,
which no two runs share, are printed as ``0x...``.
"""

import importlib
import re
import sys
import warnings
from typing import Any


def show(*values: Any) -> None:
    print(re.sub(r"0x[0-9a-f]+", "0x...", " ".join(map(str, values))))


def refused(what: str, action: Any) -> None:
    """Print the error that an action raises."""
    try:
        action()
    except Exception as error:
        show(what, "->", f"{type(error).__name__}: {error}")
    else:
        show(what, "-> no error")


def tensors_and_history(torch: Any) -> None:
    x = torch.ones(2, 2, requires_grad=True)
    show(x)
    show(x.grad_fn, x.is_leaf)
    y = x**2
    show(y)
    show(y.grad_fn, y.is_leaf, y.requires_grad)
    z = y * y * 3
    out = z.mean()
    show(z, out)
    show(z.grad_fn.name(), out.grad_fn.name())
    show([(node.name(), number) for node, number in z.grad_fn.next_functions[:1]])
    out.backward()
    show(x.grad)


def requires_grad_flag(torch: Any) -> None:
    torch.manual_seed(1)
    a = torch.randn(2, 2)
    a = (a * 3) / (a - 1)
    show(a)
    show(a.requires_grad)
    a.requires_grad_(True)
    show(a.requires_grad)
    b = (a * a).sum()
    show(b.grad_fn)
    show(b)


def gradients(torch: Any) -> None:
    x = torch.ones(2, 2, requires_grad=True)
    y = x + 2
    show(y)
    z = y * y * 3
    out = z.mean()
    out.backward()
    show(x.grad)
    out = (x + 2).pow(2).sum()
    out.backward()  # a second backward adds to what is there
    show(x.grad)
    x.grad.data.zero_()
    show(x.grad)
    out = x.sum()
    out.backward()
    show(x.grad)


def vector_jacobian_product(torch: Any) -> None:
    torch.manual_seed(3)
    x = torch.randn(3, requires_grad=True)
    y = x * 2
    doublings = 0
    while y.data.norm() < 1000:
        y = y * 2
        doublings += 1
    show(y)
    show(doublings)
    v = torch.tensor([0.1, 1.0, 0.0001], dtype=torch.float)
    y.backward(v)
    show(x.grad)


def stopping_history(torch: Any) -> None:
    x = torch.tensor([1.0, 2.0, 3.0], requires_grad=True)
    show((x**2).requires_grad)
    with torch.no_grad():
        y = x**2
        show(y.requires_grad, y.grad_fn, y)
    show((x**2).requires_grad)
    d = (x * 2).detach()
    show(d, d.requires_grad)
    show(x.eq(x.detach()).all())


def changing_data(torch: Any) -> None:
    x = torch.ones(1, requires_grad=True)
    show(x.data)
    show(x.data.requires_grad)
    y = 2 * x
    x.data *= 100  # changes the value, and nothing that was recorded
    y.backward()
    show(x)
    show(x.grad)


def shapes_of_gradients(torch: Any) -> None:
    x = torch.arange(6, dtype=torch.float64).reshape(2, 3).requires_grad_()
    y = x * x
    refused("y.backward()", lambda: y.backward())
    refused("y.backward(ones(3))", lambda: y.backward(torch.ones(3, dtype=torch.float64)))
    y.backward(torch.ones(2, 3, dtype=torch.float64))
    show(x.grad)
    refused("y.backward() once more", lambda: y.backward(torch.ones(2, 3, dtype=torch.float64)))
    refused("detached.backward()", lambda: x.detach().sum().backward())
    refused("integers", lambda: torch.ones(2, dtype=torch.int64, requires_grad=True))
    refused("numpy()", lambda: x.numpy())


CHAPTERS = (
    tensors_and_history,
    requires_grad_flag,
    gradients,
    vector_jacobian_product,
    stopping_history,
    changing_data,
    shapes_of_gradients,
)


def main(engine: str) -> None:
    torch = importlib.import_module(engine)
    warnings.simplefilter("ignore", UserWarning)
    for chapter in CHAPTERS:
        print(f"## {chapter.__name__}")
        chapter(torch)


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "refgrad")
