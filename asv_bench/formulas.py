"""Registered formulas against built-in entries, NumPy and torch.compile: one process, in turn, the least times.

    python asv_bench/formulas.py [activations] [optimizers] [peers] [start] [--dtype float32 ...] [--size N ...]
                                 [--names NAME ...] [--threads N] [--rounds R] [--pause S]

activations: copies of built-in ones, written as a user would and as well as can be; how many times as long as the copy the
built-in one takes, and the largest error of both, in ULP: float32 against the built-in float64 results, float64 in exact
arithmetic (mpmath, in a checkout). A copy within the bounds of fastnn/bounds.py that is faster is named at the end.
optimizers: copies; ratios say how many times as long as the built-in one they take. peers: the same formula in NumPy and,
where torch and a C++ compiler are, by torch.compile; ratios say how many times as long as fastnn they take.
start: the seconds until a formula can be used in a process of
its own, without and with its kernels on the disk.
"""
import argparse
import math
import os
import subprocess
import sys
import tempfile
from functools import partial

import numpy as np
from rich.console import Console
from rich.table import Table

import fastnn
from fastnn import accuracy, bounds, register_act, register_opt
from fastnn.cli.contest import fastest
from fastnn.cli.peers.library import Call
from fastnn.core.ulps import largest_error

SECTIONS = ["activations", "optimizers", "peers", "start"]
SLOWER = 1.05               # of the copy's time: clocks are no better
EXACT = 300                 # float64 arguments, judged by mpmath


# Copies of activations, as they are usually written and as well as they can be.

def step(x):
    return 1.0 if x > 0 else 0.0


def relu(x):
    return max(x, 0)


def relu6(x):
    return min(max(x, 0), 6)


def leaky_relu(x, alpha):
    return x if x >= 0 else alpha*x


def hard_sigmoid(x):
    return min(max(x/5 + 0.5, 0), 1)


def hard_tanh(x):
    return min(max(x, -1), 1)


def hard_shrink(x, lambda_):
    return 0.0 if abs(x) <= lambda_ else x


def soft_shrink(x, lambda_):
    return math.copysign(max(abs(x) - lambda_, 0), x)


def sigmoid(x):
    return 1/(1 + math.exp(-x))


def quick_sigmoid(x):
    import scipy.special
    return scipy.special.expit(x)


def log_sigmoid(x):
    return -math.log1p(math.exp(-x))


def quick_log_sigmoid(x):
    import scipy.special
    return scipy.special.log_expit(x)


def tanh(x):
    return math.tanh(x)


def tanh_shrink(x):
    return x - math.tanh(x)


def softplus(x):
    return max(x, 0) + math.log1p(math.exp(-abs(x)))


def quick_softplus(x):
    import scipy.special
    return -scipy.special.log_expit(-x)


def softsign(x):
    return x/(1 + abs(x))


def bent_identity(x):
    return (math.sqrt(x*x + 1) - 1)/2 + x


def quick_bent_identity(x):
    return x*(1 + 0.5*x/(math.sqrt(x*x + 1) + 1))


def elu(x, alpha):
    return x if x >= 0 else alpha*math.expm1(x)


def selu(x, lambda_, alpha):
    return lambda_*(x if x >= 0 else alpha*math.expm1(x))


def celu(x, alpha):
    return x if x >= 0 else alpha*math.expm1(x/alpha)


def gelu(x):
    return 0.5*x*(1 + math.erf(x/math.sqrt(2)))


def quick_gelu(x):
    import scipy.special
    return x*scipy.special.ndtr(x)


def swish(x, beta):
    return x/(1 + math.exp(-beta*x))


def quick_swish(x, beta):
    import scipy.special
    return x*scipy.special.expit(beta*x)


def mish(x):
    return x*math.tanh(math.log1p(math.exp(x)))


def quick_mish(x):
    e = math.exp(min(x, 20))            # tanh(log(1 + e)) = (e^2 + 2e)/(e^2 + 2e + 2), 1 above 20
    n = e*(e + 2)
    return x*(n/(n + 2))


def tanhexp(x):
    return x*math.tanh(math.exp(x))


ACTIVATIONS = [
    ("step", step, {}), ("ReLU", relu, {}), ("ReLU6", relu6, {}), ("leaky-ReLU", leaky_relu, {"alpha": 0.01}),
    ("hard-sigmoid", hard_sigmoid, {}), ("hard-tanh", hard_tanh, {}), ("hard-shrink", hard_shrink, {"lambda_": 0.5}),
    ("soft-shrink", soft_shrink, {"lambda_": 0.5}), ("sigmoid", sigmoid, {}), ("sigmoid", quick_sigmoid, {}),
    ("log-sigmoid", log_sigmoid, {}), ("log-sigmoid", quick_log_sigmoid, {}), ("tanh", tanh, {}),
    ("tanh-shrink", tanh_shrink, {}), ("softplus", softplus, {}), ("softplus", quick_softplus, {}),
    ("softsign", softsign, {}), ("bent-identity", bent_identity, {}), ("bent-identity", quick_bent_identity, {}),
    ("ELU", elu, {"alpha": 1.0}), ("SELU", selu, {"lambda_": 1.0507, "alpha": 1.67326}),
    ("CELU", celu, {"alpha": 1.0}), ("GELU", gelu, {}), ("GELU", quick_gelu, {}), ("Swish", swish, {"beta": 1.0}),
    ("Swish", quick_swish, {"beta": 1.0}), ("Mish", mish, {}), ("Mish", quick_mish, {}), ("tanhExp", tanhexp, {})]


# Copies of optimizers.

def sgd(g, h):
    return -h.eta*g


def momentum(g, v, h):
    v = h.momentum*v - h.lr*g
    return v, v


def adagrad(g, G, h):
    G += g*g
    return -h.eta*g/(math.sqrt(G) + h.eps), G


def adam(g, m, v, h):
    m += (1 - h.beta1)*(g - m)
    v += (1 - h.beta2)*(g*g - v)
    root = math.sqrt(1 - h.beta2**h.t)
    return -h.alpha*root/(1 - h.beta1**h.t)*m/(math.sqrt(v) + h.eps*root), m, v


OPTIMIZERS = [("SGD", sgd, (), {"eta": 1e-2}), ("Momentum", momentum, ("v",), {"lr": 1e-2, "momentum": 0.9}),
              ("AdaGrad", adagrad, ("G",), {"eta": 1e-3, "eps": 1e-10}),
              ("Adam", adam, ("m", "v"), {"alpha": 1e-3, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8})]


# Formulas in NumPy and PyTorch, as their users write them.

def snake(x, a):
    return x + math.sin(a*x)**2/a


def in_numpy(name):
    try:
        from scipy.special import erf
    except ImportError:
        erf = np.vectorize(math.erf)
    return {"Mish": lambda x: x*np.tanh(np.log1p(np.exp(x))), "GELU": lambda x: 0.5*x*(1 + erf(x/math.sqrt(2))),
            "snake": lambda x: x + np.sin(1.0*x)**2/1.0}[name]


def in_torch(name):
    import torch
    return {"Mish": lambda x: x*torch.tanh(torch.log1p(torch.exp(x))),
            "GELU": lambda x: 0.5*x*(1 + torch.erf(x/math.sqrt(2))),
            "snake": lambda x: x + torch.sin(1.0*x)**2/1.0}[name]


PEERS = {"Mish": (mish, {}), "GELU": (gelu, {}), "snake": (snake, {"a": 1.0})}


def normal(size, dtype, seed=0):
    return (2*np.random.default_rng(seed).standard_normal(size)).astype(dtype)


def orders(act, x, grad):
    """What is timed of an activation."""
    out = np.empty_like(x)
    return {"f": Call(partial(act.forward, x, out=out)), "f'": Call(partial(act.backward, x, out=out)),
            "f' g": Call(partial(act.backward, x, grad=grad, out=out)), "f''": Call(partial(act.d2y, x, out=out))}


def single(count=2**21):
    """float32 arguments: equal steps of bits, half of them where functions bend."""
    bits = [np.arange(start, stop, stride, np.uint32) for start, stop, stride, _ in accuracy.tasks(0.0, count)]
    return np.concatenate(bits).view(np.float32)


EDGES = [0.0, -0.0, math.inf, -math.inf, math.nan]


def errors(act, name, dtype, oracle):
    """The largest errors of `act`, which computes what `name` does, by order; None where nobody can judge."""
    exact = fastnn.get_act(name, **accuracy.hyperparameters_of(name, {}, np.float32))
    x = np.append(single() if dtype == "float32" else accuracy.wide_sample(EXACT), EDGES).astype(dtype)
    found = {}
    for order, (title, call) in enumerate(zip(("f", "f'", "f''"), accuracy.CALLS.values())):
        near = bounds.crossing(name, order, getattr(exact, "beta", 1.0))
        if dtype == "float32":
            got, wanted = getattr(act, call)(x), getattr(exact, call)(x.astype(np.float64))
            inside = np.abs(x) < near
            found[title] = max(largest_error(got[part], wanted[part], floor)[0] for part, floor in (
                (inside, bounds.FLOOR), (~inside, 0.0)) if part.any())
        else:
            found[title] = oracle and max(
                accuracy.judged(oracle, name, order, a, y, near, {}) for a, y in zip(x, getattr(act, call)(x)))
    return found | {"f' g": found["f'"]}


def compare_activations(options):
    table = Table("activation", "formula", "dtype", "elements", "what", "ns", "copy", "built-in/copy", "ULP", "copy's ULP")
    oracle = accuracy.exact_arithmetic()
    faster = []
    for name, function, hyperparameters in ACTIVATIONS:
        if name not in options.names:
            continue
        register_act("formula", replace=True, **hyperparameters)(function)
        act, copy = fastnn.get_act(name), fastnn.get_act("formula")
        for dtype in options.dtype:
            with np.errstate(all="ignore"):
                own, copied = (errors(each, name, dtype, oracle) for each in (act, copy))
            limits = dict(zip(("f", "f'", "f''"), bounds.ULPS[dtype]))
            limits["f' g"] = limits["f'"]
            for size in options.size or (8_192,):
                x, grad = normal(size, dtype), normal(size, dtype, seed=1)
                mine, theirs = orders(act, x, grad), orders(copy, x, grad)
                for what in mine:
                    times = fastest({"mine": mine[what], "copy": theirs[what]}, options.rounds, options.pause)
                    (least, spread), (other, others) = times.values()
                    row = name, function.__name__, dtype, f"{size:,}", what
                    table.add_row(*row, f"{1e9*least/size:.3f}{'*' if max(spread, others) > 0.25 else ''}",
                                  f"{1e9*other/size:.3f}", f"{least/other:.2f}",
                                  *("-" if each[what] is None else f"{each[what]:.3g}" for each in (own, copied)))
                    if least > SLOWER*other and (copied[what] is None or copied[what] <= limits[what]):
                        faster.append(f"{' '.join(row)}: {least/other:.2f} times the time of its copy")
    fastnn.unregister("formula")
    table.caption = "\n".join(faster) or "no copy within the bounds is faster"
    return table


def stepper(name, shapes, dtype):
    opt = fastnn.get_opt(name)
    params = {f"p{i}": np.zeros(shape, dtype) for i, shape in enumerate(shapes)}
    grads = {key: normal(param.shape, dtype) for key, param in params.items()}
    return Call(lambda: opt.update(params, grads))


def compare_optimizers(options):
    table = Table("optimizer", "dtype", "elements", "ns", "built-in")
    for name, rule, state, hyperparameters in OPTIMIZERS:
        if name not in options.names:
            continue
        register_opt("formula", state=state, replace=True, learning_rate=next(iter(hyperparameters)),
                     **hyperparameters)(rule)
        for dtype in options.dtype:
            for shapes in [[size] for size in options.size or (1_000, 100_000, 10_000_000)] + [[10]*100]:
                times = fastest({"mine": stepper("formula", shapes, dtype), "built-in": stepper(name, shapes, dtype)},
                                options.rounds, options.pause)
                add_row(table, times, sum(shapes), name, dtype,
                        f"{shapes[0]:,}" if len(shapes) == 1 else f"{len(shapes)} of {shapes[0]}")
    fastnn.unregister("formula")
    return table


def compare_peers(options):
    table = Table("formula", "dtype", "elements", "ns", "NumPy", "torch.compile", "torch, one operator a step")
    try:
        import torch
    except ImportError:
        torch = None
    for name, (function, hyperparameters) in PEERS.items():
        if name not in options.names:
            continue
        register_act("formula", replace=True, **hyperparameters)(function)
        for dtype in options.dtype:
            for size in options.size or (1_000_000,):
                x = normal(size, dtype)
                calls = {"mine": Call(partial(fastnn.get_act("formula").forward, x)),
                         "numpy": Call(partial(in_numpy(name), x))}
                if torch:
                    torch.set_num_threads(fastnn.get_num_threads())
                    compiled = torch.compile(in_torch(name), fullgraph=True)
                    calls["compiled"] = Call(partial(compiled, torch.from_numpy(x)), torch.no_grad)
                    calls["eager"] = Call(partial(in_torch(name), torch.from_numpy(x)), torch.no_grad)
                    check_equal(name, calls)
                add_row(table, fastest(calls, options.rounds, options.pause), size, name, dtype, f"{size:,}")
    fastnn.unregister("formula")
    return table


def check_equal(name, calls):
    """All sides compute the same."""
    wanted = np.asarray(calls["numpy"].run())
    for call in calls.values():
        with call.around():
            np.testing.assert_allclose(np.asarray(call.run()), wanted, rtol=1e-5, atol=1e-6, err_msg=name)


START = """
import sys, time
start = time.perf_counter()
import math, fastnn
from fastnn import get_act, get_opt, register_act, register_opt
imported = time.perf_counter()
@register_act("snake as written", a=1.0)
def snake(x, a):
    return x + math.sin(a*x)**2/a
registered = time.perf_counter()
get_act("snake as written")
first = time.perf_counter()
@register_opt("adam-like", state=("m", "v"), lr=1e-3, beta1=0.9, beta2=0.999, eps=1e-8)
def rule(g, m, v, h):
    m += (1 - h.beta1)*(g - m)
    v += (1 - h.beta2)*(g*g - v)
    return -h.lr*m/(math.sqrt(v) + h.eps), m, v
get_opt("adam-like")
second = time.perf_counter()
print(imported - start, registered - imported, first - registered, second - first, *(
    module in sys.modules for module in ("numba", "sympy", "llvmlite")))
"""


def compare_start(options):
    parts = ("import fastnn", "register snake, derive and check", "get_act", "register and get an optimizer")
    table = Table("seconds", *parts, "sum", "imported")
    for cached in (False, True):
        with tempfile.TemporaryDirectory() as folder:
            least = None
            for _ in range(options.rounds + cached):
                if not cached:
                    folder = os.path.join(folder, "new")
                environment = {**os.environ, "FASTNN_CACHE_DIR": folder}
                *seconds, numba, sympy, llvmlite = subprocess.run(
                    [sys.executable, "-c", START], env=environment, check=True, capture_output=True,
                    text=True).stdout.split()
                found = [float(second) for second in seconds]
                least = found if least is None or sum(found) < sum(least) else least
        loaded = [name for name, yes in (("numba", numba), ("sympy", sympy), ("llvmlite", llvmlite)) if yes == "True"]
        table.add_row("from the disk" if cached else "compiled", *(f"{each:.3f}" for each in least),
                      f"{sum(least[1:]):.3f}", ", ".join(loaded))
    return table


def add_row(table, times, size, *what):
    """A row: what, the time of one element, and how the others compare with it; * where the machine was busy."""
    (mine, spread), *others = times.values()
    ratios = [mine/other if len(others) == 1 else other/mine for other, _ in others]
    busy = "*" if max(spread, *(each for _, each in others)) > 0.25 else ""
    table.add_row(*what, f"{1e9*mine/size:.3f}{busy}", *(f"{ratio:.2f}" for ratio in ratios))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sections", nargs="*", help=f"any of {', '.join(SECTIONS)}; all if left out")
    parser.add_argument("--dtype", nargs="+", default=["float32", "float64"], choices=["float32", "float64"])
    parser.add_argument("--size", type=int, nargs="+", help="8,192 for activations, 1,000 100,000 10,000,000 for "
                        "optimizers, 1,000,000 beside the peers")
    parser.add_argument("--names", nargs="+",
                        default=sorted({row[0] for row in (*ACTIVATIONS, *OPTIMIZERS)} | {*PEERS}))
    parser.add_argument("--threads", type=int)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--pause", type=float, default=0.04)
    options = parser.parse_args()
    if unknown := set(options.sections) - set(SECTIONS):
        parser.error(f"no section {', '.join(sorted(unknown))}")
    fastnn.set_num_threads(options.threads)
    compare = dict(zip(SECTIONS, (compare_activations, compare_optimizers, compare_peers, compare_start)))
    print(f"fastnn {fastnn.__version__} ({fastnn.core.isa()}), {fastnn.get_num_threads()} threads")
    for section in options.sections or SECTIONS:
        Console(width=140).print(compare[section](options), sep="\n")
