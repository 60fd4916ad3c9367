"""The strategies that draw programs, and the profiles that say how they are distributed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from hypothesis import strategies as st

from oracle.catalogue import CATALOGUE, DRAWN
from oracle.catalogue.scene import WORDS
from oracle.program import Program
from oracle.script import ENDINGS, Script, end, step
from oracle.script.script import Pace


@dataclass(frozen=True, slots=True)
class Profile:
    """How programs are distributed.

    lengths: numbers of steps, each as likely as the others. statements: of 64 steps, those that are not ops.
    endings: the weights of the endings (a backward pass from one root; from several; twice; `grad`; second
    order; none). invalid: of 1000 programs, those that end with a statement that ought to raise. wild: of 64
    programs, those whose leaves may hold huge, tiny and non-finite numbers. dense: of 64 programs, those dense
    in statements that write, view, hook, and change modes and gradients; busy: of 64 of their steps, those that
    are not ops; wrong: of 1000 of their steps, those that ought to raise. ops: the ops to draw from, all if
    None.

    A restriction to some ops brings in no others: an operand that no live tensor can be is a new leaf. (Where
    second order needs a product, it is left out unless "mul" is among the ops.) No program is dense then.
    """

    name: str
    lengths: tuple[int, ...] = (
        1,
        2,
        3,
        4,
        5,
        6,
        7,
        8,
        9,
        9,
        10,
        10,
        11,
        11,
        12,
        12,
        13,
        14,
        15,
        16,
        17,
        18,
        19,
    )
    statements: int = 9
    endings: tuple[int, ...] = (6, 26, 6, 7, 16, 3)
    invalid: int = 25
    wild: int = 3
    dense: int = 0
    busy: int = 46
    wrong: int = 20
    ops: frozenset[str] | None = None

    def __post_init__(self) -> None:
        if len(self.endings) != len(ENDINGS):
            raise ValueError(f"{len(self.endings)} weights of endings given, expected {len(ENDINGS)}")

    def restricted(self, ops: Sequence[str] | None) -> Profile:
        """The same with these ops only, or with all for None. ValueError for an unknown name or none."""
        if ops is None:
            return replace(self, ops=None)
        for name in ops:
            if name not in DRAWN:
                where = "to draw by itself" if name in CATALOGUE else "in the catalogue"
                raise ValueError(f"no op {name!r} {where}, expected some of {', '.join(DRAWN)}")
        if not ops:
            raise ValueError("no ops given, expected at least one name")
        return replace(self, ops=frozenset(ops), dense=0)


PROFILES = {
    profile.name: profile
    for profile in (
        Profile("default", dense=6),
        Profile("smoke", lengths=(1, 2, 3, 4, 5, 6)),
        Profile("values", statements=2, endings=(20, 36, 0, 4, 2, 2), invalid=0, wild=16),
        Profile(
            "semantics",
            lengths=(2, 3, 4, 5, 6, 6, 7, 7, 8, 8, 9, 10),
            endings=(8, 8, 2, 2, 4, 40),
            wild=0,
            dense=64,
            wrong=140,
        ),
        Profile("second-order", lengths=(1, 2, 3, 4, 5, 6, 7, 8, 9, 10), endings=(4, 2, 2, 4, 50, 2)),
    )
}


def programs(profile: Profile = PROFILES["default"]) -> st.SearchStrategy[Program]:
    """Valid programs, apart from those that are to raise.

    A draw costs more than all that is decoded from it, so a program is one wide integer for its outline, one
    for each step and one for its ending. A zero decodes to no step, so that Hypothesis can drop any step.
    """
    return _programs(Plan(profile))


class Plan:
    """A profile as tables to choose from."""

    def __init__(self, profile: Profile) -> None:
        self.profile = profile
        self.specs = tuple(
            spec for name, spec in DRAWN.items() if profile.ops is None or name in profile.ops
        )
        self.endings = tuple(how for how, weight in enumerate(profile.endings) for _ in range(weight))

    def __repr__(self) -> str:  # Hypothesis prints it
        return f"<{self.profile.name}>"


_WORDS = st.integers(0, WORDS - 1)


def write(draw: st.DrawFn, plan: Plan) -> Script:
    """Draws a program; its script still knows the state of each tensor."""
    profile = plan.profile
    script = Script(draw(_WORDS), plan.specs, profile.lengths, profile.wild)
    dense = profile.dense and script.scene.take(64) >= 64 - profile.dense
    script.pace = Pace(profile.busy, profile.wrong, True) if dense else Pace(profile.statements)
    for _ in range(script.length):
        if word := draw(_WORDS):
            step(script, word)
    end(script, draw(_WORDS), plan.endings, profile.invalid)
    return script


@st.composite
def _programs(draw: st.DrawFn, plan: Plan) -> Program:
    return write(draw, plan).program()
