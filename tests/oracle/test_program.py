"""The JSON form keeps every program, and accepts nothing that is not one."""

import copy
import json
import math

import pytest

from oracle.program import (
    MAX_LEAVES,
    MAX_NUMEL,
    Backward,
    Call,
    Enter,
    Exit,
    Grad,
    Leaf,
    Literal,
    Program,
    ProgramError,
    RequiresGrad,
    RetainGrad,
    ZeroGrad,
    check,
    created,
    digest,
    dumps,
    from_json,
    loads,
    to_json,
)

VECTOR = Literal("float64", (2,), (1.5, -0.0))

# Tensors: leaves 0 to 3, exp 4, index 5, split 6 and 7, grad 8, masked_fill 9, pow 10.
EVERYTHING = Program(
    (
        Leaf(VECTOR, True, "strided"),
        Leaf(Literal("float16", (2, 1), (math.nan, -math.inf)), False, "transposed"),
        Leaf(Literal("int64", (1,), (-(2**63),)), False, "contiguous"),
        Leaf(Literal("bool", (2, 2), (True, False, True, False)), False, "expanded"),
    ),
    (
        Enter("no_grad"),
        Call("exp", (0,), {}, 1),
        Exit(),
        Call("index_tensor", (0, 2), {"index": [{"ellipsis": True}, {"tensor": 1}]}, 1),
        Call("split", (0,), {"split_size_or_sections": [1, 1], "dim": 0}, 2),
        Grad((6,), (0,), (Literal("float64", (1,), (0.1,)),), None, True, False),
        Backward((6, 7), (None, None), True, False, None),
        Backward((7,), (None,), None, False, (0,)),
        ZeroGrad(0, "zero_"),
        RetainGrad(5),
        RequiresGrad(0, False),
        Call("masked_fill", (0, 3), {"value": -math.inf}, 1),
        Call("pow_operator", (0,), {"scalar": 2, "side": "left"}, 1),
    ),
)


def test_json_keeps_everything():
    check(EVERYTHING)
    text = dumps(EVERYTHING)
    assert loads(text) == EVERYTHING
    assert loads(text.encode()) == EVERYTHING
    assert from_json(json.loads(json.dumps(to_json(EVERYTHING)))) == EVERYTHING
    assert dumps(loads(text)) == text
    again = loads(text)
    assert math.copysign(1, again.leaves[0].value.data[1]) == -1
    assert type(again.statements[-1].params["scalar"]) is int
    assert json.loads(text)["leaves"][1]["value"]["data"] == ["nan", "-inf"]


def test_json_is_strict_json():
    def refuse(word):
        raise AssertionError(f"{word} is not JSON")

    json.loads(dumps(EVERYTHING), parse_constant=refuse)
    assert "\n" not in dumps(EVERYTHING)


def test_digest_names_the_content():
    name = digest(EVERYTHING)
    assert len(name) == 16 and set(name) <= set("0123456789abcdef")
    assert digest(loads(dumps(EVERYTHING))) == name
    fewer = Program(EVERYTHING.leaves, EVERYTHING.statements[:-1])
    assert digest(fewer) != name


def test_created_counts_tensors():
    assert [created(s) for s in EVERYTHING.statements] == [0, 1, 0, 1, 2, 1, 0, 0, 0, 0, 0, 1, 1]


def test_programs_are_hashable():
    assert len({EVERYTHING, loads(dumps(EVERYTHING))}) == 1


def _set(*path_and_value):
    *path, last, value = path_and_value

    def change(document):
        for key in path:
            document = document[key]
        document[last] = value

    return change


def _drop(*path):
    *path, last = path

    def change(document):
        for key in path:
            document = document[key]
        del document[last]

    return change


S, L = "statements", "leaves"
HOSTILE = {
    # what is wrong: (change, where the message points, a part of what it says)
    "no leaves": (_set(L, []), "leaves", "1 to"),
    "leaves not a list": (_set(L, {"0": 1}), "leaves", "a list"),
    "too many leaves": (_set(L, [{}] * (MAX_LEAVES + 1)), "leaves", f"at most {MAX_LEAVES}"),
    "too many statements": (_set(S, [{"kind": "exit"}] * 5000), "statements", "at most"),
    "unknown member of the program": (_set("version", 3), "program", "'version'"),
    "no statements": (_drop(S), "program", "'statements'"),
    "unknown member of a leaf": (_set(L, 0, "name", "x; import os"), "leaves[0]", "'name'"),
    "leaf not an object": (_set(L, 0, 7), "leaves[0]", "an object"),
    "requires_grad not a bool": (_set(L, 0, "requires_grad", 1), "leaves[0].requires_grad", "true or false"),
    "int64 that requires grad": (_set(L, 2, "requires_grad", True), "leaves[2].requires_grad", "floating"),
    "unknown layout": (_set(L, 0, "layout", "sparse"), "leaves[0].layout", "contiguous"),
    "layout not a string": (_set(L, 0, "layout", ["strided"]), "leaves[0].layout", "strided"),
    "transposed vector": (_set(L, 0, "layout", "transposed"), "leaves[0].layout", "2 dims or more"),
    "expanded rows differ": (
        _set(L, 3, "value", "data", [True, False, False, True]),
        "leaves[3]",
        "equal rows",
    ),
    "unknown dtype": (_set(L, 0, "value", "dtype", "complex64"), "leaves[0].value.dtype", "float64"),
    "dtype not a string": (_set(L, 0, "value", "dtype", None), "leaves[0].value.dtype", "float64"),
    "negative size": (_set(L, 0, "value", "shape", [-2]), "leaves[0].value.shape[0]", "0 to"),
    "size true": (_set(L, 2, "value", "shape", [True]), "leaves[2].value.shape[0]", "an integer"),
    "shape and data disagree": (_set(L, 0, "value", "shape", [3]), "leaves[0].value.data", "3 values"),
    "absurd shape": (
        _set(L, 0, "value", "shape", [1 << 16, 1 << 16]),
        "leaves[0].value.shape",
        f"{MAX_NUMEL}",
    ),
    "too many dims": (_set(L, 0, "value", "shape", [1] * 100), "leaves[0].value.shape", "at most"),
    "JSON number for a float": (
        _set(L, 0, "value", "data", 0, 1.5),
        "leaves[0].value.data[0]",
        "float.hex()",
    ),
    "code for a float": (_set(L, 0, "value", "data", 0, "exit()"), "leaves[0].value.data[0]", "float.hex()"),
    "float beyond float64": (
        _set(L, 0, "value", "data", 0, "0x1p9999"),
        "leaves[0].value.data[0]",
        "float64",
    ),
    "not a float16": (_set(L, 1, "value", "data", 0, "0x1.0000001p+0"), "leaves[1].value.data[0]", "float16"),
    "beyond float16": (_set(L, 1, "value", "data", 0, "0x1p+99"), "leaves[1].value.data[0]", "float16"),
    "bool in int64": (_set(L, 2, "value", "data", 0, True), "leaves[2].value.data[0]", "int"),
    "int beyond 64 bits": (_set(L, 2, "value", "data", 0, 2**63), "leaves[2].value.data[0]", "64 bits"),
    "huge int": (_set(L, 2, "value", "data", 0, 10**4000), "leaves[2].value.data[0]", "more than 20 digits"),
    "int in bool": (_set(L, 3, "value", "data", 0, 1), "leaves[3].value.data[0]", "bool"),
    "unknown statement": (_set(S, 0, "kind", "system"), "statements[0].kind", "call, enter"),
    "kind not a string": (_set(S, 0, "kind", ["call"]), "statements[0].kind", "call"),
    "statement not an object": (_set(S, 0, "exit"), "statements[0]", "call"),
    "unknown member of a statement": (_set(S, 1, "code", "1"), "statements[1]", "'code'"),
    "missing member": (_drop(S, 1, "params"), "statements[1]", "'params'"),
    "op that does not exist": (_set(S, 1, "op", "os.system"), "statements[1].op", "catalogue"),
    "op not a string": (_set(S, 1, "op", {}), "statements[1].op", "catalogue"),
    "too many inputs": (_set(S, 1, "inputs", [0, 1]), "statements[1].inputs", "1 for exp"),
    "too many outputs": (_set(S, 1, "outputs", 2), "statements[1].outputs", "1"),
    "outputs true": (_set(S, 1, "outputs", True), "statements[1].outputs", "an integer"),
    "tensor that comes later": (_set(S, 1, "inputs", [4]), "statements[1].inputs[0]", "0 to 3"),
    "negative tensor": (_set(S, 1, "inputs", [-1]), "statements[1].inputs[0]", "0 to 3"),
    "tensor false": (_set(S, 1, "inputs", [False]), "statements[1].inputs[0]", "number of a tensor"),
    "unknown parameter": (_set(S, 1, "params", {"out=x": 1}), "statements[1].params", "none"),
    "params not an object": (_set(S, 1, "params", []), "statements[1].params", "an object"),
    "missing parameter": (_set(S, 4, "params", {"dim": 0}), "statements[4].params", "split_size_or_sections"),
    "parameter of a wrong type": (_set(S, 4, "params", "dim", "0"), "statements[4].params.dim", "an integer"),
    "dim out of range": (_set(S, 4, "params", "dim", 10**9), "statements[4].params.dim", "-64 to 63"),
    "index with code": (_set(S, 3, "params", "index", ["a"]), "statements[3].params.index", "integers"),
    "index without its tensor": (
        _set(S, 3, "params", "index", [0]),
        "statements[3].params",
        "each of the inputs",
    ),
    "index with too many tensors": (
        _set(S, 3, "params", "index", [{"tensor": 1}, {"tensor": 2}]),
        "statements[3].params",
        "inputs 1 to 1",
    ),
    "side of no scalar": (
        _set(S, 12, "params", {"side": "left"}),
        "statements[12].params",
        "scalar and side",
    ),
    "unknown side": (_set(S, 12, "params", "side", "up"), "statements[12].params.side", "left, right"),
    "scalar that is not finite": (
        _set(S, 12, "params", "scalar", {"float": "inf"}),
        "statements[12].params.scalar",
        "finite",
    ),
    "float in words": (_set(S, 11, "params", "value", {"float": "x"}), "statements[11].params.value", "hex"),
    "exit without enter": (_set(S, 0, {"kind": "exit"}), "statements[0]", "enter"),
    "enter without exit": (_set(S, 2, {"kind": "enter", "mode": "enable_grad"}), "statements", "exit"),
    "unknown mode": (_set(S, 0, "mode", "os.system"), "statements[0].mode", "no_grad"),
    "roots that come later": (_set(S, 6, "roots", [9]), "statements[6].roots[0]", "0 to 8"),
    "roots not a list": (_set(S, 6, "roots", "67"), "statements[6].roots", "a list"),
    "gradient that comes later": (_set(S, 6, "gradients", [9]), "statements[6].gradients[0]", "0 to 8"),
    "gradient true": (_set(S, 6, "gradients", [True]), "statements[6].gradients[0]", "literal"),
    "gradient in words": (_set(S, 6, "gradients", ["x"]), "statements[6].gradients[0]", "literal"),
    "malformed gradient": (
        _set(S, 6, "gradients", 0, {"dtype": "bool"}),
        "statements[6].gradients[0]",
        "'shape'",
    ),
    "retain_graph a number": (_set(S, 6, "retain_graph", 0), "statements[6].retain_graph", "true or false"),
    "inputs of grad null": (_set(S, 5, "inputs", None), "statements[5].inputs", "a list"),
    "allow_unused a number": (_set(S, 5, "allow_unused", 0), "statements[5].allow_unused", "true or false"),
    "unknown zeroing": (_set(S, 8, "how", "del"), "statements[8].how", "none, zero_"),
    "retain_grad of no tensor": (_set(S, 9, "tensor", "5"), "statements[9].tensor", "an integer"),
    "requires_grad_ of a later tensor": (_set(S, 10, "tensor", 9), "statements[10].tensor", "0 to 8"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_documents_are_refused(name):
    change, where, said = HOSTILE[name]
    document = copy.deepcopy(to_json(EVERYTHING))
    change(document)
    with pytest.raises(ProgramError) as caught:
        from_json(document)
    message = str(caught.value)
    assert message.startswith(f"{where}: ") or message.startswith(f"{where}."), message
    assert said in message
    assert "found" in message and "expected" in message
    assert "\n" not in message and len(message) < 400


@pytest.mark.parametrize("document", [None, 3, "x", [], [[]], True, {}], ids=repr)
def test_documents_that_are_no_objects_are_refused(document):
    with pytest.raises(ProgramError, match="^program: found"):
        from_json(document)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "not JSON"),
        ("{", "not JSON"),
        (dumps(EVERYTHING)[:-9], "not JSON"),
        (b"\xff\xfe{", "not JSON"),
        ("[" * 100_000, "nested"),
        ('{"leaves":[],"leaves":[],"statements":[]}', "each key once"),
        ('{"leaves":[],"statements":NaN}', "finite"),
        ('{"leaves":[],"statements":' + "9" * 5000 + "}", "not JSON"),
    ],
    ids=["empty", "brace", "truncated", "bytes", "nested", "repeated", "nan", "digits"],
)
def test_texts_that_are_no_program_are_refused(text, said):
    with pytest.raises(ProgramError, match=said) as caught:
        loads(text)
    assert "\n" not in str(caught.value)


def test_objects_are_checked_too():
    leaf = Leaf(VECTOR, True, "contiguous")
    with pytest.raises(ProgramError, match=r"statements\[0\]: found 'exit'"):
        check(Program((leaf,), ("exit",)))
    with pytest.raises(ProgramError, match=r"gradients\[0\]: found \[1.0\]"):
        check(Program((leaf,), (Backward((0,), ([1.0],), None, False, None),)))
