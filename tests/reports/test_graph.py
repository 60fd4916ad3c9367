"""Which nodes and edges a program has, which of them is marked, and that they find room."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reports.graph import draw
from reports.layers import layout
from tests.reports.documents import backward, call, document, leaf, literal, program, several, sine

NOWHERE = {"kind": "value", "tensor": None, "statement": None, "what": "value"}


def shown(drawn):
    """Nodes as (kind, first line), and edges as pairs of first lines."""
    names = [node.lines[0][1] for node in drawn.nodes]
    return [(node.kind, name) for node, name in zip(drawn.nodes, names, strict=True)], [
        (edge.kind, names[edge.tail], names[edge.head]) for edge in drawn.edges
    ]


def marked(drawn):
    return [(node.lines[0][1], node.lines[-1][1]) for node in drawn.nodes if node.marked]


def test_leaves_ops_outputs_and_backward_are_nodes_of_their_own():
    nodes, edges = shown(draw(sine()["program"], NOWHERE))
    assert nodes == [("leaf", "t0"), ("op", "sin"), ("output", "t1"), ("sweep", "backward()")]
    assert edges == [("forward", "t0", "sin"), ("forward", "sin", "t1"), ("backward", "t1", "backward()")]


def test_a_tensor_read_twice_has_two_edges_and_a_read_root_an_output_besides():
    shared = program([leaf([], [2.0])], call("mul", 0, 0), call("exp", 1), backward(1, 2))
    nodes, edges = shown(draw(shared, NOWHERE))
    assert edges.count(("forward", "t0", "mul")) == 2
    assert ("output", "t1") in nodes
    assert edges[-2:] == [("backward", "t1", "backward()"), ("backward", "t2", "backward()")]


def test_tensors_of_one_maker_are_told_apart_on_the_edges():
    drawn = draw(program([leaf([4], [1.0] * 4)], call("split", 0, outputs=3), call("mul", 3, 1)), NOWHERE)
    assert [edge.label for edge in drawn.edges if edge.label] == ["t3", "t1"]
    assert ("output", "t2") in shown(drawn)[0]


def test_what_a_grad_statement_makes_can_be_read():
    twice = several()[4]["program"]
    nodes, edges = shown(draw(twice, NOWHERE))
    assert ("forward", "grad()", "t2") in edges
    assert [name for kind, name in nodes if kind == "sweep"] == ["grad()", "backward()", "backward()"]


def test_modes_and_notes_stand_in_the_nodes():
    quiet = program(
        [leaf([], [2.0])],
        {"kind": "enter", "mode": "no_grad"},
        call("exp", 0),
        {"kind": "exit"},
        call("sin", 0),
        {"kind": "retain_grad", "tensor": 2},
        {"kind": "zero_grad", "tensor": 0, "how": "none"},
        {"kind": "requires_grad", "tensor": 0, "value": False},
    )
    titles = [node.title for node in draw(quiet, NOWHERE).nodes if node.kind != "output"]
    assert titles == [
        "t0 · float64[] · requires_grad · grad = None · requires_grad_(False)",
        "exp · → t1 · no_grad",
        "sin · → t2 · retain_grad()",
    ]


@pytest.mark.parametrize(
    ("at", "flag"),
    [
        (0, ("t0", "◆ t0.grad differs")),
        (1, ("t1", "◆ t1.grad differs")),
        (2, ("cumsum", "◆ t3 differs")),
        (3, ("pow", "◆ t1: requires_grad differs")),
        (4, ("backward()", "◆ exception differs")),
    ],
)
def test_the_node_where_the_engines_part_is_marked(at, flag):
    finding = several()[at]
    assert marked(draw(finding["program"], finding)) == [flag]


def test_a_gradient_made_by_grad_is_named_as_the_tensor_that_it_is():
    given = several()[4]["program"]
    finding = {"kind": "none", "tensor": 2, "statement": 1, "what": "grad"}
    assert marked(draw(given, finding)) == [("grad()", "◆ t2 is None on one side")]


def test_a_finding_about_no_node_marks_none():
    assert marked(draw(several()[3]["program"], {**NOWHERE, "statement": 0})) == []


def test_a_program_too_long_to_draw_is_not_drawn():
    long = program([leaf([], [2.0])], *[call("exp", 0)] * 201)
    assert draw(long, NOWHERE) is None
    assert draw({**long, "statements": long["statements"][:200]}, NOWHERE).nodes


def test_long_text_is_cut_in_the_picture_and_whole_in_the_title():
    drawn = draw(program([leaf([], [2.0])], call("o" * 500, 0, dim=literal([64], [1.0] * 64))), NOWHERE)
    op = drawn.nodes[1]
    assert "o" * 500 in op.title
    assert all(len(text) <= 32 for _, text, _ in op.rows)
    assert drawn.width < 400


def test_every_drawing_keeps_inside_its_own_size():
    for finding in document(*several())["findings"]:
        drawn = draw(finding["program"], finding)
        for node in drawn.nodes:
            width, height = node.size
            assert width / 2 <= node.x <= drawn.width - width / 2
            assert height / 2 <= node.y <= drawn.height - height / 2


@st.composite
def graphs(draw):
    count = draw(st.integers(1, 12))
    sizes = [(20.0 + 90.0 * draw(st.booleans()), 20.0 + 40.0 * draw(st.booleans())) for _ in range(count)]
    pairs = st.tuples(st.integers(0, count - 1), st.integers(0, count - 1)).filter(
        lambda pair: pair[0] < pair[1]
    )
    return sizes, draw(st.lists(pairs, max_size=20)) if count > 1 else []


@settings(max_examples=150)
@given(graphs())
def test_a_layout_points_down_and_lets_no_nodes_overlap(graph):
    sizes, edges = graph
    plan = layout(sizes, edges)
    boxes = [
        (x - width / 2, y - height / 2, x + width / 2, y + height / 2)
        for (x, y), (width, height) in zip(plan.centres, sizes, strict=True)
    ]
    for left, top, right, bottom in boxes:
        assert left >= -1e-6
        assert top >= -1e-6
        assert right <= plan.width + 1e-6
        assert bottom <= plan.height + 1e-6
    for one, a in enumerate(boxes):
        for b in boxes[one + 1 :]:
            assert a[2] <= b[0] + 1e-6 or b[2] <= a[0] + 1e-6 or a[3] <= b[1] + 1e-6 or b[3] <= a[1] + 1e-6
    for (tail, head), route in zip(edges, plan.routes, strict=True):
        heights = [boxes[tail][3], *(y for _, y in route), boxes[head][1]]
        assert heights == sorted(heights)
        for x, y in route:
            assert not any(box[0] < x < box[2] and box[1] < y < box[3] for box in boxes)


def test_a_long_edge_does_not_pull_a_chain_apart():
    plan = layout([(10.0, 10.0)] * 4, [(0, 1), (1, 2), (2, 3), (0, 3)])
    assert [len(route) for route in plan.routes] == [0, 0, 0, 4]
    assert [y for _, y in plan.centres] == sorted({y for _, y in plan.centres})


def test_crossings_that_can_be_avoided_are():
    plan = layout([(10.0, 10.0)] * 4, [(0, 3), (1, 2)])
    (a, b), (c, d) = [plan.centres[0][0], plan.centres[1][0]], [plan.centres[3][0], plan.centres[2][0]]
    assert (a < b) == (c < d)


@pytest.mark.parametrize("edge", [(1, 0), (0, 0), (0, 2), (-1, 0)])
def test_an_edge_that_does_not_run_forwards_is_refused(edge):
    with pytest.raises(ValueError, match="expected 0 <= tail < head < 2 nodes"):
        layout([(1.0, 1.0)] * 2, [edge])
