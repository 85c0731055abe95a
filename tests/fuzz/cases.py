"""The cases, a function for each part of the API: it makes a call of a string of choices and judges what came of it."""
import itertools
import warnings

import numpy as np

import fastnn
from fastnn import SAM, Accumulate, ExponentialAverage, Lookahead, get_act, get_err, get_opt, group
from fastnn.core import elementwise, kernels, row_losses, rows, stepping
from fastnn.core.affine import activate_with_bias, add_bias, column_sums, gradient_with_sums
from fastnn.core.dropout import drop, masked
from fastnn.core.row_losses import RowLoss
from fastnn.core.mean_loss import labels_fit, mean_row_loss
from fastnn.core.normalization import normalize, normalize_batch, normalize_batch_backward
from fastnn.nn.finite import all_finite, clip_grad_norm
from fastnn.learnable import learnable
from fastnn.losses.classes import OfTwoClasses
from fastnn.optimizers import _registry as RULES
from fastnn.optimizers.wrappers import Wrapper
from helpers import LOSSES, Number, seeded

from . import operands as make
from .hooks import Hook, Hooked, Key
from .judge import Finding, attempt, check_error, check_memory, check_same, same_bits
from .operands import FLOATS, Liar, Method, Operand

ROWS = [get_act(name, axis=axis) for name in fastnn.activations("rows") for axis in (-1, None, 0, 1, -2, 5, (0, 1), (-1, 1))]
ROWS += [get_act(name, axis=axis, temperature=0.7) for name in fastnn.activations("rows") for axis in (-1, 0)]
ELEMENTWISE = [get_act(name) for name in fastnn.activations("elementwise") if name != "threshold"]
ELEMENTWISE += [get_act("threshold", 0.5, -1.0), get_act("leaky-ReLU", 0.3)]
GATED = [get_act(name, axis=axis, gate_half=half) for name in fastnn.activations("gated")
         for axis, half in ((-1, "second"), (0, "first"), (1, "second"), (-2, "first"))]
CONCATENATED = [get_act(name, axis=axis) for name in fastnn.activations("concatenated") for axis in (-1, 0, 1)]
LEARNABLE = learnable()
LOSSES_OF_SEVERAL = [name for name in fastnn.losses() if name not in LOSSES]
LOSSES_OF_ROWS = [name for name in LOSSES if isinstance(get_err(name), RowLoss)]
OPTIMIZERS = [(name, kind) for name in fastnn.optimizers() for kind in
              (("float32", "float32", "bfloat16", "int8") if RULES[name].stored else ("float32",))]
KEYS = ["a", "b", ("c", 1), 4]
WRAPPERS = [lambda opt: Lookahead(opt, 1), lambda opt: Lookahead(opt, 2, 1), lambda opt: ExponentialAverage(opt, 0.5),
            lambda opt: Accumulate(opt, 2), lambda opt: ExponentialAverage(Lookahead(Accumulate(opt, 2), 1), 0),
            lambda opt: Accumulate(ExponentialAverage(opt, lambda t: 1 / t), 3)]
ASCENDING = [lambda opt: SAM(opt, 0.5), lambda opt: Lookahead(SAM(ExponentialAverage(opt, 0.5)), 1)]


def with_compiled_formulas():
    """Let registered formulas of each kind take part, if numba is there."""
    import math
    if "fuzzed" in fastnn.activations():
        return

    @fastnn.register_act("fuzzed", a=1.5)
    def fuzzed(x, a):
        return x + math.sin(a * x)**2 / a

    @fastnn.register_act("fuzzed-bump")
    def bump(x):
        return math.exp(-x * x)
    ELEMENTWISE.extend([get_act("fuzzed"), get_act("fuzzed-bump")])

    @fastnn.register_act("fuzzed-unit")
    def unit(a, b):
        return a * math.tanh(b)
    GATED.extend(get_act("fuzzed-unit", axis=axis) for axis in (-1, 0))

    @fastnn.register_act("fuzzed-learned", learn=("p", "q"), p=0.5, q=2.0, h=1.5)
    def learned(x, p, q, h):
        return h * max(p * x, q * x - 1)
    LEARNABLE["fuzzed-learned"] = ("p", "q")

    @fastnn.register_loss("fuzzed-loss", c=2.0)
    def loss(y, t, c):
        return math.log1p(((y - t) / c)**2)
    LOSSES.append("fuzzed-loss")


def compare(call, plain, operands, outs=None, hook=None, returned=None, written=()):
    """call() is with the operands, plain() with contiguous copies, which it has already.

    outs are the operands that the results go to, `returned` what call() returns then; `written` has, after plain(),
    what else is written: [(operand, values)].
    """
    for operand in operands:
        if operand.room is not None:
            operand.room.remember()
    before = [operand.base.tobytes() if operand.room is None and operand.base is not None else None
              for operand in operands]
    wanted, refusal = attempt(plain)
    got, error = attempt(call)
    if hook is not None and hook.acted and not hook.pure:
        if error is not None:
            check_error(error, (RuntimeError,))
        return
    stands = all(operand.base is not None for operand in operands)
    if error is not None:
        check_error(error)
        check_memory(operands)
        for operand, bits in zip(operands, before):
            if bits is not None and operand.base.tobytes() != bits:
                raise Finding(f"{operand.base!r} changed by a call that failed")
        if refusal is None and stands and not (hook is not None and hook.acted) and (
                outs is None or fit(outs, wanted if len(outs) > 1 else (wanted,))):
            raise Finding(f"refused: {error!r}") from error
        return
    if refusal is not None or not stands:
        raise Finding(f"accepted, with {got!r}; of plain copies: {refusal!r}")
    changed = list(written)
    if outs is not None:
        if not (got is returned or isinstance(returned, tuple) and all(map(lambda a, b: a is b, got, returned))):
            raise Finding(f"returned {got!r} instead of out")
        changed += zip(outs, wanted if len(outs) > 1 else (wanted,))
    else:
        check_same(got, wanted, "result")
        for part in got if isinstance(got, tuple) else (got,):
            for operand in operands:
                if isinstance(part, np.ndarray) and operand.room is not None and part.size and not any(
                        part is value.value for value, _ in changed):
                    if np.may_share_memory(part, operand.room.buffer):
                        raise Finding("the result lies in an argument's memory")
    check_memory(operands, changed)


def fit(outs, wanted):
    """Whether these must be taken as `out`."""
    for out, values in zip(outs, wanted):
        values = np.asarray(values)
        if not (isinstance(out.value, np.ndarray) and out.base.flags.writeable and out.base.shape == values.shape
                and out.base.dtype.newbyteorder("=") == values.dtype):
            return False
    return len(outs) == 1 or not np.shares_memory(outs[0].base, outs[1].base)


def an_out(c, x, dtype):
    """Somewhere for a result like x: mostly fitting."""
    kind = c.below(12)
    shape = x.base.shape if x.base is not None else (3,)
    if x.base is not None and x.base.dtype.newbyteorder("=") in FLOATS:
        dtype = x.base.dtype.newbyteorder("=")
    elif x.base is not None and x.base.dtype.kind in "biu":
        dtype = np.dtype("f8")
    if kind > 7 and x.room is not None and x.how is not None and not 0 in x.how[3]:
        return make.overlapping(c, x)
    if kind == 7:
        dtype = make.dtype(c)
    if kind == 6 and dtype in make.REAL and dtype not in make.BFLOAT16:
        dtype = dtype.newbyteorder()
    if kind == 5:
        shape = make.shape(c)
    return make.wrap(c, make.strided(c, shape, dtype), out=True)


def same_or_other(c, shape):
    """The shape of a second operand: the same, one that broadcasts, or any."""
    kind = c.below(10)
    if kind < 6:
        return shape
    if kind == 6:
        return shape[1:]
    if kind == 7:
        return tuple(n if c.below(2) else 1 for n in shape)
    return () if kind == 8 else make.shape(c)


def first_operand(c, dtype):
    if c.once_in(150):
        return make.huge(c, dtype)
    return make.operand(c, make.shape(c), dtype)


def owned(c, operand):
    """The same numbers in memory of the array's own, which may be resized."""
    return Operand(a := np.array(operand.base, order="C"), a)


def second_operand(c, x, dtype, hook):
    shape = same_or_other(c, x.base.shape if x.base is not None else (3,))
    g = make.operand(c, shape, dtype)
    if hook is not None and g.base is not None:
        g = owned(c, g)
        hook.arrays += [a.base for a in (x, g) if a.base is not None]
        g.value = Method(g.base, hook)
    return g


def first_and_hook(c, dtype):
    """The first operand, and what is called while it is read, if anything."""
    x = first_operand(c, dtype)
    hook = Hook(c) if c.once_in(8) else None
    return x if hook is None or x.base is None else owned(c, x), hook


def with_grad(c, like, dtype, hook, operands, kwds, plain_kwds):
    """Whether there is a gradient of the shape of `like`, which is added to all of these."""
    g = second_operand(c, like, dtype if c.below(4) else make.dtype(c), hook)
    if g.value is None:
        return False
    operands.append(g)
    kwds["grad"], plain_kwds["grad"] = g.value, copy_of(g)
    return True


def copy_of(operand):
    return operand.plain() if operand.base is not None else None


def activation(c):
    act = c.of(ROWS) if c.once_in(3) else c.of(ELEMENTWISE)
    dtype = make.dtype(c)
    x, hook = first_and_hook(c, dtype)
    operands, kwds, plain_kwds = [x], {}, {}
    method = c.of(("forward", "backward", "product", "by value", "value_and_grad", "d2y", "__call__"))
    if method == "by value":
        return by_value(c, act, x, dtype, hook)
    if method == "product":
        if not with_grad(c, x, dtype, hook, operands, kwds, plain_kwds):
            return
        if act not in ROWS and c.below(2):
            kwds["y"] = c.of((object(), None, Liar((3,))))
        elif act in ROWS and type(x.value) is np.ndarray and x.how and c.below(2):
            y = make.strided(c, x.base.shape, x.base.dtype)
            operands.append(y)
            kwds["y"], plain_kwds["y"] = y.value, y.plain()
        method = "backward"
    outs = returned = None
    if c.once_in(3):
        outs = [an_out(c, x, dtype) for _ in range(2 if method == "value_and_grad" else 1)]
        if hook is not None:
            hook.arrays += [out.base for out in outs if out.base is not None]
        operands += outs
        kwds["out"] = returned = tuple(out.value for out in outs) if len(outs) == 2 else outs[0].value
        if len(outs) == 2 and c.once_in(8):
            kwds["out"] = c.of(([*returned], returned * 2, returned[0], Pair(returned)))
            returned = kwds["out"]
            if type(returned) is not Pair:
                outs[0].base = None
        if any(out.value is None for out in outs):
            outs = returned = None
            return
    plain_x = copy_of(x)
    compare(lambda: getattr(act, method)(x.value, **kwds), lambda: getattr(act, method)(plain_x, **plain_kwds),
            operands, outs, hook, returned)


def gated_unit(c):
    """Of halves, or with a gate."""
    unit, dtype = c.of(GATED), make.dtype(c)
    x, hook = first_and_hook(c, dtype)
    operands, kwds, plain_kwds = [x], {}, {}
    like = x
    if c.below(2):
        gate = second_operand(c, x, dtype if c.below(4) else make.dtype(c), hook)
        if gate.value is None:
            return
        operands.append(gate)
        kwds["gate"], plain_kwds["gate"] = gate.value, copy_of(gate)
    else:
        like = half_of(c, x, unit.axis)
    method, outs, returned = c.of(("forward", "backward", "__call__")), None, None
    if method == "backward":
        if not with_grad(c, like, dtype, hook, operands, kwds, plain_kwds):
            return
    if c.once_in(3):
        pair = method == "backward" and "gate" in kwds
        outs = [an_out(c, x if method == "backward" else like, dtype) for _ in range(2 if pair else 1)]
        operands += outs
        if any(out.value is None for out in outs):
            return
        kwds["out"] = returned = tuple(out.value for out in outs) if pair else outs[0].value
    plain_x = copy_of(x)
    compare(lambda: getattr(unit, method)(x.value, **kwds), lambda: getattr(unit, method)(plain_x, **plain_kwds),
            operands, outs, hook, returned)


def concatenated(c):
    """What has a result twice as long."""
    act, dtype = c.of(CONCATENATED), make.dtype(c)
    x, hook = first_and_hook(c, dtype)
    operands, kwds, plain_kwds = [x], {}, {}
    like = half_of(c, x, act.axis, 2)
    method, outs, returned = c.of(("forward", "backward", "__call__", "d2y", "value_and_grad")), None, None
    if method == "backward":
        if not with_grad(c, like, dtype, hook, operands, kwds, plain_kwds):
            return
    if method in ("forward", "backward", "__call__") and c.once_in(3):
        outs = [an_out(c, x if method == "backward" else like, dtype)]
        operands += outs
        if outs[0].value is None:
            return
        kwds["out"] = returned = outs[0].value
    plain_x = copy_of(x)
    compare(lambda: getattr(act, method)(x.value, **kwds), lambda: getattr(act, method)(plain_x, **plain_kwds),
            operands, outs, hook, returned)


def half_of(c, x, axis, factor=1/2):
    """An operand of the shape that the half of an axis has, or a multiple, where there is one."""
    shape = list(x.base.shape) if x.base is not None else [3]
    if -len(shape) <= axis < len(shape):
        shape[axis] = int(shape[axis] * factor)
    return make.strided(c, tuple(shape), x.base.dtype if x.base is not None and x.base.dtype.kind in "biuf" else np.dtype("f8"))


def learned(c):
    """What has parameters, one for all or one a channel, and random slopes."""
    dtype = make.dtype(c)
    x = first_operand(c, dtype)
    shape = x.base.shape if x.base is not None else (3,)
    name = c.of([*LEARNABLE, *fastnn.activations("random")])
    axis = c.of((0, 1, -1, -2, 5))
    channels = shape[axis] if -len(shape) <= axis < len(shape) and c.below(4) else c.of((1, 1, 1, 2, 3))
    hook = Hook(c) if c.once_in(8) else None
    if hook is not None and x.base is not None:
        x = owned(c, x)

    def made():
        if name not in LEARNABLE:
            return get_act(name, rng=3)
        act = get_act(name, learn=LEARNABLE[name], channels=max(1, channels), axis=axis)
        for i, parameter in enumerate(act.params.values()):
            parameter[...] = np.linspace(-1.5, 1.5 - i, parameter.size)
        return act

    method = c.of(("forward", "backward", "__call__", "d2y", "value_and_grad") if name in LEARNABLE else
                  ("forward", "backward", "__call__"))
    operands, kwds, plain_kwds, outs, returned = [x], {}, {}, None, None
    if method == "backward":
        if not with_grad(c, x, dtype, hook, operands, kwds, plain_kwds):
            return
    if method != "value_and_grad" and c.once_in(3):
        outs = [an_out(c, x, dtype)]
        operands += outs
        if outs[0].value is None:
            return
        kwds["out"] = returned = outs[0].value
    own, twin, plain_x = made(), made(), copy_of(x)
    if name not in LEARNABLE and method == "backward":
        if plain_x is None or attempt(twin.forward, plain_x)[1] is not None:
            return
        own.forward(plain_x)
    compare(lambda: getattr(own, method)(x.value, **kwds), lambda: getattr(twin, method)(plain_x, **plain_kwds),
            operands, outs, hook, returned)
    if name in LEARNABLE and hook is None:
        for key, gradient in twin.grads.items():
            if gradient is not None and own.grads[key] is not None:
                check_same(own.grads[key], gradient, f"d{key}")


def by_value(c, act, y, dtype, hook):
    """backward without x."""
    operands, kwds, plain_kwds = [y], {}, {}
    if c.below(3):
        g = second_operand(c, y, dtype if c.below(4) else make.dtype(c), hook)
        if g.value is None:
            return
        operands.append(g)
        kwds["grad"], plain_kwds["grad"] = g.value, copy_of(g)
    outs = returned = None
    if c.once_in(3):
        outs = [an_out(c, y, dtype)]
        operands += outs
        kwds["out"] = returned = outs[0].value
        if returned is None:
            return
    plain_y = copy_of(y)
    compare(lambda: act.backward(y=y.value, **kwds), lambda: act.backward(y=plain_y, **plain_kwds), operands, outs, hook,
            returned)


class Pair(tuple):
    """A pair that says otherwise."""

    __len__ = lambda self: 5
    __iter__ = lambda self: iter([np.ones(3)] * 9)
    __getitem__ = lambda self, i: "no array"


def of_classes(c, name):
    """Arguments of losses of classes; some do not fit the arrays that come."""
    kind = type(get_err(name))
    if "class_weight" not in kind.hyperparameters or c.below(3):
        return {}
    weights = ((1, 2), {1: 3}, [(1, 2), (3, 0), (1, 1)]) if issubclass(kind, OfTwoClasses) else ((1, 0, 2), {1: 3}, {7: 1})
    return {"class_weight": c.of((None, "balanced", *weights)), "label_smoothing": c.of((0, 0.25)),
            "ignore_label": c.of((None, 0, 1, -1))}


def loss(c):
    name = c.of(LOSSES)
    options = of_classes(c, name)
    err, twin = get_err(name, **options), get_err(name, **options)
    dtype = make.dtype(c)
    y = first_operand(c, dtype)
    hook = Hook(c) if c.once_in(8) else None
    if hook is not None and y.base is not None:
        y = owned(c, y)
    if name in LOSSES_OF_ROWS and c.below(3):
        shape = y.base.shape[:-1] if y.base is not None else (3,)
        if c.once_in(10):
            shape = make.shape(c)
        t = make.operand(c, shape, c.of([np.dtype(code) for code in ("i8", "i4", "u2", ">i8", "u8", "f4")]))
        if hook is not None and t.base is not None:
            t = owned(c, t)
            hook.arrays += [a.base for a in (y, t) if a.base is not None]
            t.value = Method(t.base, hook)
    else:
        t = second_operand(c, y, dtype if c.below(3) else make.dtype(c), hook)
    operands, kwds, outs = [y, t], {}, None
    if name not in LOSSES_OF_ROWS and c.once_in(3):
        outs = [an_out(c, y, dtype)]
        operands += outs
        kwds = {"out": outs[0].value}
        if outs[0].value is None:
            return
    method, reduced = c.of(("forward", "backward")), {}
    if outs is None and c.once_in(3):
        reduced = {"reduction": c.of(("mean", "sum", "none", "Mean", 1)), "sample_weight": c.of((None, 2, 0, np.ones(3)))}
    plain = copy_of(y), copy_of(t)
    compare(lambda: getattr(err, method)(y.value, t.value, **kwds, **reduced),
            lambda: getattr(twin, method)(*plain, **reduced), operands, outs, hook, kwds.get("out"))
    if method == "forward" and c.once_in(4) and outs is None and hook is None and y.base is not None:
        compare(err.backward, twin.backward, operands)


def loss_of_several(c):
    name = c.of(LOSSES_OF_SEVERAL)
    err, twin = get_err(name), get_err(name)
    dtype, shape = make.dtype(c), make.shape(c)
    operands = [make.operand(c, shape, dtype)]
    hook = Hook(c) if c.once_in(8) else None
    operands += [make.operand(c, same_or_other(c, shape), dtype if c.below(3) else make.dtype(c)) for _ in err.inputs[1:]]
    if hook is not None and all(operand.base is not None for operand in operands):
        operands = [owned(c, operand) for operand in operands]
        hook.arrays += [operand.base for operand in operands]
        hooked = operands[c.below(len(operands))]
        hooked.value = Method(hooked.base, hook)
    kwds = {"reduction": c.of(("mean", "sum", "none", "Mean", 1)),
            "sample_weight": c.of((None, 2, 0, np.ones(3)))} if c.once_in(3) else {}
    method, plain = c.of(("forward", "backward", "value_and_grad")), [copy_of(operand) for operand in operands]
    compare(lambda: getattr(err, method)(*(operand.value for operand in operands), **kwds),
            lambda: getattr(twin, method)(*plain, **kwds), operands, None, hook)


def matrix(c, dtype, shape):
    """Mostly contiguous, as the compiled helpers want it."""
    return make.operand(c, shape, dtype, broadcast=False) if c.once_in(3) else make.strided(Plain(c), shape, dtype)


def layer(c):
    """Batch normalization and dropout, some results in `out`."""
    dtype = make.dtype(c, [np.dtype("f4"), np.dtype("f8")])
    n, m = c.of(((3, 5), (4, 4), (0, 3), (3, 0), (1, 1), (9, 33), (40, 130), (5, 1)))
    x, g = matrix(c, dtype, (n, m)), matrix(c, dtype if c.below(8) else make.dtype(c), (n, m) if c.below(8) else (m, n))
    vectors = [matrix(c, dtype if c.below(8) else make.dtype(c), (m,) if c.below(8) else c.of(((n,), (), (1, m))))
               for _ in range(4)]
    what = c.of(("normalize", "train", "back", "drop", "mask"))
    if any(operand.base is None for operand in (x, g, *vectors)):
        return
    plain_x, plain_g, plain = x.plain(), g.plain(), [vector.plain() for vector in vectors]
    given = [vector.value for vector in vectors]
    if what == "normalize":
        out = an_out(c, x, dtype) if c.once_in(3) else None
        if out is None:
            compare(lambda: normalize(x.value, *given, 1e-3), lambda: normalize(plain_x, *plain, 1e-3), [x, *vectors])
        elif out.value is not None:
            got, error = call(lambda a, b: normalize(a, *given, 1e-3, b), x, out)
            check_error(error) if error is not None else check_same(got, normalize(plain_x, *plain, 1e-3), "result")
    elif what == "train":
        def trained(x, gamma, beta, mean, var):
            y, _, *running = normalize_batch(x, gamma, beta, 1e-3, 0.9, mean, var)
            return y, *running
        compare(lambda: trained(x.value, *given), lambda: trained(plain_x, *plain), [x, *vectors])
    elif what == "back":
        _, kept, _, _ = normalize_batch(np.ones((n, m), dtype.newbyteorder("=") if dtype in FLOATS[:2] else "f8"),
                                        *np.ones((2, m)), 1e-3, 0.9, *np.ones((2, m)))
        compare(lambda: normalize_batch_backward(g.value, kept, given[0]),
                lambda: normalize_batch_backward(plain_g, kept, plain[0]), [g, vectors[0]])
    elif what == "drop":
        compare(lambda: drop(x.value, 0.3, 5), lambda: drop(plain_x, 0.3, 5), [x])
    else:
        mask = np.arange(n * m).reshape(n, m) % 3 == 0
        compare(lambda: masked(g.value, mask), lambda: masked(plain_g, mask), [g])


class Plain:
    """Choices that make a contiguous array of any numbers."""

    def __init__(self, c):
        self.c = c

    def below(self, n):
        return self.c.below(n) if n == 256 else 0

    def of(self, options):
        return options[0]

    def once_in(self, n):
        return False


def helper(c):
    dtype = make.dtype(c, [np.dtype("f4"), np.dtype("f8")])
    n, m = c.of(((3, 5), (4, 4), (0, 3), (3, 0), (1, 1), (9, 33), (40, 130), (5, 1)))
    act = c.of(ELEMENTWISE) if c.below(4) else c.of(ROWS[:2])
    z = matrix(c, dtype, (n, m))
    what = c.of(("bias", "activate", "sums", "products", "mean", "clip", "finite", "fit"))
    if z.base is None:
        return
    plain_z, out = z.plain(), None
    if what in ("bias", "activate"):
        b = matrix(c, dtype if c.below(8) else make.dtype(c), (m,) if c.below(8) else c.of(((n,), (), (n, m), (1, m))))
        if c.once_in(6) and z.room is not None and z.how is not None and z.how[0][0]:
            b = Operand(None, None).place(z.room, z.how[0][1:], z.how[1], z.how[2], z.how[3][1:])
        if b.base is None or object in (z.base.dtype, b.base.dtype) or Liar in (type(z.value), type(b.value)):
            return                              # NumPy's addition asks them
        plain_b = b.plain()
        operands = [z, b]
        if what == "bias":
            compare(lambda: add_bias(z.value, b.value), lambda: add_bias(plain_z, plain_b),
                    *addition(operands, z, plain_z))
            return
        if c.once_in(2):
            out = z if c.once_in(3) else an_out(c, z, dtype)
            operands += [] if out is z else [out]
        if out is not None and out.value is None or not isinstance(z.value, np.ndarray) or not z.base.flags.writeable:
            return
        changes = [(z, plain_z)]                # filled by the plain call, before it is looked at
        compare(lambda: activate_with_bias(act, z.value, b.value, *([] if out is None else [out.value])),
                lambda: activate_with_bias(act, plain_z, plain_b), operands, None if out is None else [out],
                None, None if out is None else out.value, changes)
    elif what == "sums":
        if c.once_in(3):
            out = matrix(c, dtype, (m,))
            if out.value is None:
                return
        operands = [z] if out is None else [z, out]
        got, error = call(column_sums, z, out)
        check_call(got, error, operands, lambda: column_sums(plain_z), out)
    elif what == "products":
        g = matrix(c, dtype, (n, m))
        if g.base is None or g.value is None:
            return
        plain_g = g.plain()
        compare(lambda: gradient_with_sums(act, z.value, None, g.value),
                lambda: gradient_with_sums(act, plain_z, None, plain_g), [z, g])
    elif what == "mean":
        mean(c, z, dtype, n, m)
    elif what == "clip":
        grads = [z] + [matrix(c, make.dtype(c), make.shape(c)) for _ in range(c.below(3))]
        clip(c, grads)
    elif what == "finite":
        if z.base.dtype not in FLOATS:
            return                              # it is asked of nothing else
        got, error = call(lambda a: all_finite([a]), z)
        if got != bool(np.isfinite(z.base).all()):
            raise Finding(f"all_finite: {got}, {error!r} of {z.base!r}")
        check_memory([z])
    else:
        labels = matrix(c, np.dtype(np.intp), (n,))
        got, error = attempt(labels_fit, labels.value, c.below(5))
        if error is not None and not isinstance(labels.value, np.ndarray):
            return                              # a private function: TypeError or AttributeError
        if error is not None:
            check_error(error)


def addition(operands, z, plain_z):
    """The rest of the arguments of `compare` for z += b."""
    return (operands, [z], None, z.value) if isinstance(z.value, np.ndarray) and z.base.flags.writeable else (
        [*operands, Operand(None, None)], None)


def call(function, *operands):
    for operand in operands:
        if operand is not None and operand.room is not None:
            operand.room.remember()
    return attempt(function, *[operand.value for operand in operands if operand is not None])


def check_call(got, error, operands, plain, out=None):
    """For functions that want `out` contiguous and apart."""
    if error is not None:
        check_error(error)
        check_memory(operands)
        return
    wanted = plain()
    check_memory(operands, [] if out is None else [(out, wanted)])
    check_same(np.asarray(got), np.asarray(wanted), "result")


def mean(c, x, dtype, n, m):
    addresses = kernels.ROW_LOSSES["softmax_cross_entropy"]
    out = make.overlapping(c, x) if c.once_in(6) and x.how else matrix(c, dtype, (n, m))
    kind = c.below(4)
    if kind < 2:
        t = matrix(c, np.dtype(np.intp), (n,))
    elif kind == 2:
        t = matrix(c, dtype, (n, m))
    else:                                       # labels inside the memory of the gradient
        if out.base is None or not out.how or out.room.buffer.size < 8 * n + 8 or out.base.dtype.itemsize not in (4, 8):
            return
        t = Operand(None, None).place(out.room, (n,), np.dtype(np.intp), (out.room.buffer.size // 3) // 8 * 8, (8,))
        t.base[...] = 0
    if out.base is None or t.base is None or any(not isinstance(a.value, np.ndarray) for a in (x, out, t)):
        return
    plain_x, plain_t = x.plain(), t.plain()
    gradient = np.empty_like(plain_x)
    got, error = call(lambda x, t, out: mean_row_loss(addresses, x, t, out), x, t, out)
    if error is not None:
        check_error(error)
        check_memory([x, t, out])
        return
    wanted = mean_row_loss(addresses, plain_x, plain_t, gradient)
    check_same(got, wanted, "mean loss")
    check_memory([x, t, out], [(out, gradient)] if n else [])


def clip(c, grads):
    limit = c.of((1.0, 0.5, 0, 1e300, -1, float("nan"), float("inf"), "1", None, np.ones(2)))
    if any(grad.base is None for grad in grads):
        return
    copies = [grad.plain() for grad in grads]
    form = c.of((list, tuple, lambda a: dict(enumerate(a)), lambda a: a[0] if len(a) == 1 else a))
    for grad in grads:
        if grad.room is not None:
            grad.room.remember()
    got, error = attempt(clip_grad_norm, form([grad.value for grad in grads]), limit)
    if error is not None:
        check_error(error)
        check_memory(grads)
        return
    wanted = clip_grad_norm(copies, limit)
    if not np.isclose(got, wanted, rtol=1e-5, equal_nan=True):      # sums in the order in which they lie in memory
        raise Finding(f"norm {got}, of plain copies {wanted}")
    if got == wanted:
        check_memory(grads, list(zip(grads, copies)))


def optimizer(c):
    name, state_dtype = c.of(OPTIMIZERS)
    hook = Hook(c) if c.once_in(3) else None
    kwds, twin_kwds = seeded(name), seeded(name)
    if name.startswith("Santa"):
        kwds["burnin"] = twin_kwds["burnin"] = c.of((100, 0, 1))
        if hook is not None and c.once_in(2):
            kwds["rng"] = Noise(5, hook)
            annealing = get_opt(name).anne_func
            kwds["anne_func"] = lambda t, rate: hook() or annealing(t, rate)
    if c.below(2):
        options(c, hook, kwds, twin_kwds)
    opt, error = attempt(lambda: get_opt(name, state_dtype=state_dtype, **kwds))
    twin, refusal = attempt(lambda: get_opt(name, state_dtype=state_dtype, **twin_kwds))
    if error is not None:
        check_error(error)
    if error is not None or refusal is not None:
        if type(error) is not type(refusal):
            raise Finding(f"made with {kwds}: {error!r}, with {twin_kwds}: {refusal!r}")
        return
    if c.once_in(3):
        opt, twin = wrapped(c, name, hook, opt, twin)
    if hook is not None:
        hook.opt = opt
    params, same, odd = parameters(c, hook, state_dtype)
    for _ in range(1 + c.below(3)):
        if not step(c, opt, twin, params, same, hook, odd):
            break
        if c.once_in(4):
            between(c, opt, twin)
    attempt(opt.state_dict)


def wrapped(c, name, hook, *optimizers):
    wrap = c.of(WRAPPERS if hook is not None or name == "NAG" else WRAPPERS + ASCENDING)
    return map(wrap, optimizers)


def taken(opt):
    """`step`; with both halves of SAM, and the way back where one fails."""
    if opt._ascending() is None:
        return opt.step

    def step(params, grads, **kwds):
        opt.ascend(params, grads)
        try:
            opt.step(params, grads, **kwds)
        except Exception:
            opt.restore()
            raise
    return step


class Rate:
    """A schedule; whoever asks it calls the hook."""

    def __init__(self, values, hook=None):
        self.values, self.hook = values, hook

    def __call__(self, t):
        if self.hook is not None:
            self.hook()
        return self.values[t % len(self.values)]


class Fits:
    """The function of a group; whoever asks it calls the hook."""

    def __init__(self, axes, answers, hook=None):
        self.axes, self.answers, self.hook = axes, answers, hook

    def __call__(self, key, p):
        if self.hook is not None:
            self.hook()
        return self.answers[np.asarray(p).ndim >= self.axes]


RATES = [(0.1,), (0.5, 0.25), (0, 1e-3), (np.float32(0.5), np.array(0.25)), (0.1, float("nan")), (-1,), (None,), ("x",),
         (1j,), (np.ones(2),), (10**400,), (True,)]
WEIGHTS = [0.01, 0.5, 1, 0, np.float32(0.25)]
LIMITS = [1.0, 0.01, 30, 1e-30, 1e300]
ANSWERS = [(True, False), (False, True), (np.True_, False), (True, True), (False, False), (None, True), (1, 0)]
CLIPS = ["clip_value", "clip_norm", "clip_adaptive", "clip_global_norm"]


def numeric(c, hook, values):
    """A number, or a schedule, for each of two optimizers."""
    if c.below(4):
        return (c.of(values),) * 2
    rates = c.of(RATES)
    return Rate(rates, hook), Rate(rates)


def some_options(c, hook, clips):
    """Pairs by name."""
    found = {}
    if c.once_in(3):
        found["lr"] = numeric(c, hook, WEIGHTS)
    for name in ("weight_decay", "l2", "l1", "grad_scale"):
        if c.once_in(4):
            found[name] = numeric(c, hook, WEIGHTS)
    if c.below(2):
        found[c.of(clips)] = numeric(c, hook, LIMITS)
    for name in ("maximize", "centralize"):
        if c.once_in(4):
            found[name] = True, True
    if c.once_in(4):
        found["output_axis"] = (c.of((0, 1, -2, 5)),) * 2
    return found


def options(c, hook, kwds, twin_kwds):
    """Options and groups: added to both, with the hook and without it."""
    for name, (one, other) in some_options(c, hook, CLIPS).items():
        kwds[name], twin_kwds[name] = one, other
    groups, twin_groups = [], []
    for _ in range(c.of((0, 1, 2, 0))):
        values = some_options(c, hook, CLIPS[:3]) if c.below(3) else {}
        if c.once_in(3):
            values["freeze"] = True, True
        if c.below(3):
            which = (c.of(("a", "[ab]", "*", "[!a]*", "0", "x/*", "no such key")),) * 2
        else:
            axes, answers = c.below(3), c.of(ANSWERS)
            which = Fits(axes, answers, hook), Fits(axes, answers)
        for i, found in enumerate((groups, twin_groups)):
            found.append(group(which[i], **{name: pair[i] for name, pair in values.items()}))
    if groups:
        kwds["groups"], twin_kwds["groups"] = groups, twin_groups


def between(c, opt, twin):
    """What may be done between two steps, to both."""
    key, value, kind = c.of((*KEYS, 0, 1, ("x", 0), None, [])), c.of((*WEIGHTS, -1, None)), c.below(5)

    def change(opt):
        if kind == 0:
            opt.forget(key)
        elif kind == 1:
            opt.lr = value
        elif kind == 2:
            opt.weight_decay = value
        elif opt.groups and kind == 3:
            opt.groups[0].freeze = not opt.groups[0].freeze
        elif opt.groups:
            opt.groups[0].grad_scale = value
    _, error = attempt(change, opt)
    _, refusal = attempt(change, twin)
    if error is not None:
        check_error(error)
    if type(error) is not type(refusal):
        raise Finding(f"{error!r}, but {refusal!r}")


class Noise(np.random.Generator):
    def __new__(cls, seed, hook):
        return super().__new__(cls, np.random.PCG64(seed))

    def __init__(self, seed, hook):
        super().__init__(np.random.default_rng(seed).bit_generator)
        self.hook = hook

    def standard_normal(self, *args, **kwds):
        self.hook()
        return super().standard_normal(*args, **kwds)


def parameters(c, hook, state_dtype):
    """({key: Operand}, {key: plain copy}, whether any of them may be refused)."""
    params, odd = {}, False
    for key in KEYS[:c.below(5)]:
        dtype = make.dtype(c) if c.once_in(4) else c.of(FLOATS)
        if c.once_in(200):
            p = Operand(np.lib.stride_tricks.as_strided(np.ones(1, dtype), (2**40,), (0,)), None)
        elif c.once_in(12) and params and params["a"].how:
            p, odd = make.overlapping(c, params["a"]), True
        else:
            p = make.strided(c, make.shape(c), dtype, broadcast=c.once_in(20))
            if hook is not None or c.once_in(3):
                p = owned(c, p)
            elif c.once_in(10):
                p = make.wrap(c, p, out=True)
        params[key] = p
        odd = odd or p.base is None or p.base.dtype.newbyteorder("=") not in FLOATS or not p.base.flags.writeable or (
            0 in p.base.strides) or state_dtype != "float32" and p.base.dtype.itemsize == 8
    return params, {key: plain_in_order(p.base) for key, p in params.items()}, odd


def plain_in_order(a):
    """State is laid out, and rounded, in the order in which a parameter lies in memory."""
    if a is not None:
        order = "F" if a.flags.f_contiguous and not a.flags.c_contiguous else "C"
        return np.array(a, a.dtype.newbyteorder("="), order=order)


def step(c, opt, twin, params, same, hook, odd):
    """Whether the case may go on."""
    form = c.of(("update", "step", "lists", "one", "delta", "deltas", "hooked", "keys", "nested", "numbers",
                 "updated lists"))
    if hook is None and form in ("hooked", "keys") or form == "keys" and any(
            isinstance(one, str) for group in opt.groups for one in group.which):       # a Key is spelled otherwise
        form = "update"
    grads = {}
    for key, p in params.items():
        dtype = c.of(FLOATS) if c.below(6) else make.dtype(c)
        shape = p.base.shape if p.base is not None and c.below(30) else make.shape(c)
        kind = c.below(24)
        if kind == 0 and p.base is not None:
            g = p
        elif kind == 1 and p.how and p.base is not None and not 0 in p.how[3] and p.base.dtype in FLOATS:
            g = make.overlapping(c, p)
        elif kind == 2:
            g = make.operand(c, shape, dtype)
        elif kind == 3 and hook is not None:
            g = owned(c, make.strided(c, shape, dtype))
            g.value = Method(g.base, hook)
        else:
            g = make.strided(c, shape, dtype)
            g = owned(c, g) if hook is not None or c.below(2) else g
        if c.once_in(25):
            g = Operand(None, np.array(None))
        grads[key] = g
    operands = [*params.values(), *grads.values()]
    for operand in operands:
        if operand.room is not None:
            operand.room.remember()
    values = {key: p.value for key, p in params.items()}
    given = {key: g.value for key, g in grads.items()}
    plain = {key: None if g.value is None else np.array(g.base) if g.base is not None else object()
             for key, g in grads.items()}
    kwds, plain_kwds = {}, {}
    if c.once_in(6):
        t = c.of((1, 2, 5, 2**62, 0, -1, 1.5, "x", 2**63, 10**400, None))
        kwds["t"] = plain_kwds["t"] = t
        if hook is not None and isinstance(t, int):
            kwds["t"] = Number(t, hook)
    if c.once_in(12):
        f = c.of((1.0, 0, float("nan"), "x", 10**400))
        kwds["f"] = plain_kwds["f"] = f
        if hook is not None and isinstance(f, (int, float)):
            kwds["f"] = Number(f, hook)
    if c.once_in(15) and given:
        del given[next(iter(given))]
    if form in ("one", "delta", "deltas") and len(given) < 2 or form == "nested" and not 2 <= len(values) == len(given):
        form = "lists"
    lists = list(values.values()), list(given.values())
    function, arguments = taken(opt), (values, given)
    if form == "update" and opt._ascending() is None:
        function = opt.update
    elif form == "lists":
        arguments = lists
    elif form == "updated lists":
        function, arguments = opt.update if opt._ascending() is None else function, lists
    elif form == "nested":
        arguments = nested(values), nested(given)
    elif form == "numbers":
        arguments = {**values, "n": 0.25}, {**given, "n": 0.5}
        odd = odd or opt.state_dtype != "float32"
    elif form == "one":
        odd = odd or isinstance(lists[1][0], (list, tuple, dict))
        arguments = lists[0][0], lists[1][0]
    elif form == "delta":
        function, arguments = opt.update, lists[1][:1]
    elif form == "deltas":
        function, arguments = opt.update, lists[1][:2]
        if isinstance(arguments[0], dict) or isinstance(arguments[1], dict) or all(
                isinstance(one, (list, tuple)) for one in arguments):
            return False
        if c.once_in(3):
            for word, key in zip("wb", params):
                if params[key].base is not None:
                    kwds[word], plain_kwds[word] = params[key].value, np.array(same[key])
    elif form == "hooked":
        arguments = Hooked(values, hook), Hooked(given, hook) if c.below(2) else given
    elif form == "keys":
        if not all(type(key) is str for key in values):
            return False
        count, hook.count = hook.count, 0
        arguments = tuple({Key(key, hook) if c.below(2) else key: value for key, value in d.items()}
                          for d in (values, given))
        hook.count = count
    if hook is not None:
        hook.arrays[:] = [a.base for a in operands if a.base is not None]
        hook.containers[:] = [a for a in (*arguments, values, given, *lists) if type(a) in (dict, list)]
    before = frozen(opt, hook)
    bits = [operand.base.tobytes() if operand.room is None and operand.base is not None else None
            for operand in operands]
    twin_grads = {key: plain[key] for key in given if key in plain}
    changes = [plain[key] for key in given]
    got, error = attempt(function, *arguments, **kwds)
    if hook is not None and hook.acted and not hook.pure:
        if error is not None:
            check_error(error, (RuntimeError,))
        return False
    if error is not None:
        check_error(error)
        check_memory(operands)
        if frozen(opt, hook) != before:
            raise Finding(f"the state has changed; {error!r}")
        for operand, old in zip(operands, bits):
            if old is not None and operand.base.tobytes() != old:
                raise Finding(f"an array has changed; {error!r}")
        if form == "numbers" and arguments[0]["n"] != 0.25:
            raise Finding(f"a number has changed; {error!r}")
    if form in ("update", "step", "hooked", "keys"):
        wanted, refusal = attempt(taken(twin), same, twin_grads, **plain_kwds)
    elif form == "nested":
        wanted, refusal = attempt(taken(twin), nested(same), nested(twin_grads), **plain_kwds)
    elif form == "numbers":
        numbers = {**same, "n": 0.25}
        wanted, refusal = attempt(taken(twin), numbers, {**twin_grads, "n": 0.5}, **plain_kwds)
    elif form in ("lists", "updated lists"):
        wanted, refusal = attempt(taken(twin), list(same.values()), changes, **plain_kwds)
    elif form == "one":
        wanted, refusal = attempt(taken(twin), next(iter(same.values())), changes[0], **plain_kwds)
    else:
        wanted, refusal = attempt(twin.update, *changes[:1 if form == "delta" else 2], **plain_kwds)
    if error is not None:
        if refusal is None and not odd and not (hook is not None and hook.acted) and all(
                g.base is not None for g in grads.values()):
            raise Finding(f"refused: {error!r}") from error
        return refusal is not None
    if refusal is not None:
        if any(p.base is None for p in params.values()):        # lists of numbers, say, for which there are no copies
            return False
        raise Finding(f"accepted; of plain copies: {refusal!r}")
    if form in ("delta", "deltas"):
        check_same(got, wanted, "deltas")
        check_memory(operands)
    else:
        rooms = [p.room for p in params.values() if p.room is not None]
        if len({*map(id, rooms)}) < len(rooms):         # one that is left alone may lie in the memory of another
            return False
        stepped = dict(itertools.islice(params.items(), 1)) if form == "one" else params
        check_memory(operands, [(p, same[key]) for key, p in stepped.items()
                                if p.base is not None and not (p.room is not None and p.how is None)])
        if form == "numbers":
            check_same(arguments[0]["n"], numbers["n"], "a number")
    if not same_state(opt, twin, hook) and not (odd and isinstance(opt, Wrapper)):
        raise Finding("not the state of plain copies")
    return True


INDICES = [np.dtype(code) for code in ("i8", "i4", "u2", "u8", ">i8", "i1")]


def sparse(c):
    """Steps with Rows, beside steps of plain copies with Rows of plain copies."""
    name, state_dtype = c.of(OPTIMIZERS)
    hook = Hook(c) if c.once_in(4) else None
    kwds, twin_kwds = seeded(name), seeded(name)
    if c.below(2):
        options(c, hook, kwds, twin_kwds)
    state_dtype = state_dtype if c.once_in(8) else "float32"
    opt, error = attempt(lambda: get_opt(name, state_dtype=state_dtype, **kwds))
    twin, refusal = attempt(lambda: get_opt(name, state_dtype=state_dtype, **twin_kwds))
    if error is not None or refusal is not None:
        return
    if c.once_in(3):
        opt, twin = wrapped(c, name, hook, opt, twin)
    if hook is not None:
        hook.opt = opt
    tables = {key: make.strided(Plain(c) if c.below(8) else c, make.shape(c), c.of(FLOATS))
              for key in KEYS[:1 + c.below(3)]}
    if hook is not None:
        tables = {key: owned(c, p) for key, p in tables.items()}
    same = {key: plain_in_order(p.base) for key, p in tables.items()}
    for _ in range(1 + c.below(4)):
        found = {key: a_gradient(c, p) for key, p in tables.items()}
        if not sparse_step(c, opt, twin, tables, same, found, hook):
            break


def a_gradient(c, p):
    """(a gradient, its plain copy, the operands that it is made of): mostly Rows."""
    kind = c.below(16)
    if kind == 0:
        return None, None, []
    if kind == 1:
        g = make.strided(c, p.base.shape, c.of(FLOATS))
        return g.value, g.plain(), [g]
    shape = c.of(((4,), (1,), (0,), (), (2, 3), (40,), (300,), (17,)))
    rows = make.strided(c, shape, c.of(INDICES))
    if not p.base.shape or p.base.shape[0]:
        n = p.base.shape[0] if p.base.shape else 1
        rows.base[...] = np.resize((np.arange(rows.base.size) * (1 + c.below(8)) + c.below(256)) % min(n, 100), shape)
        if c.once_in(20) and rows.base.size:
            rows.base.flat[-1] = c.of((min(n, 120), -1 if rows.base.dtype.kind == "i" else 99, 100))
    if c.once_in(25):
        rows = make.operand(c, shape, make.dtype(c))
    width = p.base.shape[1:] if c.below(20) else make.shape(c)
    values = make.operand(c, (shape if c.below(30) else make.shape(c)) + width,
                          c.of(FLOATS) if c.below(5) else make.dtype(c))
    if c.once_in(10) and p.base.shape and width == p.base.shape[1:]:
        values = Operand(p.base[:4], p.base[:4])
    stand = not any(operand.base is None or isinstance(operand.value, (list, tuple)) for operand in (rows, values))
    got, error = attempt(fastnn.Rows, rows.value, values.value)
    plain, refusal = attempt(lambda: fastnn.Rows(rows.plain(), values.plain()))
    if error is not None:
        check_error(error)
        if refusal is None:
            raise Finding(f"refused: {error!r}") from error
        return None, None, []
    if refusal is not None and stand:
        raise Finding(f"Rows accepted; of plain copies: {refusal!r}")
    return (got, plain, [rows, values]) if refusal is None else (None, None, [])


def sparse_step(c, opt, twin, tables, same, found, hook):
    """Whether the case may go on."""
    operands = [*tables.values(), *(operand for _, _, made in found.values() for operand in made)]
    for operand in operands:
        if operand.room is not None:
            operand.room.remember()
    params, grads = {key: p.value for key, p in tables.items()}, {key: made[0] for key, made in found.items()}
    copies = {key: made[1] for key, made in found.items()}
    form = c.of((dict, lambda d: list(d.values()), lambda d: {"x": list(d.values())}))
    if hook is not None:
        hook.arrays[:] = [p.base for p in tables.values()]
    before, bits = frozen(opt, hook), {key: p.base.tobytes() for key, p in tables.items()}
    _, error = attempt(taken(opt), form(params), form(grads))
    if hook is not None and hook.acted and not hook.pure:
        if error is not None:
            check_error(error, (RuntimeError,))
        return False
    if error is not None:
        check_error(error)
        check_memory(operands)
        if frozen(opt, hook) != before or any(p.base.tobytes() != bits[key] for key, p in tables.items()):
            raise Finding(f"something has changed; {error!r}")
        if hook is not None and hook.acted:
            return False
    _, refusal = attempt(taken(twin), form(same), form(copies))
    if error is not None:
        odd = not all(p.base.flags.c_contiguous and p.base.flags.aligned and p.base.dtype.isnative
                      for p in tables.values())
        if refusal is None and not odd:
            raise Finding(f"refused: {error!r}") from error
        return False
    if refusal is not None:
        raise Finding(f"accepted; of plain copies: {refusal!r}")
    check_memory([operand for operand in operands if operand.room is not None],
                 [(p, same[key]) for key, p in tables.items()])
    if not same_state(opt, twin, hook):
        raise Finding("not the state of plain copies")
    return True


def nested(d):
    """The same in lists and mappings of each other."""
    first, second, *rest = d
    return {"x": [d[first], d[second]], "y": ({key: d[key] for key in rest},)}


def frozen(opt, hook):
    """All of the state as something to compare."""
    count = hook.count if hook is not None else 0
    if hook is not None:
        hook.count = 0
    state, kept = opt.state_dict(), []
    if hook is not None:
        hook.count = count
    while "wrapper" in state:
        kept.append({name: value for name, value in state.items() if name != "optimizer"})
        state = state["optimizer"]
    return [bits_of(kept), state["skipped"], state["passes"], repr(state["rule"]),
            [[(entry["shape"], entry["dtype"], entry["order"], entry["t"], repr(entry["scalars"]),
               [slot_bits(slot) for slot in entry["slots"].values()])
              for entry in state[what].values()] for what in ("by_key", "by_position")]]


def bits_of(kept):
    if isinstance(kept, dict):
        return [(key, bits_of(value)) for key, value in kept.items()]
    if isinstance(kept, (list, tuple)):
        return [bits_of(value) for value in kept]
    return (kept.dtype, kept.shape, kept.tobytes()) if isinstance(kept, np.ndarray) else repr(kept)


def same_kept(one, other):
    """Of two states of wrappers: but for the bits of NaNs."""
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same_kept(one[key], other[key]) for key in one)
    if isinstance(one, np.ndarray):
        return isinstance(other, np.ndarray) and same_bits(one, other)
    return callable(one) or repr(one) == repr(other)


def slot_bits(slot):
    return [part.tobytes() for part in slot.values()] if isinstance(slot, dict) else slot.tobytes()


def same_state(opt, twin, hook):
    if frozen(opt, hook) == frozen(twin, None):
        return True
    count = hook.count if hook is not None else 0
    if hook is not None:
        hook.count = 0
    one, other = opt.state_dict(), twin.state_dict()
    if hook is not None:
        hook.count = count
    while "wrapper" in one:
        left, one, right, other = one, one.pop("optimizer"), other, other.pop("optimizer")
        if not same_kept(left, right):
            return False
    if any(repr(one[name]) != repr(other[name]) for name in ("skipped", "passes", "rule")):
        return False
    for what in ("by_key", "by_position"):
        pairs = list(itertools.zip_longest(one[what].values(), other[what].values()))
        for a, b in pairs:
            if a is None or b is None or (a["t"], repr(a["scalars"])) != (b["t"], repr(b["scalars"])):
                return False
            for x, y in zip(a["slots"].values(), b["slots"].values()):
                for left, right in zip(*([part.values() if isinstance(part, dict) else [part] for part in (x, y)])):
                    if not same_bits(left, right):
                        return False
    return True


STRANGE = [None, -1, 2**70, "x", 1.5, float("nan"), [], {}, (), True, np.ones(3), np.float32(2), object(), b"",
           {"a": 1},
           (2**62,), np.broadcast_to(np.float32(0), (2**40,)), (0, 2**62), np.ones((2, 2), "f8"), 2**63 - 1, 2**32]


def state(c):
    """load_state_dict of something that was a state."""
    name, state_dtype = c.of(OPTIMIZERS)
    kwds = seeded(name)
    if c.below(2):
        kwds["groups"] = [group("a", freeze=bool(c.below(2)), weight_decay=0.5), group("b", lr=Rate((0.5,)))]
    opt, source = (get_opt(name, state_dtype=state_dtype, **kwds) for _ in range(2))
    p = {"a": np.ones(c.of((3, 40, 300)), "f4"), "b": np.ones((2, 3), "f4")}
    source.step(p, {key: np.ones(a.shape) for key, a in p.items()})
    given = source.state_dict()
    inner = given
    for _ in range(c.below(4)):
        found = [value for value in (inner.values() if isinstance(inner, dict) else inner)
                 if isinstance(value, (dict, list)) and value]
        if found:
            inner = c.of(found)
    key = c.of(list(inner)) if isinstance(inner, dict) else c.below(len(inner))
    if c.once_in(3):
        del inner[key]
    else:
        inner[key] = c.of(STRANGE)
    opt.step([np.ones(3, "f4")], [np.ones(3)])
    before = frozen(opt, None)
    _, error = attempt(opt.load_state_dict, given)
    if error is not None:
        if not isinstance(error, fastnn.StateError) or not str(error):
            raise Finding(f"not a StateError: {error!r}") from error
        if frozen(opt, None) != before:
            raise Finding("a refused state has changed something")
    _, error = attempt(opt.step, p, {key: np.ones(a.shape) for key, a in p.items()})
    if error is not None:
        check_error(error)


class Index:
    def __init__(self, value):
        self.value = value

    def __index__(self):
        return self.value


class Odd(int):
    __le__ = __lt__ = __ge__ = __gt__ = lambda self, other: True


NUMBERS = [1, 2, 3, 4096, None, 0, -5, 4097, 2**31, 2**63, 2**64 + 1, 10**400, 1.0, "2", True, np.int8(2),
           np.float32(2),
           np.array(2), np.array([1, 2]), Odd(-7), Odd(2**40), Index(2), Index("2"), Index(2.5), Index(None), object()]
UNBOUND = [(elementwise.ElementwiseActivation, "forward"), (elementwise.ElementwiseActivation, "value_and_grad"),
           (elementwise.Elementwise, "_bound"), (rows.RowActivation, "forward"), (rows.RowActivation, "backward"),
           (row_losses.RowLoss, "_value_and_gradient"), (stepping.Stepper, "_step_mapping"), (stepping.Stepper, "_record"),
           (type(get_opt("Adam")), "_step_deltas"), (type(get_opt("Adam")), "_restore")]


def object_(c):
    """Objects in states that they should not be in, methods of other objects, numbers of threads."""
    kind = c.below(4)
    if kind == 0:
        before = fastnn.get_num_threads()
        _, error = attempt(fastnn.set_num_threads, c.of(NUMBERS))
        if error is not None:
            check_error(error)
            if fastnn.get_num_threads() != before:
                raise Finding("a number of threads that was refused counts")
        elif not 1 <= fastnn.get_num_threads() <= 4096:
            raise Finding(f"{fastnn.get_num_threads()} threads")
        fastnn.set_num_threads(2)
    elif kind == 1:
        cls, method = c.of(UNBOUND)
        arguments = [c.of((object(), None, 3, "abc", np.ones(3), get_err("Square"))),
                     *[c.of((np.ones(3), {}, [], None)) for _ in range(c.below(4))]]
        if cls in type(arguments[0]).__mro__:
            return
        got, error = attempt(getattr(cls, method), *arguments)
        if not isinstance(error, TypeError):
            raise Finding(f"{method} of another class: {got!r}, {error!r}")
    else:
        made = c.of((get_opt(c.of(OPTIMIZERS)[0]), c.of(ELEMENTWISE), c.of(ROWS), get_err(c.of(LOSSES))))
        bare = type(made).__new__(type(made))
        if kind == 3:
            bare.__dict__.update({key: value for key, value in made.__dict__.items()})
        x = np.ones((2, 3), "f4")
        for method in ("step", "update", "forward", "backward", "d2y", "value_and_grad", "state_dict"):
            if hasattr(bare, method):
                _, error = attempt(getattr(bare, method), *((x, x) if method in ("step", "forward") else
                                                            (x,) if method != "state_dict" else ()))
                if error is not None and not isinstance(error, (TypeError, ValueError, AttributeError)):
                    raise Finding(f"{method} of {type(made)} without __init__: {error!r}")


CASES = ([activation] * 6 + [gated_unit, learned] * 2 + [concatenated] + [optimizer] * 5 + [loss] * 3 + [loss_of_several] + [helper] * 3
         + [sparse] * 3 + [state, object_, layer])


def run(c):
    """One case."""
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".* this step is skipped", RuntimeWarning)
        c.of(CASES)(c)
