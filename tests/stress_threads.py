"""Many Python threads at once: python tests/stress_threads.py --seconds 600

Threads share activation objects and take losses, and step optimizers of their own and one that they share, while others
change hyperparameters and the number of threads, give recycled memory back, and fork. Every result is compared by bits
with that of a single thread. Ends with status 1 after a wrong result, and with all stacks if nothing has moved on for a
while. Runs on free-threaded Python, too (PYTHON_GIL=0). The test suite runs it for a moment.
"""
import argparse
import faulthandler
import os
import random
import signal
import sys
import threading
import time
import warnings
from collections import Counter

import numpy as np

import fastnn
from fastnn.learnable import learnable

HANG = 600                      # seconds: a loaded machine, CPython 3.13t and a fork need some
SIZES = (10, 1_000, 30_000)
LARGE = 1_200_000               # past 4 MB: recycled memory; larger than many caches


class Wrong(Exception):
    pass


def bits(*arrays):
    return b"".join(np.ascontiguousarray(a).tobytes() for a in arrays)


def layouts(size, seed):
    """One array in several layouts and dtypes."""
    x = np.random.default_rng(seed).normal(size=(size//10, 10)).astype(np.float32)
    return {"float32": x, "float64": x.astype(float), "float16": x.astype(np.float16), "transposed": x.T,
            "gaps": np.repeat(x, 2, axis=1)[:, ::2], "byte-swapped": x.astype(x.dtype.newbyteorder())}


def learned(name, learn, x):
    """Parameters belong to one thread: each call has its own."""
    act = fastnn.get_act(name, learn=learn, channels=x.shape[1])
    return bits(act.forward(x), act.backward(x, grad=x), *act.grads.values())


def drawn(name, x):
    act = fastnn.get_act(name, rng=7)
    return bits(act.forward(x), act.backward(x, grad=x))


class Calls:
    """Calls whose results are known: (what, function without arguments, bits of the result)."""

    def __init__(self):
        self.known = []
        for name in (*fastnn.activations("elementwise"), *fastnn.activations("rows")):
            if name == "threshold":
                continue
            act = fastnn.get_act(name)
            for size in SIZES:
                for layout, x in layouts(size, size).items():
                    self.add((name, layout, size), lambda act=act, x=x: bits(
                        act.forward(x), act.backward(x, grad=x), *act.value_and_grad(x)))
        for name in fastnn.activations("gated"):
            act = fastnn.get_act(name)
            for size in SIZES:
                for layout, x in layouts(size, size).items():
                    self.add((name, layout, size), lambda act=act, x=x: bits(act.forward(x, gate=x), *act.backward(
                        x, grad=x, gate=x)))
        for name, learn in learnable().items():
            for size in SIZES:
                for layout, x in layouts(size, size).items():
                    self.add((name, learn, layout, size), lambda name=name, learn=learn, x=x: learned(name, learn, x))
        for name in fastnn.activations("random"):
            for size in SIZES:
                x = np.random.default_rng(size).normal(size=size)
                self.add((name, size), lambda name=name, x=x: drawn(name, x))
        x = np.random.default_rng(0).normal(size=(LARGE//10, 10)).astype(np.float32)
        for name in ("ReLU", "tanh", "softmax"):
            act = fastnn.get_act(name)
            self.add((name, "large"), lambda act=act: bits(act.forward(x), act.backward(x, grad=x)))
        rng = np.random.default_rng(1)
        for name in fastnn.losses():
            err = fastnn.get_err(name)
            for size in SIZES:
                y, t = rng.uniform(0.1, 0.9, (size//10, 10)), rng.integers(0, 2, (size//10, 10)).astype(float)
                given = (y, t, y)[:len(err.inputs)]
                self.add((name, size), lambda err=err, given=given: bits(err.forward(*given), *err.backward(*given)))
        for name in fastnn.optimizers():
            for state_dtype in ("float32", "int8"):
                if state_dtype == "float32" or fastnn.get_opt(name).stored:
                    self.add((name, state_dtype), lambda name=name, state_dtype=state_dtype: train(name, state_dtype))

    def add(self, what, call):
        self.known.append((what, call, call()))

    def one(self, random):
        what, call, wanted = random.choice(self.known)
        if call() != wanted:
            raise Wrong(what)
        return "call"


def train(name, state_dtype):
    """Three steps of an optimizer of one's own."""
    opt = fastnn.get_opt(name, state_dtype=state_dtype)
    if "rng" in opt.hyperparameters:
        opt.rng = 0
    rng = np.random.default_rng(2)
    params = {i: rng.normal(size=n).astype(np.float32) for i, n in enumerate((3, 100, 20_000))}
    for _ in range(3):
        grads = {i: rng.normal(size=p.shape).astype(np.float32) for i, p in params.items()}
        opt.update(params, grads, f=0.5)
    opt.step(list(params.values()), list(grads.values()))
    return bits(*params.values(), *opt.update(*list(grads.values())[:2], w=params[0], b=params[1]))


class SharedOptimizer:
    """One that all threads step: every step is refused or whole."""

    def __init__(self, n):
        self.opt, self.params = fastnn.get_opt("Adam"), {"a": np.ones(n), "b": np.ones(7)}
        self.grads = {key: np.full_like(p, 0.5) for key, p in self.params.items()}
        self.lock, self.taken = threading.Lock(), 0

    def one(self, random):
        try:
            if random.random() < 0.2:
                state = self.opt.state_dict()
                m = state["by_key"]["a"]["slots"]["m"] if state["by_key"] else np.zeros(1)
                if any(entry["t"] != state["passes"] for entry in state["by_key"].values()) or (m != m[0]).any():
                    raise Wrong("a state that is torn")
                return "state"
            self.opt.update(self.params, self.grads)
        except RuntimeError as error:
            if "in use" not in str(error):
                raise
            return "refused"
        with self.lock:
            self.taken += 1
        return "shared step"

    def check(self):
        twin = SharedOptimizer(self.params["a"].size)
        for _ in range(self.taken):
            twin.opt.update(twin.params, twin.grads)
        if self.opt.t != self.taken or bits(*self.params.values()) != bits(*twin.params.values()):
            raise Wrong(f"{self.taken} steps of an optimizer that is shared")


class SharedHyperparameters:
    """An activation whose hyperparameters are set meanwhile: each call has old ones or new ones, not both."""

    def __init__(self):
        self.act, self.rows = fastnn.get_act("CELU"), fastnn.get_act("softmax", axis=0)
        self.x = np.random.default_rng(3).normal(size=(200, 200))
        self.alphas, self.axes = (0.5, 1.0, 2.0), (0, 1, -1, None)
        self.wanted = {self.celu(fastnn.get_act("CELU", alpha)) for alpha in self.alphas}
        self.wanted |= {self.softmax(fastnn.get_act("softmax", axis=axis)) for axis in self.axes}

    def celu(self, act):
        return bits(*act.value_and_grad(self.x))

    def softmax(self, act):
        return bits(*act.value_and_grad(self.x))

    def one(self, random):
        if random.random() < 0.3:
            self.act.alpha, self.rows.axis = random.choice(self.alphas), random.choice(self.axes)
        if not {self.celu(self.act), self.softmax(self.rows)} <= self.wanted:
            raise Wrong("a mixture of hyperparameters")
        return "hyperparameters"


def meddle(random):
    fastnn.set_num_threads(random.choice((None, 1, 2, 3, 5)))
    if random.random() < 0.3:
        fastnn.trim_memory()
    return "threads"


def fork(calls, random):
    """A child that computes: right, or killed as a hang."""
    child = os.fork()
    if child == 0:
        try:
            faulthandler.register(signal.SIGALRM, chain=True)          # the watchdog's thread stayed behind
            signal.alarm(HANG//4)
            for _ in range(5):
                calls.one(random)
            os._exit(0)
        finally:
            os._exit(3)
    if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) != 0:
        raise Wrong("a child of a fork")
    return "fork"


def main():
    parser = argparse.ArgumentParser(description=__doc__.split(":")[0])
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--threads", type=int, default=6)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--no-forks", action="store_true")
    options = parser.parse_args()
    faulthandler.dump_traceback_later(HANG, exit=True)
    warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)
    calls, hyperparameters = Calls(), SharedHyperparameters()
    shared = [SharedOptimizer(20), SharedOptimizer(100_000)]
    end, stop, failures = time.monotonic() + options.seconds, threading.Event(), []
    counts = [Counter() for _ in range(options.threads)]
    moved_on = [time.monotonic()]*options.threads

    def enough():
        """A busy machine may not have let every thread run in that time."""
        return time.monotonic() >= end and all(counts) and any("shared step" in one for one in counts)

    def work(i):
        chance = random.Random(options.seed*1000 + i)
        try:
            while not (enough() or stop.is_set()):
                which = chance.random()
                if which < 0.02:
                    done = meddle(chance)
                elif which < 0.4:
                    done = calls.one(chance)
                elif which < 0.5:
                    done = hyperparameters.one(chance)
                elif which < 0.502 and i == 0 and hasattr(os, "fork") and not options.no_forks:
                    done = fork(calls, chance)
                else:
                    done = chance.choice(shared).one(chance)
                counts[i][done] += 1
                moved_on[i] = time.monotonic()
        except BaseException as error:
            failures.append(error)
            stop.set()
            raise

    threads = [threading.Thread(target=work, args=(i,), daemon=True) for i in range(options.threads)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        time.sleep(0.1)
        if time.monotonic() - min(moved_on) < HANG/2:
            faulthandler.dump_traceback_later(HANG/2, exit=True)        # later, as long as all of them move on
    for optimizer in shared:
        optimizer.check()
    counted = sum(counts, Counter())
    print(", ".join(f"{counted[what]} {what}" for what in sorted(counted)))
    faulthandler.cancel_dump_traceback_later()
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
