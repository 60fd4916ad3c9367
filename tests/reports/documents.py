"""Run documents made up for the page's tests: the form and the sizes of real ones, no engine behind them."""

import copy
import math
from hashlib import sha256

from oracle.catalogue import DRAWN
from oracle.findings import SCHEMA

VERSIONS = {
    "refgrad": "0.1.0",
    "torch": "2.13.0",
    "numpy": "2.4.1",
    "hypothesis": "6.170.0",
    "python": "3.11.7",
}


def literal(shape, data, dtype="float64"):
    return {"dtype": dtype, "shape": shape, "data": [x.hex() if isinstance(x, float) else x for x in data]}


def leaf(shape, data, dtype="float64", requires_grad=True, layout="contiguous"):
    return {"value": literal(shape, data, dtype), "requires_grad": requires_grad, "layout": layout}


def call(op, *inputs, outputs=1, **params):
    return {"kind": "call", "op": op, "inputs": list(inputs), "params": params, "outputs": outputs}


def backward(*roots, gradients=None, retain_graph=None, create_graph=False, inputs=None):
    given = gradients or [None] * len(roots)
    return {
        "kind": "backward",
        "roots": list(roots),
        "gradients": given,
        "retain_graph": retain_graph,
        "create_graph": create_graph,
        "inputs": inputs,
    }


def program(leaves, *statements):
    return {"version": 1, "leaves": leaves, "statements": list(statements)}


def element(index, subject, oracle, ulps, bound):
    difference = abs(subject - oracle)
    return {
        "index": index,
        "subject": subject.hex(),
        "oracle": oracle.hex(),
        "difference": difference.hex(),
        "ulps": ulps,
        "bound": bound.hex(),
    }


def finding(shrunk, *, op, kind, message, statement, tensor, what, subject, oracle, elements=()):
    """A finding around a program; what no test is about is filled in."""
    signature = f"{kind} {op} {what} float64"
    identity = sha256(f"{signature}{shrunk}".encode()).hexdigest()[:12]
    before = program(shrunk["leaves"], *[call("exp", 0) for _ in range(7)], *shrunk["statements"])
    return {
        "schema": SCHEMA,
        "id": identity,
        "kind": kind,
        "op": op,
        "statement": statement,
        "tensor": tensor,
        "what": what,
        "message": message,
        "signature": signature,
        "subject": {"name": "refgrad", "version": "0.1.0", "text": subject},
        "oracle": {"name": "torch", "version": "2.13.0", "text": oracle},
        "elements": list(elements),
        "program": shrunk,
        "original": before,
        "repro": REPRO.format(op=op, identity=identity),
        "origin": {"seed": 0, "shard": 3, "index": 117},
        "members": 41,
        "plant": "sin-sign",
        "shrink": {
            "statements_before": len(before["statements"]),
            "statements_after": len(shrunk["statements"]),
            "hypothesis_calls": 212,
            "reducer_calls": 64,
        },
    }


REPRO = '''"""Finding {identity}: {op}. Exit 0: the engines agree; 1: they differ; 125: cannot run."""
import sys

try:
    import refgrad
    import torch
except ImportError as error:
    print(error)
    sys.exit(125)


def program(engine):
    t0 = engine.tensor([[0.5, 1.0, -2.0]], dtype=engine.float64, requires_grad=True)
    t1 = engine.{op}(t0)
    t1.backward(engine.tensor([[1.0, 2.0, 3.0]], dtype=engine.float64))
    return t0.grad


ours, theirs = program(refgrad), program(torch)
print("refgrad", ours)
print("torch  ", theirs)
sys.exit(0 if ours.tolist() == theirs.tolist() else 1)
'''


def sine():
    values, cotangents = [0.5, 1.0, -2.0], [1.0, 2.0, 3.0]
    pairs = [(-math.cos(x) * c, math.cos(x) * c) for x, c in zip(values, cotangents, strict=True)]
    return finding(
        program([leaf([1, 3], values)], call("sin", 0), backward(1, gradients=[literal([1, 3], cotangents)])),
        op="sin",
        kind="gradient",
        message="t0.grad after backward: 3 of 3 elements differ, by at most 2.5 (bound 1.1e-15)",
        statement=1,
        tensor=0,
        what="grad",
        subject="tensor([[-0.8776, -1.0806,  1.2484]], dtype=torch.float64)",
        oracle="tensor([[ 0.8776,  1.0806, -1.2484]], dtype=torch.float64)",
        elements=[
            element([0, i], a, b, 9.0071992547e15, 1.1e-15 * (i + 1)) for i, (a, b) in enumerate(pairs)
        ],
    )


def several():
    """Five findings of different kinds, over graphs of different forms."""
    twice = finding(
        program(
            [leaf([2, 2], [1.0, 2.0, 3.0, 4.0]), leaf([2], [0.5, -1.5], layout="strided")],
            call("mul", 0, 1),
            call("exp", 2),
            call("sum", 2, dim=[0], keepdim=True),
            call("add", 3, 4),
            backward(5, 3, gradients=[literal([2, 2], [1.0, -1.0, 0.5, 2.0]), literal([2, 2], [1.0] * 4)]),
        ),
        op="mul",
        kind="gradient",
        message="t1.grad after backward: 2 of 2 elements differ, by at most 3 (bound 8.9e-16)",
        statement=4,
        tensor=1,
        what="grad",
        subject="tensor([3.0000, 7.1000], dtype=torch.float64)",
        oracle="tensor([6.0000, 7.0000], dtype=torch.float64)",
        elements=[element([0], 3.0, 6.0, 6.7e15, 8.9e-16), element([1], 7.1, 7.0, 1.1e14, 8.9e-16)],
    )
    value = finding(
        program(
            [leaf([4], [1.0, 2.0, 2.0, -0.0], requires_grad=False)],
            call("split", 0, split_size_or_sections=[1, 3], dim=0, outputs=2),
            call("cumsum", 2, dim=0),
        ),
        op="cumsum",
        kind="value",
        message="t3: 1 of 3 elements differ, by at most 2.2e-16 (bound 0)",
        statement=1,
        tensor=3,
        what="value",
        subject="tensor([2., 4., 4.0000], dtype=torch.float64)",
        oracle="tensor([2., 4., 4.], dtype=torch.float64)",
        elements=[element([2], 4.0 + 2.0**-50, 4.0, 1, 0.0)],
    )
    state = finding(
        program(
            [leaf([], [2.0])],
            {"kind": "enter", "mode": "no_grad"},
            call("pow", 0, exponent=2),
            {"kind": "exit"},
            {"kind": "retain_grad", "tensor": 0},
        ),
        op="pow",
        kind="requires_grad",
        message="t1.requires_grad is True, expected False",
        statement=1,
        tensor=1,
        what="state",
        subject="requires_grad=True, is_leaf=False, grad_fn=PowBackward0",
        oracle="requires_grad=False, is_leaf=True, grad_fn=None",
    )
    error = finding(
        program(
            [leaf([3], [1.0, 2.0, 3.0])],
            call("tanh", 0),
            {
                "kind": "grad",
                "outputs": [1],
                "inputs": [0],
                "gradients": [literal([3], [1.0, 1.0, 2.0])],
                "retain_graph": None,
                "create_graph": True,
                "allow_unused": False,
            },
            backward(2, gradients=[literal([3], [0.5, 1.0, 1.0])]),
            backward(2),
        ),
        op="tanh",
        kind="exception",
        message="backward raised on torch only",
        statement=3,
        tensor=None,
        what="value",
        subject="no exception",
        oracle="RuntimeError: Trying to backward through the graph a second time (or directly access saved "
        "tensors after they have already been freed). Specify retain_graph=True if you need to.",
    )
    return [sine(), twice, value, state, error]


def document(*findings, **summary):
    """A run document with these findings."""
    drawn = {name: 96 + sum(map(ord, name)) % 83 for name in sorted(DRAWN)}
    defaults = {
        "programs": 2000,
        "seconds": 12.3456,
        "findings": len(findings),
        "discarded": {"ill-conditioned": 14, "beyond float16": 3},
        "escalated": 57,
        "ops": drawn,
        "versions": VERSIONS,
        "seed": 0,
        "examples": 2000,
        "profile": "default",
        "subject": "refgrad",
        "oracle": "torch",
        "jobs": 2,
        "plant": "sin-sign" if findings else None,
        "statements": 13402,
    }
    return copy.deepcopy({"schema": SCHEMA, "summary": defaults | summary, "findings": list(findings)})
