"""What is generated is valid, even, varied and reproducible, and its predicted state is torch's."""

import os
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from functools import cache

import pytest
from hypothesis import HealthCheck, Phase, find, given, seed, settings
from hypothesis import strategies as st

from oracle import engines
from oracle.catalogue import DRAWN
from oracle.catalogue.params import FLOATS
from oracle.catalogue.scene import MAYBE, NO, YES
from oracle.choices import Source, entropy
from oracle.execute import run
from oracle.generate import PROFILES, Plan, Profile, programs, write
from oracle.program import Backward, Call, Grad, check, digest, dumps, loads
from oracle.stats import describe

TORCH = engines.get("torch")
SPARSE = replace(PROFILES["default"], dense=0)  # for the others, see test_dense.py
FLAWLESS = {name: replace(profile, invalid=0, dense=0) for name, profile in PROFILES.items()}


@st.composite
def scripts(draw, profile):
    """A script with its program."""
    script = write(draw, Plan(profile))
    return script, script.program()


def drawn(strategy, count, origin=0):
    source = Source(strategy)
    return [source.draw(entropy(origin, index)) for index in range(count)]


@cache
def default_programs():
    return drawn(programs(SPARSE), 5000)


@pytest.mark.parametrize(("name", "count"), [("default", 3000), ("second-order", 1000), ("values", 600)])
def test_programs_run_on_torch_and_do_what_was_predicted(name, count):
    faults, statements, gradients = [], 0, Counter()
    for script, program in drawn(scripts(FLAWLESS[name]), count):
        statements += len(program.statements)
        trace = run(program, TORCH)
        if trace.fault:
            faults.append((dumps(program), trace.fault))
            continue
        for live in script.scene.floats + script.scene.others:
            seen = trace.state[live.number]
            assert seen.shape == live.shape, (live.number, dumps(program))
            assert seen.dtype == live.dtype, (live.number, dumps(program))
            gradients[live.grad] += 1
            if live.grad != MAYBE:
                assert seen.requires_grad == (live.grad == YES), (live.number, dumps(program))
    assert len(faults) <= statements / 1000, faults
    assert gradients[MAYBE] < 0.05 * gradients.total()
    assert gradients[YES] > gradients[NO]


@pytest.mark.parametrize("name", DRAWN)
def test_one_op_alone(name):
    """A restriction brings in nothing else, and still gives programs that run."""
    profile = FLAWLESS["default"].restricted([name])
    for program in drawn(programs(profile), 10):
        assert {s.op for s in program.statements if isinstance(s, Call)} <= {name}
        assert run(program, TORCH).fault is None, dumps(program)


def test_programs_are_valid_and_keep_their_json_form():
    for program in default_programs()[:2000]:
        check(program)
        text = dumps(program)
        assert loads(text) == program
        assert dumps(loads(text)) == text


def test_invalid_statements_come_at_their_rate():
    faults = [run(program, TORCH).fault for program in default_programs()[:3000]]
    rate = sum(fault is not None for fault in faults) / len(faults)
    assert 0.01 < rate < 0.035
    every = replace(SPARSE, invalid=1000)
    raised = [run(program, TORCH).fault is not None for program in drawn(programs(every), 300)]
    assert sum(raised) > 150  # not all: where a graph saved nothing, going through it again is no error


def evenness(programs_):
    ops = describe(programs_)["distributions"]["ops"]
    average = ops["total"] / len(DRAWN)
    counts = {name: ops["values"].get(name, {"count": 0})["count"] for name in DRAWN}
    return min(counts.values()) / average


def test_no_op_is_rare():
    assert evenness(default_programs()) > 1 / 2


def test_no_op_is_rare_where_hypothesis_prefers_small_numbers():
    taken = []

    @seed(1)
    @settings(
        max_examples=5000,
        database=None,
        phases=[Phase.generate],
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(programs(SPARSE))
    def take(program):
        taken.append(program)

    take()
    assert len(taken) == 5000
    assert evenness(taken) > 1 / 3


def test_programs_are_varied():
    figures = describe(default_programs())["distributions"]

    def share(aspect, *values):
        return sum(figures[aspect]["values"].get(value, {"share": 0})["share"] for value in values)

    assert len({digest(program) for program in default_programs()}) > 4900
    lengths = sorted(sum(isinstance(s, Call) for s in p.statements) for p in default_programs())
    assert 7 <= lengths[2500] <= 10
    assert lengths[250] <= 2 and lengths[-250] >= 14
    assert share("elements", "0") > 0.02 and share("elements", "1") > 0.1
    assert share("elements", "25 to 100", "over 100") < 0.1
    assert share("dims", "0") > 0.05 and share("dims", "3") > 0.1
    assert share("layouts", "strided") > 0.05
    assert share("layouts", "transposed") > 0.03 and share("layouts", "expanded") > 0.02
    assert share("dtypes", "float64") > 0.5
    assert share("dtypes", "float32") > 0.1 and share("dtypes", "float16") > 0.03
    assert share("repeated operands", "1") > 0.02
    assert share("sharing", "2") > 0.08 and share("sharing", "0") < 0.45
    assert 0.2 < share("operand distance", "1") < 0.5
    assert share("requires_grad", "False") > 0.1
    kinds = figures["statements besides ops"]["values"]
    assert set(kinds) == {
        "backward",
        "backward, create_graph",
        "grad",
        "grad, create_graph",
        "no_grad",
        "enable_grad",
        "exit",
        "zero_grad, none",
        "zero_grad, zero_",
        "retain_grad",
        "requires_grad, True",
        "requires_grad, False",
    }


def backwards(program):
    return [s for s in program.statements if isinstance(s, Backward | Grad)]


def test_most_programs_go_backward():
    going = [backwards(program) for program in default_programs()]
    assert sum(map(bool, going)) > 0.9 * len(going)
    assert sum(len(s) > 1 for s in going) > 0.2 * len(going)
    found = [s for statements in going for s in statements if isinstance(s, Backward)]
    assert sum(len(s.roots) > 1 for s in found) > 0.2 * len(found)
    assert sum(len(set(s.roots)) < len(s.roots) for s in found) > 10
    assert sum(s.retain_graph is True for s in found) > 0.1 * len(found)
    assert sum(s.inputs is not None for s in found) > 0.02 * len(found)


def test_cotangents_are_never_all_ones():
    cotangents = [g for p in default_programs() for s in backwards(p) for g in s.gradients]
    assert None in cotangents
    given_ = [g.data for g in cotangents if g is not None and g.data]
    assert all(set(data) != {1.0} for data in given_)
    long = [data for data in given_ if len(data) > 3]
    assert len(set(long)) > 0.98 * len(long)


def test_gradients_reach_most_ops():
    """An op whose gradient is never asked for is not tested."""
    outputs = reached = 0
    for program in default_programs()[:2000]:
        parents, number, seen = {}, len(program.leaves), set()
        for statement in program.statements:
            if isinstance(statement, Call):
                for k in range(statement.outputs):
                    parents[number + k] = statement.inputs
                number += statement.outputs
            elif isinstance(statement, Backward | Grad):
                todo = list(statement.roots if isinstance(statement, Backward) else statement.outputs)
                while todo:
                    tensor = todo.pop()
                    if tensor not in seen:
                        seen.add(tensor)
                        todo.extend(parents.get(tensor, ()))
                number += len(statement.inputs) if isinstance(statement, Grad) else 0
        outputs += len(parents)
        reached += sum(tensor in seen for tensor in parents)
    assert reached > 0.55 * outputs


def test_most_values_are_finite_and_some_are_not():
    finite = Counter()
    for program in default_programs()[:600]:
        for seen in run(program, TORCH).state:
            if seen is not None and seen.dtype in FLOATS and seen.value.size:
                finite[bool((abs(seen.value) < float("inf")).all())] += 1
    assert 0.9 < finite[True] / finite.total() < 0.999


@pytest.mark.parametrize("name", ["sin", "bmm", "index_mask", "std", "sort"])
def test_hypothesis_shrinks_to_the_statements_needed(name):
    def fits(program):
        calls = [s for s in program.statements if isinstance(s, Call)]
        return any(call.op == name for call in calls) and any(
            isinstance(s, Backward) for s in program.statements
        )

    quick = settings(max_examples=3000, database=None, deadline=None, suppress_health_check=list(HealthCheck))
    program = find(programs(SPARSE), fits, settings=quick)
    assert len(program.statements) == 2, dumps(program)


def test_hashes_and_imports_do_not_matter():
    code = (
        "import sys; sys.path.insert(0, '.'); {imports}\n"
        "from oracle.choices import Source, entropy\n"
        "from oracle.generate import programs\n"
        "from oracle.program import digest\n"
        "source = Source(programs())\n"
        "print([digest(source.draw(entropy(7, i))) for i in range(40)])\n"
    )

    def output(hash_seed, imports):
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
        command = [sys.executable, "-c", code.format(imports=imports)]
        done = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
        return done.stdout

    first = output("1", "pass")
    assert first == output("2", "import oracle.program, oracle.stats, json, decimal, unittest")
    source = Source(programs())
    assert first.strip() == str([digest(source.draw(entropy(7, i))) for i in range(40)])


def test_restrictions_are_checked():
    assert PROFILES["default"].restricted(None).ops is None
    assert PROFILES["smoke"].restricted(["sin", "sin", "mul"]).ops == {"sin", "mul"}
    with pytest.raises(ValueError, match="no op 'sine' in the catalogue, expected some of neg, "):
        PROFILES["default"].restricted(["sin", "sine"])
    with pytest.raises(ValueError, match="no op 'add_' to draw by itself, expected some of neg, "):
        PROFILES["default"].restricted(["add_"])
    with pytest.raises(ValueError, match="at least one"):
        PROFILES["default"].restricted([])
    with pytest.raises(ValueError, match="3 weights"):
        Profile("odd", endings=(1, 2, 3))
    assert set(PROFILES) >= {"default", "smoke", "values", "second-order"}
