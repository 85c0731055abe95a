"""A step of every optimizer beside the faster of PyTorch's fused and foreach forms, in turn in one process.

    python asv_bench/against_torch.py [--name OPTIMIZER ...] [--dtype float64] [--model 784-100x4-10] [--threads N]

Ratios say how many times as long as fastnn PyTorch takes; both on as many threads. `floor` is what a plain loop of C over
the same arrays takes (bandwidth.py), a ratio to fastnn's time, too: near 1 the step is bound by the caches, not by
arithmetic. The clock is that of `fastnn bench`.
"""
import argparse
from functools import partial
from inspect import signature
from subprocess import CalledProcessError

import numpy as np
import torch
from benchmarks.streaming_copy import in_place

import fastnn
from fastnn.cli.catalog import CATALOGUES
from fastnn.cli.contest import fastest
from fastnn.cli.peers.library import Call
from fastnn.cli.subjects import MODELS

PAUSE = 0.04                # seconds; idle threads of PyTorch's spin for 30 ms


def tensors(shapes, dtype, seed):
    rng = np.random.default_rng(seed)
    return [rng.standard_normal(shape, dtype) for shape in shapes]


def torch_steps(peer, shapes, dtype):
    """{form: Call} of the forms that the class has."""
    name, arguments = peer
    rule, found = getattr(torch.optim, name), {}
    for form in {"fused", "foreach"} & signature(rule).parameters.keys():
        params = [torch.nn.Parameter(torch.from_numpy(p)) for p in tensors(shapes, dtype, 0)]
        for p, grad in zip(params, tensors(shapes, dtype, 1)):
            p.grad = torch.from_numpy(grad)
        found[form] = Call(rule(params, **arguments, **{form: True}).step)
    return found


def measure(name, shapes, dtype, rounds):
    """{side: least seconds}, and the least of the plain loop over the largest tensor, for as many bytes as all."""
    params, grads = (dict(enumerate(tensors(shapes, dtype, seed))) for seed in (0, 1))
    opt = fastnn.get_opt(name)
    sides = {"fastnn": Call(partial(opt.step, params, grads)),
             **torch_steps(CATALOGUES["optimizers"][name].peers["torch"], shapes, dtype)}
    found = {side: seconds for side, (seconds, _) in fastest(sides, rounds, PAUSE).items()}
    largest = max(params, key=lambda key: params[key].size)
    loop = in_place(grads[largest], [params[largest], *opt.state[largest].values()], 1)
    share = sum(p.size for p in params.values()) / params[largest].size / fastnn.get_num_threads()
    return found, share * min(loop() for _ in range(200))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--name", nargs="+")
    parser.add_argument("--dtype", choices=["float32", "float64"], default="float32")
    parser.add_argument("--model", choices=list(MODELS), default="784-100x4-10")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int)
    options = parser.parse_args()
    fastnn.set_num_threads(options.threads)
    torch.set_num_threads(fastnn.get_num_threads())
    print(f"fastnn {fastnn.__version__} ({fastnn.core.isa()}), PyTorch {torch.__version__}, {options.dtype}, "
          f"{options.model}, {fastnn.get_num_threads()} threads")
    for name in options.name or [name for name in fastnn.optimizers() if "torch" in CATALOGUES["optimizers"][name].peers]:
        try:
            found, floor = measure(name, MODELS[options.model], options.dtype, options.rounds)
        except (OSError, CalledProcessError) as error:
            raise SystemExit(f"cannot compile streaming_copy.c: {error}") from None
        own = found.pop("fastnn")
        form = min(found, key=found.get)
        print(f"{name:14} fastnn {1e6 * own:7.1f} us, PyTorch {form} {1e6 * found[form]:7.1f}, ratio "
              f"{found[form] / own:5.2f}; floor {floor / own:.2f}", flush=True)
