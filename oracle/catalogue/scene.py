"""The state a program is in while it is being drawn, and the choices an op's draw rule can make from it.

Everything is decoded from one wide number per step. It is mixed first, since Hypothesis prefers small
numbers; then `take(n)` peels off a number below n, evenly. Zero stays zero, and decodes to the simplest
choice everywhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import inf, prod
from typing import TYPE_CHECKING, Any

from oracle.catalogue.live import MAYBE, NO, YES, Drawn, Live, NewLeaf
from oracle.catalogue.params import FLOATS
from oracle.catalogue.values import ANY, POOL, Domain, hashed, pool

if TYPE_CHECKING:
    from oracle.catalogue.spec import OpSpec

__all__ = ["MAX_NUMEL", "MAYBE", "NO", "YES", "Drawn", "Live", "NewLeaf", "Scene", "broadcast", "promote"]

_BITS = 128
_HALF = _BITS // 2
_MASK = (1 << _BITS) - 1
WORDS = 1 << _BITS  # a step is decoded from a number below this
MAX_NUMEL = 100

RANK = {"bool": 0, "int64": 1, "float16": 2, "float32": 3, "float64": 4}
_BY_RANK = tuple(RANK)
_DTYPES = ("float64", "float32", "float64", "float16")
_NDIMS = (2, 1, 2, 3, 1, 2, 0, 3, 1, 2, 3, 1, 2, 2, 0, 4)
_SIZES = (
    (2, 3, 2, 3),
    (3, 2, 3, 1),
    (2, 3, 4, 1),
    (3, 3, 2, 2),
    (2, 4, 3, 3),
    (1, 3, 2, 2),
    (5, 2, 3, 1),
    (2, 2, 3, 1),
)


class Scene:
    """The live tensors, and the entropy of the current step."""

    __slots__ = (
        *("bits", "dtype", "floats", "focus", "inference", "leaves", "others", "recording"),
        *("sizes", "state", "wild", "word"),
    )

    def __init__(self, word: int, wild: int = 4) -> None:
        self.leaves: list[NewLeaf] = []
        self.floats: list[Live] = []  # live tensors of floating dtype, oldest first
        self.others: list[Live] = []  # int64 and bool ones
        self.bits = 0
        self.recording = True
        self.inference = False  # whether new tensors are inference tensors
        self.focus: Live | None = None  # what a step goes on with, if it fits
        self.feed(word)
        digit = self.take(32)
        self.dtype = "float64" if digit < 24 else "float32" if digit < 30 else "float16"
        self.sizes = _SIZES[self.take(8)]
        self.wild = self.take(64) >= 64 - wild  # whether large, tiny and non-finite values may appear

    # Entropy

    def feed(self, word: int) -> None:
        """Starts a step: what follows is decoded from this number."""
        word ^= word >> _HALF
        word = word * 0x9E3779B97F4A7C15F39CC0605CEDC835 & _MASK
        word ^= word >> _HALF
        word = word * 0xD1342543DE82EF95A4093822299F31D1 & _MASK
        self.word = self.state = word ^ word >> _HALF

    def take(self, n: int) -> int:
        """A number from 0 to n - 1."""
        wide = self.state * n
        self.state = wide & _MASK
        return wide >> _BITS

    # Choosing tensors

    def start(self, among: Sequence[Live]) -> int:
        """A position in a list: that of the focus, else half the time the newest unused one, else one of the
        last three, or any."""
        n = len(among)
        focus = self.focus
        if focus is not None:
            for i in range(n - 1, -1, -1):
                if among[i] is focus:
                    return i
        age = self.take(6 * n)
        if age < 3 * n:
            for i in range(n - 1, -1, -1):
                if not among[i].uses:
                    return i
            return n - 1
        return n - 1 - (age % 3 if age < 4 * n and n > 2 else age % n)

    def tensor(
        self, domain: Domain = ANY, low: int = 0, high: int = 9, some: bool = False, dtype: str | None = None
    ) -> Live:
        """A floating tensor of low to high dims, not empty if `some`: a live one that fits, or a new leaf.

        One outside the domain is taken once in four times when no other fits.
        """
        floats = self.floats
        n = len(floats)
        if n and self.take(8) < 4 + n:
            start = self.start(floats)
            least, most = domain.low, domain.high
            loose = None
            for k in range(n):
                t = floats[start - k]
                if low <= len(t.shape) <= high and (dtype is None or t.dtype == dtype):
                    if some and 0 in t.shape:
                        continue
                    if least <= t.low and t.high <= most:
                        return t
                    if loose is None:
                        loose = t
            if loose is not None and self.take(4) == 3:
                return loose
        return self.leaf(self.shape(low, high, some), domain, dtype)

    def mate(self, x: Live, shape: tuple[int, ...], domain: Domain = ANY, dtype: str | None = None) -> Live:
        """A second operand that broadcasts with `shape`: x again, a live one, or a new leaf."""
        digit = self.take(16)
        least, most = domain.low, domain.high
        if digit < 2 and least <= x.low and x.high <= most and (dtype is None or x.dtype == dtype):
            return x
        if digit < 9:
            floats = self.floats
            n = len(floats)
            start = self.start(floats) if n else 0
            for k in range(n):
                t = floats[start - k]
                if (
                    t is not x
                    and least <= t.low
                    and t.high <= most
                    and (dtype is None or t.dtype == dtype)
                    and (t.shape == shape or broadcast(shape, t.shape) is not None)
                ):
                    return t
        elif digit == 15 and dtype is None and not self.take(2):
            return self.indices(self.near(shape), 4)
        return self.leaf(self.near(shape), domain, dtype or (x.dtype if digit < 14 else None))

    def like(self, shape: tuple[int, ...], dtype: str, domain: Domain = ANY) -> Live:
        """A floating tensor of exactly this shape and dtype: a live one, or a new leaf."""
        floats = self.floats
        n = len(floats)
        if n and self.take(8) < 6:
            start = self.start(floats)
            least, most = domain.low, domain.high
            for k in range(n):
                t = floats[start - k]
                if t.shape == shape and t.dtype == dtype and least <= t.low and t.high <= most:
                    return t
        return self.leaf(shape, domain, dtype)

    # New leaves

    def leaf(
        self,
        shape: tuple[int, ...],
        domain: Domain = ANY,
        dtype: str | None = None,
        requires_grad: bool | None = None,
    ) -> Live:
        """A new leaf of floating dtype with values in the domain; `requires_grad`: None for mostly."""
        digit = self.take(2048)
        if dtype is None:
            dtype = self.dtype if digit & 15 < 14 else _DTYPES[digit >> 4 & 3]
        name = domain.pools[digit >> 6 & 7]
        digit >>= 9
        if self.wild and not digit & 1:
            name = "special" if digit & 2 else "wild"
        values, low, high = pool(name, dtype)
        count = prod(shape)
        data = [values[i & (POOL - 1)] for i in hashed(self.word, len(self.leaves), count)]
        live = Live(shape, dtype, low, high, True)
        layout = "contiguous"
        if shape and (how := self.take(16)) > 10:
            if how == 15:
                layout = "expanded"
                live.lapped = True
                data = data[: count // shape[0]] * shape[0] if count else data
            elif how > 12 and len(shape) > 1:
                layout = "transposed"
            else:
                layout = "strided"
            live.dense = False
        if self.take(8) < 7 if requires_grad is None else requires_grad:
            live.grad = YES
        return self._keep(live, layout, data, self.floats)

    def indices(self, shape: tuple[int, ...], size: int, negative: bool = False) -> Live:
        """A new int64 leaf with values from 0 (or -size) to size - 1."""
        span = 2 * size if negative else size
        hashes = hashed(self.word, len(self.leaves), prod(shape))
        data = [h % span - (size if negative and h else 0) for h in hashes]
        live = Live(shape, "int64", -size if negative else 0, size - 1, True)
        return self._keep(live, "contiguous", data, self.others)

    def mask(self, shape: tuple[int, ...]) -> Live:
        """A new bool leaf."""
        hashes = hashed(self.word, len(self.leaves), prod(shape))
        live = Live(shape, "bool", 0, 1, True)
        return self._keep(live, "contiguous", [h & 3 != 1 for h in hashes], self.others)

    def _keep(self, live: Live, layout: str, data: list[Any], among: list[Live]) -> Live:
        live.bit = 1 << self.bits
        self.bits += 1
        if live.grad:
            live.graph = live.bit
        self.leaves.append(NewLeaf(live, layout, data))
        among.append(live)
        return live

    # Choosing shapes

    def size(self) -> int:
        """A size from the few this program favours; seldom 1 or 0."""
        digit = self.take(64)
        if digit < 58:
            return self.sizes[digit & 3]
        return 1 if digit < 62 else 0

    def shape(self, low: int = 0, high: int = 9, some: bool = False) -> tuple[int, ...]:
        """A shape of low to high dims, without empty dims if `some`."""
        ndim = min(max(_NDIMS[self.take(16)], low), high)
        shape = tuple([self.size() for _ in range(ndim)])
        if some and 0 in shape:
            shape = tuple([size or 1 for size in shape])
        while prod(shape) > MAX_NUMEL:
            i = shape.index(max(shape))
            shape = (*shape[:i], 1, *shape[i + 1 :])
        return shape

    def near(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """A shape that broadcasts with this one: the same, fewer dims, a dim of 1, or one dim more."""
        how = self.take(8)
        n = len(shape)
        if how < 4:
            return shape
        if how == 4:
            return ()
        if how == 5 or not n:
            if n and prod(shape) > 24:
                return shape
            return (self.sizes[self.take(4)], *shape)
        at = self.take(n)
        return shape[at + 1 :] if how == 6 else (*shape[:at], 1, *shape[at + 1 :])

    def dim(self, n: int) -> int:
        """A dim of a tensor with n dims, counted from the front or from the back."""
        n = n or 1
        d = self.take(2 * n)
        return d if d < n else d - 2 * n

    # Recording

    def add(self, spec: OpSpec, inputs: Sequence[Live], outputs: Sequence[Live]) -> None:
        """Makes the outputs of a call live."""
        grad = graph = 0
        guessed = stepped = False
        for t in inputs:
            t.uses += 1
            if t.grad:
                guessed |= t.guessed
                stepped |= t.stepped
                graph |= t.graph
                if t.grad > grad:
                    grad = t.grad
        if spec.gradient == "cut":
            grad = 0
        recording, inference, name = self.recording, self.inference, spec.name
        for out in outputs:
            bit = out.bit = 1 << self.bits
            self.bits += 1
            if out.alias is not None:
                out.alias.viewed = True
                out.tracked = recording
            out.link = name
            if inference:
                out.inference = out.alias is None or out.alias.inference
            elif out.alias is not None and out.alias.inference:  # a view of one is one
                out.inference = True
            if not out.low <= out.high:  # inf - inf
                out.low, out.high = -inf, inf
            if out.dtype in FLOATS:
                if not recording:
                    if grad and out.alias is not None:
                        # requires grad as its base does, cut off from the graph, or is the base itself
                        out.grad, out.graph, out.guessed = MAYBE, graph | bit, True
                elif grad:
                    out.grad = grad
                    out.graph = graph | bit
                    out.leaf = False
                    out.spec = spec
                    out.parents = inputs
                    out.guessed = guessed
                    out.stepped |= stepped
                self.floats.append(out)
            else:
                self.others.append(out)


def broadcast(a: tuple[int, ...], b: tuple[int, ...]) -> tuple[int, ...] | None:
    """The shape two shapes broadcast to, or None if they do not, or to something large."""
    if a == b:
        return a
    if len(a) < len(b):
        a, b = b, a
    if not b:
        return a
    out = list(a)
    for i in range(-len(b), 0):
        m, n = out[i], b[i]
        if m != n:
            if m == 1:
                out[i] = n
            elif n != 1:
                return None
    return tuple(out) if prod(out) <= MAX_NUMEL else None


def promote(a: Live, *rest: Live) -> str:
    """The dtype of the result: a tensor without dims counts only if its kind (bool, int, float) is higher."""
    if all(b.dtype == a.dtype for b in rest):
        return a.dtype
    ranks = [-1, -1]
    for t in (a, *rest):
        place = 1 if t.shape else 0
        ranks[place] = max(ranks[place], RANK[t.dtype])
    bare, sized = ranks
    return _BY_RANK[sized if min(sized, 2) >= min(bare, 2) else max(ranks)]
