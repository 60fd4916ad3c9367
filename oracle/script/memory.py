"""Which tensors share memory, and what a write to it changes for the others."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from oracle.catalogue.scene import MAYBE, NO, YES, Live
from oracle.plan import COMPOSITE, LAYOUT
from oracle.script.script import Script

APART = frozenset({"detach", "data", "parameter", "set_"})
"""Links to what shares memory with a tensor, but is no view of it in the graph."""

COUNTED = frozenset({"data", "set_"})
"""Links to what counts its writes by itself."""

MULTIPLE = frozenset({"split", "chunk", "unbind", "tensor_split", "iter", "custom_viewing", "custom_returned_as_is"})
"""Links to views that torch lets nobody write: one of several outputs, or made by a custom function."""

SAVE_RESULT = frozenset(
    {
        *("exp", "exp2", "expm1", "sqrt", "rsqrt", "reciprocal", "sigmoid", "tanh", "tan", "relu"),
        *("softmax", "log_softmax", "custom_saved_output"),
    }
)
"""Ops that save nothing but their result."""

SAVE_ALL = frozenset({"maximum", "minimum", "gather", "take_along_dim", "index_add"})
"""Ops that save inputs although their derivative is constant."""

CERTAIN = frozenset(
    {
        *("neg", "add", "sub", "add_operator", "sub_operator", "mul", "sin", "cos", "exp", "tanh", "sigmoid"),
        *("sum", "clone", "reshape", "view", "unsqueeze", "select", "detach", "t", "transpose"),
        *("custom_saved_input", "custom_saved_output", "custom_two_inputs", "custom_kept_on_context"),
    }
)
"""Ops that save what torch saves in any engine: what is done to saved tensors behind its back shows alike."""


def chain(t: Live) -> Iterator[Live]:
    """The tensor, what it is a view or alias of, and so on."""
    while True:
        yield t
        if t.alias is None:
            return
        t = t.alias


def home(t: Live) -> Live:
    """The tensor whose memory it is."""
    while t.alias is not None:
        t = t.alias
    return t


def base(t: Live) -> Live:
    """What it is a view of, in the end; itself if it is no view."""
    while t.alias is not None and t.link not in APART:
        t = t.alias
    return t


def counter(t: Live) -> Live:
    """The tensor with which it counts writes."""
    while t.alias is not None and t.link not in COUNTED:
        t = t.alias
    return t


def family(script: Script, t: Live) -> list[Live]:
    """The tensors that may share its memory."""
    where = home(t)
    return [m for m in script.scene.floats if home(m) is where]


def restricted(t: Live) -> bool:
    """Whether torch refuses writes to it while recording, since of how the view was made."""
    while t.alias is not None and t.link not in APART:
        if t.link in MULTIPLE or not t.tracked:
            return True
        t = t.alias
    return False


def unclear(t: Live) -> bool:
    """Whether it is an engine's own business, or undefined, what a write to it changes."""
    for m in chain(t):
        if m.lapped or m.link in COMPOSITE or m.link == "grad":
            return True
        if m.alias is not None and m.link in LAYOUT and not (m.link in ("reshape", "flatten") and m.alias.dense):
            return True
    return False


def clash(a: Live, b: Live) -> str:
    """Whether a write to a is well defined while b is read: "no" if they share no memory, "same" if they lie
    alike, "refused" if both are dense, so that torch refuses a partial overlap, else "undefined"."""
    if home(a) is not home(b):
        return "no"
    if _place(a) is _place(b):
        return "same"
    if a.alias is b.alias and a.link == b.link and a.link in MULTIPLE and a.parents is b.parents:
        return "no"
    return "refused" if a.dense and b.dense and not (a.lapped or b.lapped) else "undefined"


def _place(t: Live) -> Live:
    """The first in its chain that lies in memory as it does."""
    while t.alias is not None and t.link in ("detach", "data", "parameter", "positive", "real", "conj", "cpu"):
        t = t.alias
    return t


def saved(t: Live) -> tuple[Live, ...]:
    """What the node that made it may have saved: tensors that must not be written."""
    spec = t.spec
    if spec is None or spec.gradient in ("zero", "cut"):
        return ()
    if spec.name in SAVE_RESULT:
        return (t,)
    if spec.gradient == "none" and spec.name not in SAVE_ALL:
        return ()
    if spec.gradient == "others":
        parents = t.parents
        return tuple([p for i, p in enumerate(parents) if any(o.grad for j, o in enumerate(parents) if j != i)])
    if spec.gradient == "self":
        return tuple(t.parents)
    return (*t.parents, t)


def keepers(script: Script, t: Live) -> Iterator[tuple[int, tuple[Live, ...], str]]:
    """The nodes that saved something in the tensor's memory: bit, what they saved, name of the op."""
    where = home(t)
    for u in script.scene.floats:
        if u.spec is not None and (found := tuple([s for s in saved(u) if home(s) is where])):
            yield u.bit, found, u.spec.name
    for bit, kept in script.kept:
        if found := tuple([s for s in kept if home(s) is where]):
            yield bit, found, ""


def spoil(script: Script, t: Live) -> None:
    """Notes the nodes that saved the memory of a tensor that is written, so that their backward raises."""
    if any(span.mode == "allow_mutation" for span in script.spans):
        return
    counted = counter(t)
    for bit, found, _ in keepers(script, t):
        if any(counter(s) is counted for s in found):
            script.spoiled |= bit


def hidden(script: Script, t: Live) -> bool:
    """Whether a write through it would go unnoticed by nodes that engines may let save different tensors."""
    counted = counter(t)
    return any(
        name not in CERTAIN and any(counter(s) is not counted for s in found)
        for _, found, name in keepers(script, t)
    )


def told(script: Script, t: Live) -> bool:
    """Whether it shows in a derivative of a gradient, once t requires no grad, what an op has saved: t or another
    tensor with its numbers, which is an engine's own business."""
    return any(name not in CERTAIN for _, _, name in keepers(script, t))


def wrote(script: Script, t: Live, operands: Iterable[Live], keeps: tuple[Live, ...], cut: bool = False) -> None:
    """Notes a write to t: what it spoils, and the nodes that t and its relatives have from now on.

    keeps: what the node of the write saves; cut: the op is not differentiable.
    """
    scene = script.scene
    spoil(script, t)
    source = [o for o in operands if o.grad]
    recorded = scene.recording and not cut and (t.grad or source)
    root = base(t)
    members = [m for m in scene.floats if base(m) is root]
    if recorded:
        keep(script, root)
        root.grad = YES if root.grad == YES or any(o.grad == YES for o in source) else MAYBE
        root.leaf = False
        root.graph |= root.bit
        for o in source:
            root.graph |= o.graph
            root.guessed |= o.guessed
        root.guessed |= root.grad == MAYBE
        root.bit = 1 << scene.bits
        root.graph |= root.bit
        scene.bits += 1
        if keeps:
            script.kept.append((root.bit, keeps))
    if not root.grad:
        for m in members:
            m.stale = m is not root and restricted(m)
        return
    for m in members:
        if m is root or base(m) is not root:
            continue
        if restricted(m):
            m.stale = True
            m.grad = MAYBE
            continue
        keep(script, m)
        m.grad, m.leaf, m.guessed = root.grad, root.grad == YES and root.leaf and not recorded, root.guessed
        m.bit = 1 << scene.bits
        m.graph = root.graph | m.bit
        scene.bits += 1


def keep(script: Script, t: Live) -> None:
    """Remembers what the node of a tensor saved, before it gets another one."""
    if t.spec is not None:
        if kept := saved(t):
            script.kept.append((t.bit, kept))
        t.spec = None
        t.parents = ()


def widen(script: Script, t: Live, low: float, high: float, whole: bool) -> None:
    """Notes the range of the numbers written to t, and that its relatives may show them."""
    if not low <= high:
        low, high = float("-inf"), float("inf")
    for m in family(script, t):
        if m is not t or not whole:
            m.low, m.high = min(m.low, low), max(m.high, high)
    if whole:
        t.low, t.high = low, high


def settle(script: Script, t: Live) -> None:
    """Gives t other memory: what shared its old memory shares it with a stand-in from now on."""
    stand_in = Live(t.shape, t.dtype, t.low, t.high, t.dense, t.alias)
    stand_in.link, stand_in.tracked, stand_in.grad = t.link, t.tracked, NO
    for m in script.scene.floats:
        if m.alias is t:
            m.alias = stand_in
