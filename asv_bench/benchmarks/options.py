"""A step with each option, a schedule and two groups: what they cost beside the rule. n/a in versions before them."""
from functools import partial

from .common import absent_from, least, optimizer, tensors, warm

# Values at which each has something to do: gradients and parameters are standard normal numbers.
VALUES = {
    "weight_decay": 0.01, "l2": 0.01, "l1": 0.01, "clip_value": 0.5, "clip_norm": 1.0, "clip_global_norm": 1.0,
    "clip_adaptive": 0.01, "maximize": True, "grad_scale": 0.5, "centralize": True}
CASES = ["none", *VALUES, "two groups", "schedule"]
ROUNDS = {"100x10": 3000, "MLP": 500, "1x1e7": 15}


def arguments(case):
    """What get_opt takes in that case."""
    with absent_from(ImportError):
        if case == "two groups":                # by turns, so that no two neighbours share their constants
            from fastnn import group
            return {"groups": [group("*[02468]", lr=1e-3), group("*", lr=1e-4)]}
        if case == "schedule":                  # long enough for any number of calls
            from fastnn import schedules
            return {"lr": schedules.cosine(5e-4, 10**9)}
    return {case: VALUES[case]} if case in VALUES else {}


def step(case, name, model, grads):
    """A step as a call, on parameters of its own."""
    return partial(optimizer(name, **arguments(case)).step, tensors(model, "float32", 0), grads)


class Options:
    params = [CASES, ["SGD", "Adam"], list(ROUNDS)]
    param_names = ["option", "optimizer", "model"]

    @warm
    def time_step(self, case, name, model):
        return step(case, name, model, tensors(model, "float32", 1))

    def track_ratio(self, case, name, model):
        """To the plain step of that rule, in turn; of "none" the figure says how noisy the machine is."""
        grads = tensors(model, "float32", 1)
        calls = [step(each, name, model, grads) for each in (case, "none")]
        for call in calls:                      # the first one allocates
            call()
        seconds, plain = least(ROUNDS[model], *calls)
        return seconds / plain

    track_ratio.unit = "of the plain step's time"
