"""A step in a wrapper: what it costs beside the plain one. n/a in versions before them."""
from functools import partial

from .common import absent_from, least, optimizer, tensors, warm

CASES = ["none", "Lookahead", "ExponentialAverage", "Accumulate", "SAM"]
STEPS = {"100x10": 100, "MLP": 100, "1x1e7": 5}        # in a turn: each of them has all of a wrapper's kinds of steps
ROUNDS = 20


def step(case, name, model):
    """A step as a call; of SAM both halves, without the gradient between them."""
    opt = optimizer(name)
    params, grads = tensors(model, "float32", 0), tensors(model, "float32", 1)
    with absent_from(ImportError):
        if case != "none":
            from fastnn import SAM, Accumulate, ExponentialAverage, Lookahead
            opt = {"Lookahead": Lookahead, "ExponentialAverage": ExponentialAverage, "SAM": SAM,
                   "Accumulate": partial(Accumulate, k=5)}[case](opt)
    params, grads = dict(enumerate(params)), dict(enumerate(grads))
    if case == "SAM":
        return partial(both, opt, params, grads)
    return partial(opt.step, params, grads)


def both(opt, params, grads):
    opt.ascend(params, grads)
    opt.step(params, grads)


def steps(count, call):
    for _ in range(count):
        call()


class Wrappers:
    params = [CASES, ["SGD", "Adam"], list(STEPS)]
    param_names = ["wrapper", "optimizer", "model"]

    @warm
    def time_step(self, case, name, model):
        """Five steps: Lookahead and Accumulate have two kinds."""
        return partial(steps, 5, step(case, name, model))

    def track_ratio(self, case, name, model):
        """To the plain step of that rule, in turn; of "none" the figure says how noisy the machine is."""
        turns = [partial(steps, STEPS[model], step(each, name, model)) for each in (case, "none")]
        for turn in turns:                      # the first one allocates
            turn()
        seconds, plain = least(ROUNDS, *turns)
        return seconds / plain

    track_ratio.unit = "of the plain step's time"
