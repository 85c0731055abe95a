"""What operands cost that are not plain arrays of float32 and float64: halves, numbers, other memory layouts.

    python asv_bench/operands.py halves [--size N ...]      # time as a multiple of float32's: activations, then a step
    python asv_bench/operands.py numbers                    # beside 1/(1 + exp(-x)), ns
    python asv_bench/operands.py layouts [--size N ...]     # ReLU's backward of N x N, NumPy's time as a multiple; torch's

One thread; both sides of a ratio take turns in one process, and the least time of many short rounds counts.
"""
import argparse

import numpy as np

import fastnn
from fastnn import get_act, get_opt
from fastnn.cli.contest import fastest
from fastnn.cli.peers.library import Call

NETWORK = [(784, 100), (100,), *[(100, 100), (100,)]*3, (100, 10), (10,)]


def least(calls, rounds=5):
    """The least time of each call, in seconds."""
    return [seconds for seconds, _ in fastest(dict(enumerate(map(Call, calls))), rounds, 0).values()]


def dtypes():
    try:
        from ml_dtypes import bfloat16
    except ImportError:
        return [np.float32, np.float16]
    return [np.float32, np.float16, bfloat16]


def activation_calls(name, dtype, size):
    """{what: a call}, with results in arrays that are there."""
    act, rng = get_act(name, **{"threshold": 0, "value": 0} if name == "threshold" else {}), np.random.default_rng(0)
    x, g = (rng.standard_normal(size, np.float32).astype(dtype) for _ in range(2))
    out, second = np.empty_like(x), np.empty_like(x)
    if act.kind == "gated":
        return {"f": lambda: act.forward(x, out=out, gate=g),
                "f' g": lambda: act.backward(x, grad=x, out=(out, second), gate=g)}
    if act.kind == "learnable":
        return {"f": lambda: act.forward(x, out=out), "f' g": lambda: act.backward(x, grad=g, out=out)}
    y, place = act(x), np.zeros_like(x)
    calls = {"f": lambda: act.forward(x, out=out), "f' g": lambda: act.backward(x, grad=g, out=out),
             "f''": lambda: act.d2y(x, out=out), "f and f'": lambda: act.value_and_grad(x, out=(out, second)),
             "in place": lambda: act.forward(place, out=place)}
    if act.by_value:
        calls["f' g from y"] = lambda: act.backward(y=y, grad=g, out=out)
    return calls


def step_call(name, dtype, shapes):
    rng = np.random.default_rng(0)
    params, grads = ([rng.standard_normal(shape, np.float32).astype(dtype) for shape in shapes] for _ in range(2))
    opt = get_opt(name, **{"rng": 3} if hasattr(get_opt(name), "rng") else {})
    return lambda: opt.step(params, grads)


def ratios(title, calls):
    first, *others = least(calls)
    print(f"{title:32} {1e6*first:9.2f} us " + " ".join(f"{other/first:6.2f}" for other in others), flush=True)


def halves(sizes):
    print("float32's time, and", " ".join(np.dtype(dtype).name for dtype in dtypes()[1:]), "as multiples of it")
    for size in sizes:
        for name in (*fastnn.activations("elementwise"), *fastnn.activations("gated"), *fastnn.activations("learnable")):
            calls = [activation_calls(name, dtype, size) for dtype in dtypes()]
            for what in calls[0]:
                ratios(f"{size} {name} {what}", [each[what] for each in calls])
    for title, shapes in (("1e5", [(100_000,)]), ("784-100x4-10", NETWORK)):
        for name in fastnn.optimizers():
            ratios(f"{title} {name}", [step_call(name, dtype, shapes) for dtype in dtypes()])


def numbers():
    exp = np.exp
    print("ns: 1/(1 + exp(-x)), call, forward, backward, backward with a gradient, d2y, value_and_grad")
    for name in ("sigmoid", "ReLU", "GELU", "Mish"):
        act = get_act(name)
        for x in (0.75, np.float64(0.75), np.float32(0.75)):
            g = type(x)(2)
            *found, nothing = least([
                lambda: 1/(1 + exp(-x)), lambda: act(x), lambda: act.forward(x), lambda: act.backward(x),
                lambda: act.backward(x, grad=g), lambda: act.d2y(x), lambda: act.value_and_grad(x), lambda: None])
            print(f"{name:8} {type(x).__name__:8}", *(f"{1e9*(each - nothing):5.0f}" for each in found), flush=True)


def layouts_of(n, dtype):
    """{name: (x, gradient, out)} of n x n elements or about so many."""
    rng = np.random.default_rng(0)

    def new(*shape, order="C"):
        return np.asarray(rng.standard_normal(shape).astype(dtype), order=order)

    x, g, wide, other = new(n, n), new(n, n), new(n, 2*n), new(n, 2*n)
    turned, images = new(n, n, order="F"), (4, 16, max(n//8, 1), max(n//8, 1))
    return {"C, C": (x, g, None), "C, F": (x, turned, None), "F, C": (turned, g, None),
            "F, F, into C": (turned, turned, np.empty_like(x)), "x[:, ::2]": (wide[:, ::2], g, None),
            "both [:, ::2]": (wide[:, ::2], other[:, ::2], None), "x[:, :n]": (wide[:, :n], g, None),
            "x, g, out [:, :n]": (wide[:, :n], other[:, :n], other[:, n:]), "x[::-1]": (x[::-1], g, None),
            "x[:, ::-1]": (x[:, ::-1], g, None), "g of one row": (x, g[0], None), "g of one column": (x, g[:, :1], None),
            "NCHW, NHWC": (new(*images), new(*images).transpose(0, 2, 3, 1).copy().transpose(0, 3, 1, 2), None)}


def layouts(sizes):
    try:
        import torch
    except ImportError:
        torch = None
    else:
        torch.set_num_threads(1)
    relu = get_act("ReLU")
    print("fastnn, NumPy's (x > 0)*g" + ", torch as multiples" if torch else " as a multiple")
    for n in sizes:
        for dtype in (np.float32, np.float64):
            for name, (x, g, out) in layouts_of(n, dtype).items():
                calls = [lambda: relu.backward(x, grad=g, out=out), lambda: np.multiply(x > 0, g, out=out)]
                if torch and min(x.strides) > 0:
                    a, b = torch.from_numpy(x), torch.from_numpy(g).expand(x.shape)
                    calls.append(lambda: torch.ops.aten.threshold_backward(b, a, 0))
                ratios(f"{n} {np.dtype(dtype).name} {name}", calls)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["halves", "numbers", "layouts"])
    parser.add_argument("--size", type=int, nargs="+")
    options = parser.parse_args()
    fastnn.set_num_threads(1)
    if options.what == "numbers":
        numbers()
    elif options.what == "halves":
        halves(options.size or [10_000, 100_000])
    else:
        layouts(options.size or [24, 300, 1000])
