"""Programs dense in statements other than ops: valid, of every kind, alive, as predicted, and repeatable on torch."""

from collections import Counter
from dataclasses import replace
from functools import cache

import pytest
from hypothesis import strategies as st

from oracle import engines
from oracle.catalogue import CATALOGUE
from oracle.check import check as checked
from oracle.choices import Source, entropy
from oracle.execute import run
from oracle.generate import PROFILES, Plan, programs, write
from oracle.hooks import BEHAVIOURS
from oracle.modes import MODES
from oracle.plan import written
from oracle.program import (
    Backward,
    Call,
    Enter,
    Grad,
    Hook,
    Literal,
    RequiresGrad,
    SetGradEnabled,
    ZeroGrad,
    check,
    dumps,
    loads,
)
from oracle.program.statements import EDGES, KINDS, THROUGH, WAYS, ZEROING
from oracle.semantics import ROWS, exercised

TORCH = engines.get("torch")
DENSE = PROFILES["semantics"]


@st.composite
def scripts(draw, profile):
    """A script with its program."""
    script = write(draw, Plan(profile))
    return script, script.program()


def drawn(count, origin=0, profile=DENSE):
    source = Source(scripts(profile))
    return [source.draw(entropy(origin, index)) for index in range(count)]


@cache
def many():
    return drawn(12000)


@cache
def traces():
    """The first of these with what they do on torch."""
    return [(script, program, run(program, TORCH)) for script, program in many()[:3000]]


def statements(kind):
    return (s for _, program in many() for s in program.statements if isinstance(s, kind))


def test_programs_are_valid_and_keep_their_json_form():
    for _, program in many()[:1500]:
        check(program)
        assert loads(dumps(program)) == program


def test_every_kind_of_statement_is_drawn():
    kinds = Counter(type(s) for _, program in many() for s in program.statements)
    assert {name: kinds[cls] for name, cls in KINDS.items() if kinds[cls] < 100} == {}


def test_every_op_is_drawn():
    ops = Counter(call.op for call in statements(Call))
    assert {name: ops[name] for name in CATALOGUE if ops[name] < 10} == {}
    assert {call.through for call in statements(Call)} == {None, *THROUGH}


def test_every_mode_is_entered():
    modes = Counter(enter.mode for enter in statements(Enter))
    assert {name: modes[name] for name in MODES if modes[name] < 50} == {}
    assert {s.value for s in statements(SetGradEnabled)} == {False, True}


def test_hooks_of_every_place_do_everything():
    hooks = Counter((hook.place, hook.action) for hook in statements(Hook))
    pairs = [(place, action) for place, behaviour in BEHAVIOURS.items() for action in behaviour.actions]
    assert {pair: hooks[pair] for pair in pairs if hooks[pair] < 4} == {}


@pytest.mark.parametrize("kind", [Backward, Grad])
def test_passes_take_every_form(kind):
    passes = list(statements(kind))
    assert {p.edges for p in passes} == {None, *EDGES}
    assert {p.retain_graph for p in passes} == {None, False, True}
    assert {(p.create_graph, p.retain_graph) for p in passes} >= {(True, False), (True, None), (False, True)} - (
        {(True, False)} if kind is Backward else set()
    )
    assert {type(g) for p in passes for g in p.gradients} == {Literal, int, float, type(None)}
    assert {0, 1, 2} <= {0 if p.inputs is None else len(p.inputs) for p in passes}
    assert any(p.inputs == () for p in passes)
    if kind is Grad:
        assert {p.allow_unused for p in passes} == {None, False, True}
        assert {p.materialize_grads for p in passes} == {p.is_grads_batched for p in passes} == {False, True}
        assert {len(p.outputs) for p in passes} == {1, 2}
    else:
        assert {1, 2} <= {len(p.roots) for p in passes}


def test_flags_and_gradients_change_in_every_way():
    assert {(s.value, s.how) for s in statements(RequiresGrad)} == {(v, how) for v in (False, True) for how in WAYS}
    assert {s.how for s in statements(ZeroGrad)} == set(ZEROING)


def test_every_row_that_programs_can_exercise_is():
    reached = Counter(number for _, program, trace in traces() for number in exercised(program, trace))
    assert [row.topic for row in ROWS if row.events and not reached[row.number]] == []


def test_statements_raise_at_their_rate_and_mostly_where_meant():
    total = meant = unmeant = 0
    for script, program, trace in traces():
        total += len(program.statements)
        for fault in trace.faults:
            if fault.statement in script.meant:
                meant += 1
            else:
                unmeant += 1
    assert 0.05 < meant / total < 0.1
    assert unmeant / total < 0.004
    flawless = drawn(1000, profile=replace(DENSE, wrong=0, invalid=0))
    faults = sum(len(run(program, TORCH).faults) for _, program in flawless)
    assert faults / sum(len(program.statements) for _, program in flawless) < 0.004


def test_programs_go_on():
    """Few statements are left out since one before them raised."""
    dead = skipped = total = 0
    for _, program, trace in traces():
        left_out = {place.statement for place in trace.places if place.what == "skipped"}
        skipped += len(left_out)
        total += len(program.statements)
        dead += len(left_out) > len(program.statements) / 2
    assert skipped / total < 0.01
    assert dead / len(traces()) < 0.01


def test_the_predicted_state_is_that_on_torch():
    seen = wrong = 0
    for script, program, trace in traces():
        if trace.faults:
            continue
        for live in script.scene.floats:
            state = trace.state[live.number]
            if state is None:  # a gradient of an unused input
                continue
            assert (state.shape, state.dtype) == (live.shape, live.dtype), dumps(program)
            if live.grad != 1 and not live.stale:
                seen += 1
                wrong += state.requires_grad != (live.grad == 2)
    assert wrong < seen / 200


def test_writes_are_mostly_followed_up():
    """A write that nothing depends on afterwards shows little."""
    writing = followed = 0
    for _, program in many()[:3000]:
        for index, tensors in written(program).items():
            if not isinstance(program.statements[index], Call):
                continue
            writing += 1
            later = program.statements[index + 1 :]
            used = {t for s in later if isinstance(s, Call) for t in s.inputs}
            used |= {t for s in later if isinstance(s, Backward) for t in s.roots}
            followed += not used.isdisjoint(tensors)
    assert followed > 0.5 * writing > 1000


def test_torch_agrees_with_itself():
    for _, program in many()[:1500]:
        assert checked(program, TORCH, TORCH).divergence is None, dumps(program)


def test_a_program_depends_on_its_number_alone():
    assert [program for _, program in drawn(50)] == [program for _, program in many()[:50]]
    shifted = [program for _, program in drawn(50, origin=1)]
    assert shifted != [program for _, program in many()[:50]]


def test_ops_asked_for_leave_dense_programs_out():
    profile = DENSE.restricted(["sin", "mul"])
    source = Source(programs(profile))
    found = [source.draw(entropy(0, index)) for index in range(200)]
    assert {s.op for program in found for s in program.statements if isinstance(s, Call)} == {"sin", "mul"}


def test_some_programs_of_the_default_profile_are_dense():
    """At a rate at which their statements raise in less than 1 of 100."""
    found = drawn(3000, profile=PROFILES["default"])
    dense = [program for script, program in found if script.pace.dense]
    assert 0.05 < len(dense) / len(found) < 0.15
    assert {type(s) for program in dense for s in program.statements} >= set(KINDS.values())
    faults = sum(len(run(program, TORCH).faults) for _, program in found)
    assert faults / sum(len(program.statements) for _, program in found) < 0.01
    for name in ("smoke", "values", "second-order"):
        assert not any(script.pace.dense for script, _ in drawn(300, profile=PROFILES[name]))
