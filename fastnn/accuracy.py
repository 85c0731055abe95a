"""``python -m fastnn.accuracy``: the largest error of every activation over the float32 line, as Markdown tables.

Of gated units the gate is measured, a = 1; of what is learned f, f' and each element's derivative in each parameter.

float32 results are compared with the float64 kernels at the same arguments, whose own error is about 2^-27 of a float32
unit. The few largest errors of each function are then judged again in exact arithmetic, where mpmath and the
formulas of tests/oracles are at hand: in a checkout, or with its tests/ on PYTHONPATH. float64 results are only ever
judged so, on a sample.
"""
import argparse
import heapq
import importlib
import importlib.util
import os
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

import fastnn

from .bounds import CROSSINGS, FLOOR, LEARNED_ULPS, ULPS, crossing, unit
from .core.ulps import largest_error
from .learnable import learnable

BLOCK = 16384               # inputs and both results stay in the second-level cache
TASK = 2**22                # inputs between two readings of the clock
CANDIDATES = 6              # how many of the largest errors are judged again, and whose neighbours a sample includes
AROUND = 2**15              # so many floats on either side
BENDS = (2.0**-6, 2.0**7)   # where functions bend, by |x|: half of a sample
CALLS = {0: "forward", 1: "backward", 2: "d2y"}
TITLES = {0: "f", 1: "f'", 2: "f''"}
REQUIRED = {"threshold": {"threshold": 0.5, "value": -0.25}}        # what the catalogue has no defaults for
INFINITE = 0x7f800000       # the bits of float32's infinity; those of -x are 2^31 more
LEARNED = ", learned"       # ends the title of an activation whose loops are those with learned parameters


def type_of(name):
    from .activations import _registry
    return _registry[name]


def subjects(names=None):
    """The titles of what is measured, by kind: all, or those of the activations named. Raises ValueError for an unknown name
    or one of which nothing is measured.
    """
    chosen = [type_of(name).name for name in names] if names else fastnn.activations()
    found = {"elementwise": [name for name in chosen if type_of(name).kind == "elementwise"],
             "gated": [name for name in chosen if type_of(name).kind == "gated"],
             "learned": [name + LEARNED for name in chosen if name in learnable()]}
    if names and (others := [name for name in chosen if name not in sum(found.values(), []) and name not in learnable()]):
        raise ValueError(f"elementwise, gated and learnable activations are measured here, not {others[0]}")
    return found


def keys_of(title, orders=(0, 1, 2)):
    """What is measured of it: those of f, f', f'' that it has, and the names of its parameters."""
    name, learned, _ = title.partition(LEARNED)
    whole = learned or type_of(name).kind == "gated"
    return (*(order for order in orders if order < 2 or not whole), *(learnable()[name] if learned else ()))


def functions(title, hyperparameters):
    """key -> a function (x, out=...) that computes it at the elements of a vector."""
    name, learned, _ = title.partition(LEARNED)
    if learned:
        return {key: learned_function(name, key, hyperparameters) for key in keys_of(title)}
    act = fastnn.get_act(name, **hyperparameters)
    if act.kind == "gated":
        return {0: lambda x, out: act.forward(np.ones_like(x), x, out=out),
                1: lambda x, out: act.backward(np.ones_like(x), grad=np.ones_like(x), out=(np.empty_like(x), out), gate=x)}
    return {order: getattr(act, call) for order, call in CALLS.items()}


def learned_function(name, key, hyperparameters):
    """f and f' with one of each parameter; derivatives in one with a channel for each element, so that none are added up."""
    act, channels = fastnn.get_act(name, learn=learnable()[name], **hyperparameters), threading.local()

    def value(x, out):
        act.forward(x, out=out)

    def slope(x, out):
        act.backward(x, grad=np.ones_like(x), out=out)

    def in_parameter(x, out):
        each = channels.__dict__.get(x.size)
        if each is None:
            each = channels.__dict__[x.size] = fastnn.get_act(name, learn=learnable()[name], channels=x.size, axis=0,
                                                              **hyperparameters)
        each.backward(x, grad=np.ones_like(x))
        np.copyto(out, each.grads[key], casting="same_kind")
    return {0: value, 1: slope}.get(key, in_parameter)


def at(function, x):
    """The value at the float x."""
    x, out = np.array([x]), np.empty(1, type(x))
    function(x, out=out)
    return out[0]


def hyperparameters_of(title, given, dtype):
    """The numbers that the kernels of that dtype have, by name."""
    name = title.partition(LEARNED)[0]
    act = fastnn.get_act(name, **REQUIRED.get(name, {}) | given)
    numbers = {key: getattr(act, key) for key in act.hyperparameters}
    return {key: float(dtype(np.max(value))) for key, value in numbers.items()
            if key not in ("axis", "channels", "gate_half")}


def pair(title, given):
    """The functions, and those of the float64 kernels with the hyperparameters that float32 holds."""
    return (functions(title, hyperparameters_of(title, given, np.float64)),
            functions(title, hyperparameters_of(title, given, np.float32)))


def line(near):
    """The float32 line by its bits, as (first, last, whether |x| < near): positive numbers, then negative ones."""
    cut = int(np.float32(near).view(np.uint32))
    for sign in (0, 2**31):
        if cut:
            yield sign, sign + cut, True
        yield sign + cut, sign + 2**31, False


def tasks(near, sample=None):
    """(first, stop, stride, near) of pieces of the line: all of it, or about `sample` arguments in equal steps of bits,
    half of them where functions bend.
    """
    yield from steps(line(near), 2**33//sample | 1 if sample else 1)        # odd, so that the low bits vary
    if sample:
        low, high = np.float32(BENDS).view(np.uint32).tolist()
        bent = [(max(start, sign + low), min(stop, sign + high), inside)
                for start, stop, inside in line(near) for sign in [start & 2**31]]
        yield from steps(bent, 4*(high - low)//sample | 1)


def steps(pieces, stride):
    """The pieces of the line as tasks."""
    for start, stop, inside in pieces:
        for at in range(start, stop, TASK*stride):
            yield at, min(at + TASK*stride, stop), stride, inside


def windows(near, points, width):
    """Tasks of the `width` floats on either side of each of the positive `points` and of its opposite."""
    for first, last, inside in line(near):
        for point in np.asarray(points, np.float32).view(np.uint32).tolist():
            middle = point + (first & 2**31)
            start, stop = max(first, middle - width), min(last, middle + width + 1)
            if start < stop:
                yield start, stop, 1, inside


class Scan:
    """One derivative of one activation over float32 arguments: `worst` collects the largest errors of blocks."""

    def __init__(self, name, order, **hyperparameters):
        self.title, self.name, self.order = name, name.partition(LEARNED)[0], order
        self.hyperparameters = hyperparameters_of(name, hyperparameters, np.float64)
        own, reference = pair(name, hyperparameters)
        self.call, self.exact = own[order], reference[order]
        self.near = crossing(self.name, order, hyperparameters_of(name, hyperparameters, np.float32).get("beta", 1.0))
        self.worst = []                     # (error, bits of x)
        self.lock = threading.Lock()

    def run(self, task):
        """Go through one task; the number of arguments in it."""
        start, stop, stride, inside = task
        floor = FLOOR if inside else 0.0
        steps = (np.arange(BLOCK, dtype=np.uint64)*stride).astype(np.uint32)
        bits, x64 = np.empty(BLOCK, np.uint32), np.empty(BLOCK)
        got, exact = np.empty(BLOCK, np.float32), np.empty(BLOCK)
        count = count_of(task)
        start += int(np.random.default_rng([start, stride]).integers(stop - start - (count - 1)*stride))
        with np.errstate(all="ignore"):     # signalling NaN
            for at in range(0, count, BLOCK):
                n = min(BLOCK, count - at)
                np.add(steps[:n], np.uint32(start + at*stride), out=bits[:n])
                x = bits[:n].view(np.float32)
                np.copyto(x64[:n], x)
                self.call(x, out=got[:n])
                self.exact(x64[:n], out=exact[:n])
                error, where = largest_error(got[:n], exact[:n], floor)
                if len(self.worst) < CANDIDATES or error > self.worst[0][0]:
                    self.keep(error, int(bits[where]))
        return count

    def around(self):
        """Tasks around the arguments of the largest errors so far: an error that is rare has large ones about it."""
        points = {abs(float(np.uint32(bits).view(np.float32))) for _, bits in self.worst}
        yield from windows(self.near, sorted(point for point in points if point < np.inf), AROUND)

    def keep(self, error, bits):
        with self.lock:
            add = heapq.heappush if len(self.worst) < CANDIDATES else heapq.heappushpop
            add(self.worst, (error, bits))

    def result(self, oracle):
        """(the largest error, its argument), judged again by `oracle` if there is one."""
        found = [(error, np.uint32(bits).view(np.float32)) for error, bits in self.worst]
        if oracle:
            found = [(judged(oracle, self.name, self.order, x, at(self.call, x), self.near, self.hyperparameters), x)
                     for _, x in found]
        return max(found, key=lambda one: one[0])


def exact_arithmetic():
    """tests/oracles/activations.py of the checkout that fastnn lies in or whose tests are on the path, or None."""
    if importlib.util.find_spec("mpmath") is None:
        return None
    if importlib.util.find_spec("oracles") and importlib.util.find_spec("oracles.activations"):
        return importlib.import_module("oracles.activations")
    path = Path(fastnn.__file__).parents[1]/"tests"/"oracles"/"activations.py"
    if not path.is_file():
        return None
    if "fastnn_oracles" not in sys.modules:
        spec = importlib.util.spec_from_file_location("fastnn_oracles", path)
        module = importlib.util.module_from_spec(spec)
        sys.modules["fastnn_oracles"] = module      # its dataclass looks itself up
        spec.loader.exec_module(module)
    return sys.modules["fastnn_oracles"]


def judged(oracle, name, order, x, got, near, hyperparameters):
    """The error in ULP of the result `got` at the float x by exact arithmetic."""
    dtype = np.dtype(type(x)).name
    if not np.isfinite(x):
        exact = float(oracle.reference(name, order, np.array([x]), **hyperparameters)[0])
        got = float(got)
        return 0.0 if got == exact or (np.isnan(got) and np.isnan(exact)) else np.inf
    exact = oracle.exact(name, order, float(x), dtype, **hyperparameters)
    rounded = np.dtype(dtype).type(oracle.to_float64(exact))
    if not np.isfinite(got):
        return 0.0 if got == rounded else np.inf
    return float(abs(oracle.mpf(float(got)) - exact)/unit(float(abs(exact)), dtype, FLOOR if abs(x) < near else 0.0))


def wide_sample(count, dtype=np.float64):
    """Arguments for results that only exact arithmetic can judge: every size, and more where functions bend."""
    rng = np.random.default_rng(2015)
    third = count//3
    return np.concatenate([
        rng.normal(size=third)*3, rng.uniform(-45, 45, third),
        np.ldexp(rng.uniform(1, 2, count - 2*third), rng.integers(-70, 11, count - 2*third))
        * rng.choice([-1, 1], count - 2*third)]).astype(dtype)


def by_exact_arithmetic(oracle, title, order, x):
    """(the largest error, its argument) over the array x."""
    name, hyperparameters = title.partition(LEARNED)[0], hyperparameters_of(title, {}, np.float64)
    near = crossing(name, order, hyperparameters.get("beta", 1.0))
    got = np.empty_like(x)
    functions(title, hyperparameters)[order](x, out=got)
    return max(((judged(oracle, name, order, a, y, near, hyperparameters), a) for a, y in zip(x, got)),
               key=lambda one: one[0])


def with_grad(name, count):
    """(the largest error, its argument) of backward(x, grad=...) in float32, in units of f' times |grad|.

    The rounding of the product, half a unit of its own, is taken off; what overflows is left out.
    """
    rounded = hyperparameters_of(name, {}, np.float32)
    act, reference = fastnn.get_act(name, **hyperparameters_of(name, {}, np.float64)), fastnn.get_act(name, **rounded)
    near = crossing(name, 1, rounded.get("beta", 1.0))
    rng = np.random.default_rng(1986)
    x = np.concatenate([wide_sample(count//2, np.float32),
                        rng.integers(0, INFINITE, count - count//2, np.uint32).view(np.float32)])
    x[1::2] *= -1
    grad = np.ldexp(rng.uniform(1, 2, x.size), rng.integers(-8, 8, x.size)).astype(np.float32)
    x64 = x.astype(np.float64)
    exact = reference.backward(x64)
    with np.errstate(all="ignore"):         # inf - inf
        product = exact*grad
        floor = np.where(np.abs(x64) < near, FLOOR, 0.0)
        error = np.abs(act.backward(x, grad=grad) - product) - 0.5*spacing(product)
        error = error/(np.maximum(spacing(np.maximum(np.abs(exact), floor))*grad, 2.0**-149))
    inside = np.maximum(np.abs(exact), np.abs(product)) <= np.finfo(np.float32).max
    error = np.where(inside & ~(error <= 0), error, 0)
    where = int(np.argmax(error))
    return float(error[where]), x[where]


def spacing(exact):
    """One unit of float32 at every element of a float64 array."""
    return np.ldexp(1.0, np.clip(np.frexp(exact)[1] - 1, -126, 127) - 23)


class Progress:
    """One line on stderr; on a terminal it is overwritten, elsewhere there is one a function."""

    def __init__(self, total):
        self.total, self.done, self.began = total, 0, time.monotonic()
        self.live = sys.stderr.isatty()

    def show(self, what, count=0, end=False):
        self.done += count
        if self.live or end:
            seconds = time.monotonic() - self.began
            left = seconds*(self.total - self.done)/self.done if self.done else 0
            print(f"{what:24} {100*self.done/max(1, self.total):3.0f}%  {seconds:5.0f} s, {left:.0f} s left   ",
                  end="\r" if self.live else "\n", file=sys.stderr, flush=True)


def count_of(task):
    start, stop, stride, _ = task
    return -(-(stop - start)//stride)


def measure(names, orders, sample, threads, oracle):
    """{name: {order: (error, argument)}} in float32, over all arguments or a sample of them."""
    results = {name: {} for name in names}
    scans = [Scan(name, key) for name in names for key in keys_of(name, orders)]
    pieces = [list(tasks(scan.near, sample)) for scan in scans]
    progress = Progress(sum(map(count_of, sum(pieces, []))) + (len(scans)*CANDIDATES*4*AROUND if sample else 0))
    before = fastnn.get_num_threads()
    fastnn.set_num_threads(1)               # blocks are small: whole tasks are shared out instead
    try:
        with ThreadPoolExecutor(threads) as pool:
            for scan, piece in zip(scans, pieces):
                title = f"{scan.title} {TITLES.get(scan.order, scan.order)}"
                try:
                    for count in pool.map(scan.run, piece):
                        progress.show(title, count)
                    for count in pool.map(scan.run, scan.around() if sample else ()):
                        progress.show(title, count)
                except BaseException:
                    pool.shutdown(cancel_futures=True)
                    raise
                results[scan.title][scan.order] = scan.result(oracle)
                progress.show(title, end=True)
    finally:
        fastnn.set_num_threads(before)
    return results


def table(results, columns, bounds):
    """Markdown: a row a function, the largest error and its argument for each column; beyond its bound it is bold."""
    rows = ["| activation | " + " | ".join(f"{title} | at x =" for title in columns.values()) + " |",
            "|---|" + "---:|---|"*len(columns)]
    for name, found in results.items():
        cells = []
        for key in columns:
            if key not in found:
                cells += ["", ""]
                continue
            error, x = found[key]
            shown = f"{error:.2f}"
            cells += [f"**{shown}**" if error > bounds[key] else shown, f"{x!s}" if error else ""]
        rows.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(rows)


def beyond(results, bounds):
    """What lies beyond its bound, as lines."""
    return [f"{name} {TITLES.get(key, key)}: {error:.2f} ULP at {x!r}, the bound is {bounds[key]}"
            for name, found in results.items() for key, (error, x) in found.items() if error > bounds[key]]


def parser():
    parser = argparse.ArgumentParser(
        prog="python -m fastnn.accuracy", description=__doc__.partition("\n")[0],
        epilog="Exit status 1: an error lies beyond its bound.")
    add = parser.add_argument
    add("names", nargs="*", metavar="NAME", help="activations (default: all that are elementwise, gated or learnable)")
    add("--orders", default="0,1,2", metavar="N,N", help="0 for f, 1 for f', 2 for f'' (default: %(default)s)")
    add("--dtype", choices=("float32", "float64"), action="append",
        help="may be repeated (default: float32). float64 needs mpmath and a checkout")
    add("--threads", type=int, default=fastnn.get_num_threads(), metavar="N", help="(default: %(default)s)")
    amount = parser.add_mutually_exclusive_group()
    amount.add_argument("--sample", type=int, default=2**22, metavar="K",
                        help="about so many float32 arguments (default: %(default)s)")
    amount.add_argument("--all", action="store_true", help="all 2^32 float32 arguments")
    add("--exact", type=int, default=3000, metavar="K", help="float64 arguments (default: %(default)s)")
    add("--out", metavar="FILE", help="write the tables there, too")
    return parser


def main(argv=None):
    try:
        return run(argv)
    except KeyboardInterrupt:
        print("fastnn.accuracy: interrupted", file=sys.stderr)
        return 130


def run(argv):
    parse = parser()
    options = parse.parse_args(argv)
    try:
        orders = sorted({int(order) for order in options.orders.split(",")})
        chosen = subjects(options.names)
    except ValueError as error:
        parse.error(str(error))
    if not orders or orders[0] < 0 or orders[-1] > 2:
        parse.error(f"--orders takes 0, 1 and 2, not {options.orders}")
    if min(options.threads, options.sample, options.exact) < 1:
        parse.error("--threads, --sample and --exact must be positive")
    oracle = exact_arithmetic()
    dtypes = options.dtype or ["float32"]
    if "float64" in dtypes and oracle is None:
        parse.error("float64 results can only be judged with mpmath and a checkout's tests/ (on PYTHONPATH)")
    text, failures = report(chosen, orders, dtypes, options, oracle)
    print(text, end="")
    if options.out:
        scratch = Path(f"{options.out}.{os.getpid()}.tmp")
        scratch.write_text(text, encoding="utf-8")
        os.replace(scratch, options.out)
    for failure in failures:
        print(f"beyond its bound: {failure}", file=sys.stderr)
    return 1 if failures else 0


def report(chosen, orders, dtypes, options, oracle):
    """(the whole document, what lies beyond its bound)."""
    judge = ("The largest errors of each function were judged again in exact arithmetic (mpmath)." if oracle else
             "They were not judged again in exact arithmetic: that takes mpmath and a checkout.")
    x = wide_sample(options.exact)
    titles = {"elementwise": {order: TITLES[order] for order in orders},
              "gated": {order: TITLES[order] for order in orders if order < 2},
              "learned": {order: TITLES[order] for order in orders if order < 2}}
    parts, failures = [], []
    for dtype in dtypes:
        bounds = dict(enumerate(ULPS[dtype]))
        shown = ", ".join(f"{bounds[order]} for {TITLES[order]}" for order in orders)
        if dtype == "float32":
            parts.append(HEADER32.format(
                amount="All 2^32 arguments" if options.all else (
                    f"About {options.sample:,} arguments, in equal steps of bits, half of them for |x| from 2^-6 to 2^7, and"
                    f" {AROUND:,}\nfloats on either side of the largest errors,"), judge=judge, bounds=shown))
        else:
            parts.append(HEADER64.format(amount=f"{x.size:,}", bounds=shown))
        for kind, names in chosen.items():
            if not names:
                continue
            columns = dict(titles[kind])
            if kind == "learned":
                columns |= {key: f"in {key}" for name in names for key in keys_of(name, ())}
                bounds |= dict.fromkeys(columns.keys() - bounds.keys(), LEARNED_ULPS)
            if dtype == "float32":
                results = measure(names, orders, None if options.all else options.sample, options.threads, oracle)
            else:
                results = {}
                for name in names:
                    print(f"{name} in exact arithmetic", file=sys.stderr)
                    results[name] = {key: by_exact_arithmetic(oracle, name, key, x) for key in keys_of(name, orders)}
            if kind == "elementwise" and dtype == "float32" and 1 in orders:
                for name in names:
                    results[name]["grad"] = with_grad(name, 2**20)
                columns["grad"], bounds["grad"] = "f' grad", bounds[1]
            failures += [f"{dtype} {failure}" for failure in beyond(results, bounds)]
            parts[-1] += BETWEEN.get(kind, "") + table(results, columns, bounds) + "\n"
    title = f"# Accuracy\n\nfastnn {fastnn.__version__}, kernels {fastnn.core.isa()}. {UNITS}"
    return "\n".join([title, *parts]), failures


BETWEEN = {
    "gated": ("\nThe gates of gated units: f and f' of b, with a = 1. The product with a, and in `backward` that with the"
              " gradient, add\nhalf a unit each. Pairs of floats are not measured.\n\n"),
    "learned": ("\nWith learned parameters, at the numbers that these begin with: f, f', and the derivative in each parameter"
                f"\n({LEARNED_ULPS} ULP), before it is summed:\n\n")}
UNITS = f"""Errors are in units in the last place (ULP) of the exact value,
at least those of the subnormal numbers; where f' and f'' of {", ".join(CROSSINGS)}
cross zero away from the origin, in those of max(|exact|, 1/{round(1/FLOOR)}) (fastnn/bounds.py says where). Hyperparameters are the defaults, as the
dtype holds them. NaN and infinities are as they should be, or the error is infinite. "f' grad" is `backward(x, grad=...)`
on about a million arguments, without the rounding of the product.
"""
HEADER32 = """## float32

{amount} through the float32 kernels, compared with the float64 kernels.
{judge}
Bounds: {bounds}.

"""
HEADER64 = """## float64

{amount} arguments of all sizes, judged in exact arithmetic (mpmath). Bounds: {bounds}.

"""

if __name__ == "__main__":
    sys.exit(main())
