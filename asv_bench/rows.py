"""The softmax family along either axis beside PyTorch, and its loss beside reading the logits twice.

    python asv_bench/rows.py [activations] [loss] [--size N ...] [--length N ...] [--dtype float32 ...]
                             [--names NAME ...] [--threads N] [--rounds R] [--pause S]

Ratios say how many times as long as fastnn the other takes, in turn in one process, the least of each. PyTorch's
backward works from y: so does `backward(y=y, grad=g)`; `from x` is `backward(x, grad=g)`, which computes the
exponentials again.
The loss needs a C compiler (`cc`) and x86, and runs on one thread.
"""
import argparse
from functools import partial

import numpy as np
from benchmarks.streaming_copy import reading_twice

import fastnn
from fastnn.cli.contest import fastest
from fastnn.cli.peers.library import Call

NAMES = ["softmax", "softmin", "log-softmax"]


def times(calls, options):
    found = fastest({name: Call(run) for name, run in calls.items()}, options.rounds, options.pause)
    return {name: seconds for name, (seconds, _) in found.items()}


def activations(options):
    import torch
    torch.set_num_threads(options.threads)
    torch.set_grad_enabled(False)
    aten = torch.ops.aten
    forward = {"softmax": torch.softmax, "softmin": torch.nn.functional.softmin, "log-softmax": torch.log_softmax}
    rng = np.random.default_rng(0)
    print(f"PyTorch {torch.__version__} ({torch.backends.cpu.get_cpu_capability()}), fastnn {fastnn.core.isa()}, "
          f"{options.threads} threads; ns an element of fastnn, ratio")
    for dtype in options.dtype:
        for size in options.size:
            for axis in (-1, 0):
                for length in [length for length in options.length if length <= size]:
                    shape = (size//length, length) if axis else (length, size//length)
                    x, g = (2*rng.normal(size=shape)).astype(dtype), rng.normal(size=shape).astype(dtype)
                    for name in options.names:
                        act = fastnn.get_act(name, axis=axis)
                        y = act.forward(x)
                        tx, ty, tg = map(torch.from_numpy, (x, y, g))
                        product = aten._log_softmax_backward_data.default if name == "log-softmax" \
                            else aten._softmax_backward_data.default
                        backward = partial(product, tg, ty, axis, ty.dtype)
                        if name == "softmin":
                            backward = lambda backward=backward: torch.neg(backward())      # noqa: E731
                        cells = []
                        for title, own, other in (
                                ("forward", partial(act.forward, x), partial(forward[name], tx, axis)),
                                ("backward", partial(act.backward, y=y, grad=g), backward),
                                ("from x", partial(act.backward, x, grad=g), backward)):
                            least = times({"fastnn": own, "torch": other}, options)
                            nanoseconds = least["fastnn"]*1e9/x.size
                            cells.append(f"{title} {nanoseconds:7.3f} {least['torch']/least['fastnn']:5.2f}")
                        print(f"{dtype} {size:9,} axis {'last ' if axis else 'first'} rows of {length:6,} {name:12}",
                              "  ".join(cells), flush=True)


def loss(options):
    fastnn.set_num_threads(1)
    classes = 50_000                        # whole cache lines
    rng = np.random.default_rng(0)
    for dtype in options.dtype:
        for rows in (4, 200, 2000 if dtype == "float32" else 1000):
            x = (2*rng.normal(size=(rows, classes))).astype(dtype)
            labels = rng.integers(classes, size=rows)
            err = fastnn.get_err("softmax-cross-entropy")
            least = times({"loss": partial(err.forward, x, labels, keep=False),
                           "with gradient": partial(err.forward, x, labels),
                           "reading": reading_twice(x)}, options)
            print(f"loss, {dtype}, {rows} rows of {classes:,}: " + ", ".join(
                f"{name} {seconds*1e9/x.size:.3f} ns an element" for name, seconds in least.items())
                + f"; reading twice takes {least['reading']/least['loss']:.2f} of the loss")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sections", nargs="*", choices=["activations", "loss", []], default=[])
    parser.add_argument("--size", type=int, nargs="+", default=[1000, 100_000, 10_000_000])
    parser.add_argument("--length", type=int, nargs="+", default=[10, 100, 1000, 30_000])
    parser.add_argument("--dtype", nargs="+", default=["float32", "float64"])
    parser.add_argument("--names", nargs="+", default=NAMES)
    parser.add_argument("--threads", type=int, default=fastnn.get_num_threads())
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--pause", type=float, default=0.03)
    options = parser.parse_args()
    fastnn.set_num_threads(options.threads)
    for section in options.sections or ["activations", "loss"]:
        globals()[section](options)
