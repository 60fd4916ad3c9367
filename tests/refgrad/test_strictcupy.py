"""The stand-in for CuPy refuses what it must, and follows the real package's names and keywords."""

import copy
import inspect
import operator
import pickle
import weakref

import cupy
import cupyx.scipy.special
import numpy as np
import pytest
import scipy.special

from tests import strictcupy as cp
from tests.strictcupy import _functions, _real, cupyx
from tests.strictcupy import cupyx_scipy_special as special

HOST = np.arange(6.0).reshape(2, 3)
BINARY = [
    operator.add, operator.sub, operator.mul, operator.truediv, operator.floordiv, operator.mod, operator.pow,
    operator.lt, operator.le, operator.eq, operator.ne, operator.gt, operator.ge,
]


@pytest.fixture
def x() -> cp.ndarray:
    return cp.asarray(HOST)


def same(got: object, expected: object) -> None:
    """A device array with the values, shape and dtype of a host one; sequences by element."""
    if isinstance(expected, (tuple, list)) and isinstance(expected[0], (np.ndarray, np.generic)):
        assert isinstance(got, (tuple, list)) and len(got) == len(expected)
        for g, e in zip(got, expected, strict=True):
            same(g, e)
        return
    assert type(got) is cp.ndarray
    expected = np.asarray(expected)
    assert (got.shape, got.dtype) == (expected.shape, expected.dtype)
    np.testing.assert_array_equal(got.get(), expected)


def test_it_says_what_it_is() -> None:
    assert "never counts as a run on CUDA" in " ".join(cp.__doc__.split())
    assert cp.ndarray is not cupy.ndarray and not issubclass(cp.ndarray, np.ndarray)


# Host and device do not mix


@pytest.mark.parametrize(
    "convert",
    [
        np.asarray,
        np.array,
        np.float64,
        lambda a: np.array([a, a]),
        lambda a: np.zeros((2, 3)).__setitem__(..., a),
    ],
    ids=["asarray", "array", "float64", "nested", "setitem"],
)
def test_no_implicit_way_out(x: cp.ndarray, convert: object) -> None:
    with pytest.raises(TypeError, match="Implicit conversion"):
        convert(x)


def test_numpy_functions_refuse(x: cp.ndarray) -> None:
    for call in (lambda: np.add(x, 1), lambda: np.exp(x), lambda: np.add.reduce(x)):
        with pytest.raises(TypeError):
            call()
    for call in (lambda: np.sum(x), lambda: np.concatenate([x, x]), lambda: np.where(x, 1, 2)):
        with pytest.raises(TypeError, match="given a device array"):
            call()


@pytest.mark.parametrize("op", [*BINARY, operator.matmul], ids=lambda op: op.__name__)
def test_operators_refuse_host_arrays(x: cp.ndarray, op: object) -> None:
    for pair in ((x, HOST), (HOST, x), (x, np.array(1.0)), (x, [1.0, 2.0, 3.0])):
        with pytest.raises(TypeError, match="Unsupported type|takes arrays|matmul"):
            op(*pair)


def test_in_place_operators_refuse_host_arrays(x: cp.ndarray) -> None:
    with pytest.raises(TypeError, match="Unsupported type <class 'numpy.ndarray'>"):
        x += HOST
    host = HOST.copy()
    with pytest.raises(TypeError, match="does not support ufuncs"):
        host += x
    same(x, host)


@pytest.mark.parametrize(
    "call",
    [
        lambda x: cp.sum(HOST),
        lambda x: cp.concatenate([x, HOST]),
        lambda x: cp.where(x > 1, x, HOST),
        lambda x: cp.exp(HOST),
        lambda x: cp.maximum(x, HOST),
        lambda x: cp.clip(x, HOST, None),
        lambda x: cp.pad(x, 1, constant_values=np.array(1.0)),
        lambda x: cp.copyto(x, HOST),
        lambda x: cp.linalg.solve(x @ x.T, HOST),
        lambda x: special.erf(HOST),
        lambda x: x.fill(np.array(1.0)),
        lambda x: x.take(np.array([0])),
        lambda x: cp.sum([1.0, 2.0]),
        lambda x: cp.sum(1.0),
        lambda x: cp.dot(x, [1.0, 2.0, 3.0]),
        lambda x: cp.concatenate([x, [1.0]]),
    ],
)
def test_functions_refuse_host_arrays_and_lists(x: cp.ndarray, call: object) -> None:
    with pytest.raises(TypeError, match="Unsupported type|takes arrays"):
        call(x)
    same(x, HOST)


def test_the_explicit_ways_in_and_out(x: cp.ndarray) -> None:
    host = HOST.copy()
    sent = cp.asarray(host)
    host[0, 0] = 9
    same(sent, HOST)
    for back in (x.get(), cp.asnumpy(x)):
        assert type(back) is np.ndarray
        back[0, 0] = 9
    same(x, HOST)
    assert x.get(order="F").flags.f_contiguous
    assert type(x.sum().get()) is np.ndarray
    assert x[1, 2].item() == 5.0 == float(x[1, 2]) and int(x[1, 2]) == 5 and bool(x[1, 2])
    assert x.tolist() == HOST.tolist() and repr(x) == repr(HOST) and f"{x[1, 2]:.1f}" == "5.0"
    x.set(-HOST)
    same(x, -HOST)
    same(cp.array([x[0], x[1]]), -HOST)
    same(cp.asarray([[1, 2], [3, 4]]), [[1, 2], [3, 4]])
    with pytest.raises(TypeError):
        cp.asarray([x[0], [1.0, 2.0, 3.0]])


def test_numpy_scalars_are_operands(x: cp.ndarray) -> None:
    for op in BINARY:
        for number in (2, 2.5, True, np.float64(2.5), np.int8(2)):
            same(op(x + 1, number), op(HOST + 1, number))
            same(op(number, x + 1), op(number, HOST + 1))


def test_unknown_objects_are_refused_unless_they_ask(x: cp.ndarray) -> None:
    class Stranger:
        pass

    class Tensor:
        __array_ufunc__ = None

        def __radd__(self, other: object) -> str:
            return "mine"

    with pytest.raises(TypeError, match="Unsupported type"):
        x + Stranger()
    assert x + Tensor() == "mine"
    assert not (x == None).any() and (x != None).all()  # noqa: E711
    with pytest.raises(TypeError, match="Unsupported type"):
        x == "text"  # noqa: B015


def test_python_protocols(x: cp.ndarray) -> None:
    assert len(x) == 2
    same(list(x), list(HOST))
    for call in (len, iter):
        with pytest.raises(TypeError):
            call(x[0, 0])
    with pytest.raises(TypeError):
        [1, 2][cp.asarray(1)]  # no __index__ in CuPy
    with pytest.raises(TypeError, match="unhashable"):
        hash(x)
    with pytest.raises(ValueError, match="ambiguous"):
        bool(x)
    with pytest.warns(DeprecationWarning):
        assert not cp.zeros(0)
    with pytest.raises(ValueError, match="size 1"):
        x.item()
    assert weakref.ref(x)() is x
    for made in (copy.copy(x), copy.deepcopy(x), pickle.loads(pickle.dumps(x))):
        same(made, HOST)
        assert not cp.shares_memory(made, x)


# Devices


def test_current_device() -> None:
    assert cp.cuda.runtime.getDeviceCount() == 2 and cp.cuda.is_available() and cp.is_available()
    assert cp.cuda.Device().id == cp.zeros(1).device.id == 0
    with cp.cuda.Device(1) as outer:
        assert outer.id == cp.cuda.Device().id == cp.zeros(1).device.id == cp.asarray(HOST).device.id == 1
        with cp.cuda.Device(0):
            assert cp.arange(3).device == cp.cuda.Device(0)
        assert cp.cuda.runtime.getDevice() == 1
    assert cp.cuda.Device().id == 0
    try:
        assert cp.cuda.Device(1).use().id == cp.cuda.Device().id == 1
    finally:
        cp.cuda.Device(0).use()
    with pytest.raises(cp.cuda.runtime.CUDARuntimeError), cp.cuda.Device(2):
        pass


@pytest.mark.parametrize(
    "call",
    [
        lambda a, b: a + b,
        lambda a, b: b + a,
        lambda a, b: b + b,
        lambda a, b: b.sum(),
        lambda a, b: cp.exp(b),
        lambda a, b: a.__iadd__(b),
        lambda a, b: b.__iadd__(1),
        lambda a, b: b.fill(0),
        lambda a, b: b.astype(cp.float32),
        lambda a, b: a.__setitem__(0, b[0]),
        lambda a, b: b.__setitem__(0, 1.0),
        lambda a, b: a[b],
        lambda a, b: b[[0]],
        lambda a, b: cp.concatenate([a, b]),
        lambda a, b: cp.einsum("ij,ij->", a, b),
        lambda a, b: cp.add(a, a, out=b),
        lambda a, b: cp.reshape(b.T, -1),
    ],
)
def test_arrays_elsewhere_are_refused(x: cp.ndarray, call: object) -> None:
    with cp.cuda.Device(1):
        away = cp.asarray(HOST)
    with pytest.raises(ValueError, match="different from the current device"):
        call(x, away)
    same(x, HOST)
    same(away, HOST)


def test_what_works_from_another_device(x: cp.ndarray) -> None:
    with cp.cuda.Device(1):
        views = [x.T, x[0], x.reshape(3, 2), cp.transpose(x), cp.broadcast_to(x, (2, 2, 3)), x.view()]
        assert {v.device.id for v in views} == {0}
        moved = [x.copy(), cp.asarray(x), cp.array(x), cp.asarray(x.T.copy(order="C"))]
        assert {m.device.id for m in moved} == {1} and not any(cp.shares_memory(m, x) for m in moved)
        np.testing.assert_array_equal(x.get(), HOST)
        assert cp.zeros_like(x).device.id == 1
        assert copy.deepcopy(x).device.id == 0
        same(x[:, ::2].copy(), HOST[:, ::2])
        for order_kept in (lambda: cp.array(x[:, ::2]), lambda: cp.asarray(x[:, ::2])):
            with pytest.raises(NotImplementedError, match="non-contiguous array between devices"):
                order_kept()


# Names and keywords of the real package


def test_names_that_only_numpy_has_are_missing() -> None:
    missing = [n for n in dir(np) if n[0] != "_" and not hasattr(cupy, n)]
    assert {"errstate", "block", "insert", "vecdot", "spacing"} <= set(missing)
    for name in missing:
        with pytest.raises(AttributeError, match=f"real cupy .* has no '{name}'"):
            getattr(cp, name)
    for mine, real, name in (
        (cp.linalg, cupy.linalg, "multi_dot"),
        (cp.fft, cupy.fft, "nothing"),
        (special, _real.special, "owens_t"),
        (cp.cuda, cupy.cuda, "nothing"),
        (cp.cuda.runtime, cupy.cuda.runtime, "nothing"),
        (cupyx, None, "scatter_mul"),
    ):
        assert not hasattr(real, name)
        with pytest.raises(AttributeError, match="has no"):
            getattr(mine, name)


def test_methods_are_those_of_the_real_class(x: cp.ndarray) -> None:
    own = {"_host", "_device", "_base", "__weakref__", "__getattr__", "__annotations__"}
    assert set(dir(cp.ndarray)) - set(dir(object)) - own <= set(dir(cupy.ndarray))
    assert not hasattr(cp.ndarray, "__imatmul__") and not hasattr(cp.ndarray, "__index__")
    for name in set(dir(np.ndarray)) - set(dir(cupy.ndarray)):
        assert not hasattr(cp.ndarray, name)
    with pytest.raises(AttributeError, match="has no 'resize'"):
        x.resize((3, 2))
    with pytest.raises(AttributeError):
        x.note = 1


def test_what_exists_but_is_not_stood_in_for_is_loud(x: cp.ndarray) -> None:
    for get in (lambda: cp.random, lambda: cp.RawKernel, lambda: x.toDlpack, lambda: cp.cuda.Stream,
                lambda: cupyx.scipy, lambda: special.sph_harm, lambda: cp.add.reduceat):
        with pytest.raises(NotImplementedError, match="does not stand in"):
            get()


def plain_functions() -> list[str]:
    """Names of functions in both packages whose real signature shows every keyword."""
    found = []
    for name in dir(cupy):
        real = getattr(cupy, name)
        if name[0] != "_" and inspect.isfunction(real) and inspect.isroutine(getattr(np, name, None)):
            kinds = {p.kind for p in inspect.signature(real).parameters.values()}
            if inspect.Parameter.VAR_KEYWORD not in kinds:
                found.append(name)
    return found


def test_functions_take_only_real_keywords(x: cp.ndarray) -> None:
    names = plain_functions()
    assert len(names) > 150
    for name in names:
        real = inspect.signature(getattr(cupy, name)).parameters
        positional = [p for p in real.values() if p.kind in (p.POSITIONAL_OR_KEYWORD, p.POSITIONAL_ONLY)]
        required = [x for p in positional if p.default is p.empty]
        for keyword in {"where", "initial", "like", "keywords"} - set(real):
            with pytest.raises(TypeError, match=keyword):
                getattr(cp, name)(*required, **{keyword: True})


@pytest.mark.parametrize(
    "call",
    [
        lambda x: cp.sum(x, where=True),
        lambda x: x.sum(initial=0),
        lambda x: cp.take(x, 0, mode="clip"),
        lambda x: x.take(0, mode="clip"),
        lambda x: cp.einsum("ij->", x, out=x),
        lambda x: cp.sort(x, order=None),
        lambda x: cp.linalg.cholesky(x, upper=True),
        lambda x: cp.exp(x, where=x > 0),
        lambda x: cp.add(x, x, subok=False),
        lambda x: special.erf(x, order="C"),
        lambda x: x.astype(cp.float32, casting="safe"),
        lambda x: x.item(0),
        lambda x: x.std(correction=1),
    ],
)
def test_keywords_of_numpy_alone_are_refused(x: cp.ndarray, call: object) -> None:
    with pytest.raises(TypeError):
        call(x)


def test_what_is_written_by_hand_has_the_real_signature() -> None:
    by_hand = {n[1:-8]: f for n, f in vars(_functions).items() if n.endswith("_as_cupy")}
    assert "asarray" in by_hand and "take" in by_hand
    pairs = [(f, getattr(cupy, n)) for n, f in by_hand.items()]
    methods = {n: f for n, f in vars(cp.ndarray).items() if n[0] != "_" and inspect.isfunction(f)}
    direct = [n for n, f in methods.items() if "args" not in inspect.signature(f).parameters]
    pairs += [(methods[n], getattr(cupy.ndarray, n)) for n in direct]
    scatters = ("scatter_add", "scatter_max", "scatter_min")
    pairs += [(getattr(cupyx, n), getattr(_real.extras, n)) for n in scatters]
    pairs += [(special.polygamma, _real.special.polygamma)]
    assert len(pairs) > 35
    for mine, real in pairs:
        ours, theirs = (
            [(p.name, p.default) for p in _real.signature(f).parameters.values()] for f in (mine, real)
        )
        assert ours == theirs, (real, ours, theirs)


def test_sort_is_always_stable(x: cp.ndarray) -> None:
    same(cp.sort(-x, kind="stable"), np.sort(-HOST))
    turns = np.arange(500) % 3
    same(cp.argsort(cp.asarray(turns)), np.argsort(turns, kind="stable"))
    for call in (lambda: cp.sort(x, kind="quicksort"), lambda: cp.argsort(x, 0, "heapsort"),
                 lambda: x.sort(kind="mergesort"), lambda: x.argsort(kind="quicksort")):
        with pytest.raises(ValueError, match="'stable'"):
            call()
    flipped = -x
    assert flipped.sort() is None
    same(flipped, np.sort(-HOST))


# Ufuncs


def test_ufuncs_have_the_real_loops(x: cp.ndarray) -> None:
    assert cp.exp.types == cupy.exp.types and (cp.divmod.nin, cp.divmod.nout) == (2, 2)
    half, flags, number = x.astype("e"), x > 2, x.astype("F")
    assert special.erf(half).dtype == special.expit(half).dtype == cp.float64
    assert special.gammaln(x > 2).dtype == cp.float64
    assert cp.true_divide(flags, flags).dtype == cp.float64
    with pytest.raises(TypeError, match="cupy boolean subtract"):
        flags - flags
    for call in (
        lambda: -flags,
        lambda: cp.logical_not(number),
        lambda: cp.floor_divide(number, number),
        lambda: special.erf(number),
        lambda: x & x,
    ):
        with pytest.raises(TypeError):
            call()


def test_promotion_is_nep_50() -> None:
    single, byte = cp.ones(2, "f4"), cp.ones((), "i1")
    assert (single * 2.5).dtype == (2 * single).dtype == (single + cp.asarray(2, "i1")).dtype == cp.float32
    assert (single * np.float64(2.5)).dtype == (single + cp.ones((), "d")).dtype == cp.float64
    assert (byte + 1).dtype == cp.int8
    assert (byte + 1.0).dtype == cp.float64 and (byte + 1j).dtype == cp.complex128
    assert (single + 1j).dtype == cp.complex64 and cp.where(single > 0, single, 1.0).dtype == cp.float32
    with pytest.raises(OverflowError):
        byte + 300


def test_ufunc_out_dtype_and_casting(x: cp.ndarray) -> None:
    out = cp.empty((2, 3), "f4")
    assert cp.add(x, x, out=out) is out and cp.add(x, x, out) is out
    same(out, (HOST + HOST).astype("f4"))
    assert cp.add(x, x, dtype="f4").dtype == cp.float32
    whole, rest = cp.empty((2, 3)), cp.empty((2, 3))
    assert cp.divmod(x, 2, out=(whole, rest))[1] is rest
    same(whole, HOST // 2)
    for bad in (
        lambda: cp.add(x, x, out=cp.empty((2, 3), "i4")),
        lambda: cp.ones(2, "i4").__iadd__(0.5),
        lambda: cp.add(x, x, out=HOST),
        lambda: cp.add(x),
    ):
        with pytest.raises(TypeError):
            bad()
    for bad in (lambda: cp.add(x, x, out=cp.empty(3)), lambda: cp.add(x, x, out, out=out)):
        with pytest.raises(ValueError):
            bad()


def test_ufunc_methods(x: cp.ndarray) -> None:
    same(cp.add.reduce(x), HOST.sum(0))
    same(cp.multiply.accumulate(x, 1), HOST.cumprod(1))
    same(cp.subtract.outer(x[0], x[1]), np.subtract.outer(HOST[0], HOST[1]))
    for missing in (
        lambda: cp.maximum.reduce(x),
        lambda: cp.subtract.accumulate(x),
        lambda: cp.multiply.at(x, 0, 1),
    ):
        with pytest.raises(NotImplementedError):
            missing()
    with pytest.raises(AttributeError):
        cp.add.identity  # noqa: B018


def test_a_gpu_warns_of_nothing() -> None:
    zero = cp.zeros(2)
    nan = cp.asarray([np.nan])
    for made in (1 / zero, zero / zero, cp.log(-1 - zero), nan.astype("i4"), cp.zeros(0).mean()):
        assert isinstance(made, cp.ndarray)


def test_power_takes_cupys_short_cuts(x: cp.ndarray) -> None:
    same(x**2, HOST**2)
    same((x + 1) ** -1.0, 1 / (HOST + 1))
    same(x**0.5, np.sqrt(HOST))
    assert ((x > 2) ** 2).dtype == cupy.result_type(bool, 2) == cp.int64
    assert (x.astype("i4") ** 2.0).dtype == cp.float64


# Aliasing and 0-dim arrays


def test_views_alias_and_know_their_base(x: cp.ndarray) -> None:
    column = cp.asarray(HOST)[:, :1]
    assert column.squeeze().base is column.base
    views = [x[0], x[..., None], x[:, ::-1], x.T, x.reshape(-1), x.ravel(), x.view(), x.transpose(1, 0),
             x.swapaxes(0, 1), cp.expand_dims(x, 0), cp.broadcast_to(x, (2, 2, 3)), x.diagonal(),
             cp.split(x, 2)[1], cp.flip(x, 0), x[0][1:]]
    for v in views:
        assert v.base is x and not v.flags.owndata and cp.shares_memory(v, x)
    assert x.base is None and x.flags.owndata
    assert views[0].data.ptr == x.data.ptr == x[1].data.ptr - 24
    x[0, 0] = 7
    assert float(x.diagonal()[0]) == float(x.T[0, 0]) == 7
    x.diagonal()[...] = 0
    assert float(x[1, 1]) == 0
    by_index = [x[cp.asarray([0])], x[cp.asarray(0)], x[x > 9]]
    for made in (*by_index, x.copy(), x.flatten(), +x, x.T.reshape(-1), cp.diag(x)):
        assert made.base is None and not cp.shares_memory(made, x)


def test_the_same_object_where_cupy_returns_it(x: cp.ndarray) -> None:
    assert cp.asarray(x) is x and x.astype(float, copy=False) is x and cp.ascontiguousarray(x) is x
    assert x.squeeze() is x and x[0].T.base is x and cp.ones(2).T.base is None
    assert x.real is x and x.conj() is x and cp.real(x) is x and cp.conj(x) is not x
    out = cp.empty(3)
    assert cp.sum(x, 0, out=out) is out and x.max(0, out) is out


def test_elements_are_views(x: cp.ndarray) -> None:
    element = x[1, 2]
    assert type(element) is cp.ndarray and element.shape == () and element.base is x
    element += 10
    element[...] *= 2
    assert float(x[1, 2]) == 30
    for row in x:
        row *= 0
    same(x, HOST * 0)


def test_results_without_dimensions_are_arrays(x: cp.ndarray) -> None:
    zero_dim = cp.asarray(2.0)
    reduced = [x.sum(), x.max(), x.argmax(), x.any(), x.mean(), x.std(), cp.trace(x), cp.linalg.norm(x)]
    counted = [cp.allclose(x, x), cp.array_equal(x, x), cp.count_nonzero(x)]
    products = [x[0] @ x[0], cp.dot(x[0], x[0]), cp.einsum("ij->", x)]
    elementwise = [zero_dim + 1, 1 - zero_dim, -zero_dim, zero_dim > 1, cp.exp(zero_dim)]
    others = [
        cp.where(zero_dim > 1, zero_dim, 0.0), cp.divmod(zero_dim, 2)[0], x[0].take(1), zero_dim[()],
        special.erf(zero_dim),
    ]
    for m in (*reduced, *counted, *products, *elementwise, *others):
        assert type(m) is cp.ndarray and m.shape == ()
    assert cp.ndim(x) == 2 and cp.size(x) == 6 and cp.shape(x) == (2, 3)
    assert cp.result_type(x, np.float32) == np.float64 and cp.shares_memory(x, x) is True


def test_in_place_operators_keep_the_object(x: cp.ndarray) -> None:
    kept, window = x, x[0]
    x += 1
    x *= x
    x[0] -= 1
    assert x is kept and window.base is x
    same(window, (HOST[0] + 1) ** 2 - 1)
    square = kept[:, :2]
    before = square
    square @= square
    assert square is not before  # CuPy has no __imatmul__: this rebinds
    same(kept[:, :2], before.get())


def test_overlapping_operands(x: cp.ndarray) -> None:
    flat = x.ravel()
    flat[1:] += flat[:-1]
    same(flat, [0.0, 1, 3, 5, 7, 9])


def test_attributes(x: cp.ndarray) -> None:
    for name in ("dtype", "shape", "ndim", "size", "strides", "itemsize", "nbytes"):
        assert getattr(x.T, name) == getattr(HOST.T, name)
    assert x.T.flags.f_contiguous and not x.T.flags["C_CONTIGUOUS"]
    same(x.mT, HOST.mT)
    x.shape = (3, 2)
    same(x, HOST.reshape(3, 2))
    with pytest.raises(AttributeError, match="incompatible shape"):
        x.T.shape = (6,)
    z = cp.zeros(2, "D")
    z.imag = 2
    z.real[...] = cp.ones(2)
    same(z, np.array([1 + 2j, 1 + 2j]))
    same(x.imag, np.zeros((3, 2)))
    same(x.view("i8"), HOST.reshape(3, 2).view("i8"))


def test_broadcast_views_are_not_written(x: cp.ndarray) -> None:
    with pytest.raises(ValueError, match="read-only"):
        cp.broadcast_to(x, (2, 2, 3))[...] = 1
    with pytest.raises(ValueError, match="read-only"):
        cp.broadcast_arrays(x, cp.ones((2, 2, 3)))[0].fill(1)


def test_fresh_memory_is_poisoned() -> None:
    for made in (cp.empty(3), cp.empty_like(cp.ones(3)), cp.ndarray((3,))):
        assert cp.isnan(made).all()
    assert (cp.empty(3, "i4") == np.iinfo("i4").max).all() and cp.empty(2, "?").all()


@pytest.mark.parametrize("dtype", ["O", "U3", "S3", "M8[s]", "g", ">f8", "V8"])
def test_dtypes_that_cupy_lacks(x: cp.ndarray, dtype: str) -> None:
    for make in (lambda: cp.zeros(2, dtype), lambda: x.astype(dtype), lambda: cp.asarray(np.zeros(2, dtype))):
        with pytest.raises(ValueError, match="Unsupported dtype"):
            make()


# Indexing


@pytest.mark.parametrize(
    "index",
    [0, -1, (1, 2), slice(None, None, -1), (..., 0), None, (None, 1, ...), np.int64(1), True, [],
     [True, False], (slice(None), [0, 2]), ([0, 1], [1, 2]), (0, [1]), ([0, 1], slice(None), None),
     ([0], None, [1])],
    ids=str,
)
def test_indices_as_in_numpy(x: cp.ndarray, index: object) -> None:
    key = np.zeros(0, int) if isinstance(index, list) and not index else index
    same(x[index], HOST[key])
    expected = HOST.copy()
    expected[key] = -1
    x[index] = -1
    same(x, expected)


def test_device_arrays_as_indices(x: cp.ndarray) -> None:
    rows, columns, mask = cp.asarray([1, 0]), cp.asarray([2, 2], "u1"), x > 2
    same(x[rows], HOST[[1, 0]])
    same(x[rows, columns], HOST[[1, 0], [2, 2]])
    same(x[:, columns], HOST[:, [2, 2]])
    same(x[mask], HOST[HOST > 2])
    same(x[mask[:, 0], 1:], HOST[HOST[:, 0] > 2, 1:])
    same(x[rows[:, None], rows], HOST[[[1], [0]], [1, 0]])
    x[mask] = cp.asarray([10.0, 11, 12])
    same(x[1], [10.0, 11, 12])


def test_integer_indices_wrap_around_without_error(x: cp.ndarray) -> None:
    same(x[cp.asarray([2, -3])], HOST[[0, 1]])
    same(x[0, [5]], HOST[0, [2]])
    same(x.take(cp.asarray([7, -1])), [1.0, 5.0])
    same(cp.take(x, [3], axis=1), HOST[:, [0]])
    same(cp.take_along_axis(x, cp.asarray([[4], [-1]]), 1), [[1.0], [5.0]])
    x[cp.asarray([3])] = 0
    same(x, [[0.0, 1, 2], [0, 0, 0]])
    with pytest.raises(IndexError, match="out of bounds"):
        x[2]  # a Python number is checked


@pytest.mark.parametrize(
    ("index", "error"),
    [(np.array([0]), TypeError), (np.array(0), TypeError), (1.5, IndexError), ("a", IndexError),
     ([0.5], IndexError), ((0, 0, 0), IndexError), ((..., ...), IndexError)],
    ids=str,
)
def test_bad_indices(x: cp.ndarray, index: object, error: type[Exception]) -> None:
    with pytest.raises(error):
        x[index]
    with pytest.raises(error):
        x[index] = 0
    same(x, HOST)
    with pytest.raises(IndexError):
        x[cp.asarray([0.0])]


def test_values_to_store(x: cp.ndarray) -> None:
    x[0] = cp.asarray([1, 2, 3], "i1")
    x[1:, :2] = cp.ones((1, 1, 1))
    x[1, 2] = np.float32(0.5)
    same(x, [[1.0, 2, 3], [1, 1, 0.5]])
    for bad in (HOST, np.array(1.0), [1.0, 2.0, 3.0], None):
        with pytest.raises(TypeError, match="Unsupported type"):
            x[...] = bad
    with pytest.raises(OverflowError):
        cp.zeros(1, "i1")[0] = 300
    with pytest.raises(TypeError):
        x[0, 0] = 1j


def test_several_values_for_one_place_are_refused(x: cp.ndarray) -> None:
    twice = cp.asarray([0, 0])
    with pytest.raises(ValueError, match="undefined in CuPy"):
        x[twice] = cp.asarray([[1.0, 2, 3], [4, 5, 6]])
    with pytest.raises(ValueError, match="undefined in CuPy"):
        x[0, [1, 4]] = cp.asarray([1.0, 2.0])
    same(x, HOST)
    x[twice] = cp.asarray([7.0, 8, 9])
    x[twice, 0] = 1
    same(x[0], [1.0, 8, 9])


def test_scatter(x: cp.ndarray) -> None:
    index, host = cp.asarray([1, 1, -1]), HOST.copy()
    cp.add.at(x, (slice(None), index), 1.5)
    np.add.at(host, (slice(None), [1, 1, -1]), 1.5)
    same(x, host)
    cp.maximum.at(x, x < 2, 2)
    same(x, np.maximum(host, 2))
    cp.add.at(x, 0, x[1])
    for scatter in (cupyx.scatter_add, cupyx.scatter_max, cupyx.scatter_min):
        with pytest.warns(DeprecationWarning, match=r"Please use `cupy.\w+\.at`"):
            scatter(x, ([0, 0], [0, 0]), 1)
    assert float(x[0, 0]) == 1
    for dtype in ("?", "i1", "u1", "i2", "D"):
        with pytest.raises(TypeError, match="does not support"):
            cp.add.at(cp.zeros(3, dtype), index, 1)
    with pytest.raises(TypeError, match="Unsupported type"):
        cp.add.at(x, 0, np.ones(3))


# Values are NumPy's


CALLS = [
    ("sum", (1,), {"keepdims": True}), ("prod", (0,), {}), ("mean", (), {"axis": 0}),
    ("var", (), {"ddof": 1}), ("argmax", (1,), {}), ("cumsum", (1,), {}), ("min", (0,), {}),
    ("reshape", ((3, 2),), {}), ("tril", (), {}), ("moveaxis", (0, 1), {}), ("roll", (1, 0), {}),
    ("tile", (2,), {}), ("repeat", (2, 0), {}), ("clip", (1, 3), {}), ("clip", (None, 3), {}),
    ("pad", (((1, 1), (0, 2)),), {"constant_values": 2.0}), ("round", (1,), {}), ("diff", (), {}),
    ("median", (), {}), ("quantile", (0.5, 1), {}), ("gradient", (), {"axis": 0}),
    ("array_split", (2, 1), {}), ("nonzero", (), {}), ("unique", (False, True), {}),
    ("zeros_like", ("f4",), {}), ("full_like", (2,), {}), ("trapezoid", (), {}), ("nanargmax", (1,), {}),
    ("atleast_3d", (), {}),
]


@pytest.mark.parametrize(("name", "args", "kwargs"), CALLS, ids=[c[0] for c in CALLS])
def test_functions(x: cp.ndarray, name: str, args: tuple, kwargs: dict) -> None:
    same(getattr(cp, name)(x, *args, **kwargs), getattr(np, name)(HOST, *args, **kwargs))
    if hasattr(cp.ndarray, name):
        same(getattr(x, name)(*args, **kwargs), getattr(np, name)(HOST, *args, **kwargs))


def test_functions_of_several_arrays(x: cp.ndarray) -> None:
    same(cp.concatenate([x, x], 1), np.concatenate([HOST, HOST], 1))
    same(cp.stack((x, x), axis=-1), np.stack((HOST, HOST), axis=-1))
    same(cp.where(x > 2, x, 0.0), np.where(HOST > 2, HOST, 0.0))
    same(cp.einsum("ij,kj->ik", x, x), np.einsum("ij,kj->ik", HOST, HOST))
    same(cp.tensordot(x, x, ([0], [0])), np.tensordot(HOST, HOST, ([0], [0])))
    same(cp.meshgrid(x[0], x[1], indexing="ij"), np.meshgrid(HOST[0], HOST[1], indexing="ij"))
    same(x @ x.T, HOST @ HOST.T)
    target = cp.zeros((2, 3))
    assert cp.copyto(target, x) is None
    same(target, HOST)
    assert cp.argmax(x, 1, "i4").dtype == x.argmax(1, None, "i4").dtype == cp.int32


def test_creation() -> None:
    same(cp.arange(5), np.arange(5))
    same(cp.arange(1, 5, 2, dtype="f4"), np.arange(1, 5, 2, dtype="f4"))
    same(cp.full((2,), 3.5), np.full((2,), 3.5))
    same(cp.eye(2, 3, 1), np.eye(2, 3, 1))
    same(cp.linspace(0, 1, 5), np.linspace(0, 1, 5))
    assert cp.float32 is np.float32 and cp.pi == np.pi and cp.newaxis is None
    assert cp.get_array_module(cp.zeros(1)) is cp and cp.get_array_module(HOST, 1) is np


def test_linalg_and_fft(x: cp.ndarray) -> None:
    square, host = x @ x.T + cp.eye(2), HOST @ HOST.T + np.eye(2)
    for name in ("inv", "det", "cholesky", "eigh", "slogdet", "qr"):
        same(getattr(cp.linalg, name)(square), getattr(np.linalg, name)(host))
    same(cp.linalg.solve(square, x), np.linalg.solve(host, HOST))
    same(cp.fft.rfft(x), np.fft.rfft(HOST))
    with pytest.raises(np.linalg.LinAlgError):
        cp.linalg.inv(x)


def test_linalg_does_not_report_singular_matrices_by_itself() -> None:
    singular = cp.zeros((2, 2))
    assert cp.isnan(cp.linalg.inv(singular)).all() and cp.isnan(cp.linalg.solve(singular, cp.ones(2))).all()
    assert cp.isnan(cp.linalg.cholesky(-cp.eye(2))).all()
    with cupyx.errstate(linalg="raise"), pytest.raises(np.linalg.LinAlgError):
        cp.linalg.inv(singular)


def test_special_functions(x: cp.ndarray) -> None:
    for name in ("erf", "gammaln", "expit", "softmax", "logsumexp", "log_ndtr"):
        same(getattr(special, name)(x), getattr(scipy.special, name)(HOST))
    assert special.polygamma(cp.asarray(1), x.astype("f4")).dtype == cp.float64
    with pytest.raises(TypeError):
        special.polygamma(1, x)
    assert not hasattr(_real.special, "owens_t")
    same(cupyx.rsqrt(x + 1), 1 / np.sqrt(HOST + 1))


def test_every_name_is_real_or_loud() -> None:
    working = 0
    for name in (n for n in dir(cupy) if n[0] != "_"):
        try:
            found = getattr(cp, name)
        except NotImplementedError:
            continue
        working += 1
        assert isinstance(found, cp.ufunc) == isinstance(getattr(cupy, name), cupy.ufunc)
    assert working > 400
    assert cupyx.errstate is _real.extras.errstate
