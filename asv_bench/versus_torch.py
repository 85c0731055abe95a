"""fastnn against PyTorch in one process, alternating: print the times and their ratio, above 1 where fastnn is faster.

    pip install torch
    python asv_bench/versus_torch.py [--size N ...] [--rounds R] [--pause SECONDS]

float32 throughout; results are allocated; each figure is the least of R rounds. Activations without a counterpart in
PyTorch are compared with the chain of PyTorch calls that a user would write.
"""
import argparse
import subprocess
import sys
from time import perf_counter, sleep

import numpy as np
import torch
import torch.nn.functional as F

import fastnn

COUNTERPARTS = {
    "step": lambda x: (x > 0).to(x.dtype), "identity": torch.clone,
    "bent-identity": lambda x: 0.5 * (torch.sqrt(x * x + 1) - 1) + x, "hard-shrink": F.hardshrink,
    "soft-shrink": F.softshrink, "threshold": lambda x: F.threshold(x, 0.5, -0.25), "sigmoid": torch.sigmoid,
    "hard-sigmoid": F.hardsigmoid, "log-sigmoid": F.logsigmoid, "tanh": torch.tanh, "tanh-shrink": F.tanhshrink,
    "hard-tanh": F.hardtanh, "ReLU": torch.relu, "ReLU6": F.relu6, "leaky-ReLU": F.leaky_relu, "ELU": F.elu,
    "SELU": F.selu, "CELU": F.celu, "softplus": F.softplus, "softsign": F.softsign, "Swish": F.silu, "Mish": F.mish,
    "tanhExp": lambda x: x * torch.tanh(torch.exp(x)), "GELU": F.gelu,
    "softmax": lambda x: torch.softmax(x, -1), "softmin": lambda x: F.softmin(x, -1),
    "log-softmax": lambda x: torch.log_softmax(x, -1),
}
ARGUMENTS = {"threshold": (0.5, -0.25)}
NOT_ELEMENTWISE = ("softmax", "softmin", "log-softmax")
ROW = 100                       # their rows are this long
OPTIMIZERS = {
    "Adam": lambda p: torch.optim.Adam(p, fused=True), "AdaGrad": lambda p: torch.optim.Adagrad(p, fused=True),
    "Momentum": lambda p: torch.optim.SGD(p, lr=0.01, momentum=0.9, fused=True),
    "Nesterov": lambda p: torch.optim.SGD(p, lr=0.01, momentum=0.9, nesterov=True, fused=True),
    "SGD": lambda p: torch.optim.SGD(p, lr=0.01, fused=True),
    "AMSGrad": lambda p: torch.optim.Adam(p, amsgrad=True, fused=True),
    # these have no fused form
    "RMSprop": lambda p: torch.optim.RMSprop(p, foreach=True),
    "AdaDelta": lambda p: torch.optim.Adadelta(p, foreach=True),
    "AdaMax": lambda p: torch.optim.Adamax(p, foreach=True),
    "Nadam": lambda p: torch.optim.NAdam(p, foreach=True),
}
WIDTHS = (784, 100, 100, 100, 100, 10)
MODELS = {
    "784-100x4-10": [shape for n, m in zip(WIDTHS, WIDTHS[1:]) for shape in ((n, m), (m,))],
    "100 tensors of 1,000": [(1000,)] * 100,
    "100 tensors of 10": [(10,)] * 100,
    "one tensor of 10,000,000": [(10_000_000,)],
}


def duel(ours, theirs, rounds, pause, seconds=0.01):
    """The least time of a call to each, in seconds, alternating.

    PyTorch's idle threads go on spinning for up to 30 ms on the processors they had; the pause lets them fall asleep.
    """
    least = [float("inf"), float("inf")]
    calls = [1, 1]
    for one, call in enumerate((ours, theirs)):
        start = perf_counter()
        call()
        calls[one] = max(1, int(seconds / (perf_counter() - start)))
    for _ in range(rounds):
        for one, call in enumerate((ours, theirs)):
            sleep(pause)
            call()
            start = perf_counter()
            for _ in range(calls[one]):
                call()
            least[one] = min(least[one], (perf_counter() - start) / calls[one])
    return least


def show(what, ours, theirs):
    print(f"{what:40s} {ours * 1e6:10.2f} us {theirs * 1e6:10.2f} us {theirs / ours:8.2f}", flush=True)


def activations(sizes, *how):
    missing = set(fastnn.activations()) - set(COUNTERPARTS) - {"maxout"}       # maxout is a layer
    if missing:
        raise SystemExit(f"no counterpart for {', '.join(sorted(missing))}")
    rng = np.random.default_rng(0)
    for size in sizes:
        for name, theirs in COUNTERPARTS.items():
            act = fastnn.get_act(name, *ARGUMENTS.get(name, ()))
            x = 2 * rng.standard_normal(size, dtype=np.float32)
            if name in NOT_ELEMENTWISE and size % ROW == 0:
                x = x.reshape(-1, ROW)
            t = torch.from_numpy(x)
            show(f"{name}, {size:,} elements", *duel(lambda: act.forward(x), lambda: theirs(t), *how))


def optimizers(*how):
    rng = np.random.default_rng(0)
    for model, shapes in MODELS.items():
        for name, build in OPTIMIZERS.items():
            params = {str(i): rng.standard_normal(shape, dtype=np.float32) for i, shape in enumerate(shapes)}
            grads = {key: 0.1 * rng.standard_normal(p.shape, dtype=np.float32) for key, p in params.items()}
            theirs = [torch.nn.Parameter(torch.from_numpy(p.copy())) for p in params.values()]
            for p, grad in zip(theirs, grads.values()):
                p.grad = torch.from_numpy(grad.copy())
            opt, step = fastnn.get_opt(name), build(theirs).step
            show(f"{name}, {model}", *duel(lambda: opt.update(params, grads), step, *how))


def imports(rounds):
    least = [float("inf"), float("inf")]
    for _ in range(rounds):
        for one, module in enumerate(("fastnn", "numpy")):
            start = perf_counter()
            subprocess.run([sys.executable, "-c", f"import {module}"], check=True)
            least[one] = min(least[one], perf_counter() - start)
    show("import (against numpy)", *least)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, nargs="+", default=[1000, 100000])
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--pause", type=float, default=0.04, help="seconds between the two sides of a round")
    options = parser.parse_args()
    torch.set_num_threads(fastnn.get_num_threads())
    print(f"fastnn {fastnn.__version__} ({fastnn.core.isa()}), PyTorch {torch.__version__}, "
          f"{fastnn.get_num_threads()} threads")
    print(f"{'':40s} {'fastnn':>13s} {'PyTorch':>13s} {'ratio':>8s}")
    with torch.no_grad():
        activations(options.size, options.rounds, options.pause)
    optimizers(options.rounds, options.pause)
    imports(options.rounds)
