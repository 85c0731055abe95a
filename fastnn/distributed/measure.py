"""What a step costs on the ranks that this is started on, of what; and what it would on more of them.

    mpiexec -n 2 python -m fastnn.distributed
"""
import math
from itertools import product
from time import perf_counter

import numpy as np

from ..nn import MultiLayerNet
from ..optimizers import get_opt
from .buckets import usual_bytes
from .data_parallel import DataParallel
from .ranks import added, ranks_of
from .sharded import ShardedOptimizer

NETWORKS = {"64-100x4-10": (64, [100] * 4, 10), "784-1000x2-10": (784, [1000] * 2, 10),
            "784-3000x2-10": (784, [3000] * 2, 10)}
ROWS, ROUNDS, LEAST = 128, 20, 0.05                 # rows a rank; turns of each side; seconds of a turn, about
FEW, MANY = 64, 1 << 24                             # bytes of a message for latency, and of a buffer for bandwidth


def slowest(ranks, seconds):
    return float(ranks.gathered(np.array([seconds]), "a measurement").max())


def timed(ranks, call, times):
    """Seconds a call, of the slowest rank."""
    ranks.gathered(np.zeros(1), "the start of a measurement")
    start = perf_counter()
    for _ in range(times):
        call()
    return slowest(ranks, (perf_counter() - start) / times)


def line(ranks):
    """(seconds a message, bytes a second): of messages from each rank to each other one, at once."""
    def scattered(nbytes):
        sent, received = np.zeros(nbytes, np.uint8), np.zeros(nbytes, np.uint8)
        return lambda: ranks.wait([ranks.scatter(sent, received)], "a measurement")

    few = min(timed(ranks, scattered(FEW * ranks.size), 200) for _ in range(ROUNDS))
    many = min(timed(ranks, scattered(MANY // ranks.size * ranks.size), 10) for _ in range(ROUNDS))
    return few / (ranks.size - 1), MANY * (ranks.size - 1) / ranks.size / max(many - few, 1e-9)


def work(ranks):
    """Seconds an element that copying a gradient to its bucket, adding what comes and dividing take."""
    n = MANY // 4
    grad, flat, parts = (np.ones(shape, np.float32) for shape in (n, n, (ranks.size, n // ranks.size)))
    mean = np.empty(parts.shape[1], np.float32)

    def once():
        np.copyto(flat, grad)
        added(parts, mean)
        np.true_divide(mean, np.float32(ranks.size), out=mean)

    return min(timed(ranks, once, 5) for _ in range(ROUNDS)) / n


def sides(sizes):
    """What is timed: name -> a function that takes a step; and the states whose memory is told."""
    features, hidden, classes = sizes
    rng = np.random.default_rng(0)
    x, t = rng.standard_normal((ROWS, features)).astype(np.float32), rng.integers(0, classes, ROWS)
    found, opts = {}, {}
    for name, make in {"alone": lambda opt: opt, "after": DataParallel, "overlapped": DataParallel,
                       "bfloat16": lambda opt: DataParallel(opt, wire="bfloat16"), "sharded": ShardedOptimizer}.items():
        net, opt = MultiLayerNet(features, hidden, classes, dtype=np.float32, rng=1), make(get_opt("Adam"))

        def step(net=net, opt=opt, tells=name in ("overlapped", "bfloat16")):
            _, grads = net.loss_and_gradient(x, t, opt.ready(net.params) if tells else None)
            opt.step(net.params, grads)

        found[name], opts[name] = step, opt
    return found, opts, sum(p.size for p in net.params.values())


def state_bytes(opt):
    return sum(values.nbytes for slots in opt.state.values() for values in slots.values())


def exchange_seconds(elements, ranks, latency, bandwidth, per_element, bytes_each=4):
    """On paper: for each bucket two rounds of messages from each rank to each other one; and the work on elements."""
    buckets = max(1, math.ceil(elements * bytes_each / usual_bytes(ranks)))
    moved = 2 * elements * bytes_each * (ranks - 1) / ranks
    return 2 * buckets * (ranks - 1) * latency + moved / bandwidth + elements * per_element


def main():
    ranks = ranks_of()
    say = print if ranks.rank == 0 else lambda *args, **kwds: None
    say(f"{ranks.size} ranks, {ROWS} rows each, float32, Adam; ms a step, best of {ROUNDS} turns, the slowest rank's")
    say(f"{'network':>15} {'parameters':>10} {'alone':>8} {'after':>8} {'overlapped':>10} {'bfloat16':>8} "
        f"{'sharded':>8} {'share':>6} {'state a rank, MB: all, sharded':>31}")
    times = {}
    for name, sizes in NETWORKS.items():
        found, opts, elements = sides(sizes)
        best = {side: math.inf for side in found}
        for step in found.values():
            step()
        often = max(3, min(300, int(LEAST / timed(ranks, found["after"], 3))))
        for _, side in product(range(ROUNDS), found):
            best[side] = min(best[side], timed(ranks, found[side], often))
        times[name] = best, elements
        share = 1 - best["alone"] / best["overlapped"]
        states = " ".join(f"{state_bytes(opts[side]) / 1e6:.2f}" for side in ("overlapped", "sharded"))
        say(f"{name:>15} {elements:>10,} " + " ".join(f"{1e3 * best[side]:>{width}.3f}" for side, width in zip(
            best, (8, 8, 10, 8, 8))) + f" {max(0.0, share):>6.0%} {states:>31}", flush=True)
    if ranks.size == 1:
        return
    latency, bandwidth = line(ranks)
    per_element = work(ranks)
    say(f"a message {1e6 * latency:.1f} us, {bandwidth / 1e9:.2f} GB/s a rank, {1e9 * per_element:.2f} ns an element")
    for name, (best, elements) in times.items():
        paper = exchange_seconds(elements, ranks.size, latency, bandwidth, per_element)
        hidden = (best["after"] - best["overlapped"]) / max(best["after"] - best["alone"], 1e-9)
        say(f"{name}: an exchange takes {1e3 * (best['after'] - best['alone']):.3f} ms, on paper {1e3 * paper:.3f}; "
            f"{max(0.0, hidden):.0%} of it are hidden behind the backward pass")
