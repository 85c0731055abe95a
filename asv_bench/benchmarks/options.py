"""A step with each option, a schedule and two groups: what they cost beside the rule. n/a in versions before them."""
from functools import partial

from .common import absent_from, least, optimizer, tensors, warm

# Values at which each has something to do: gradients and parameters are standard normal numbers.
VALUES = {
    "weight_decay": 0.01, "l2": 0.01, "l1": 0.01, "clip_value": 0.5, "clip_norm": 1.0, "clip_global_norm": 1.0,
    "clip_adaptive": 0.01, "maximize": True, "grad_scale": 0.5, "centralize": True}
CASES = ["none", *VALUES, "two groups", "schedule"]
STEPS = {"100x10": 100, "MLP": 100, "1x1e7": 2}        # in a turn, long enough for the caches to be its own
ROUNDS = 30


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


def step(case, name, model):
    """A step as a call."""
    return partial(optimizer(name, **arguments(case)).step, tensors(model, "float32", 0), tensors(model, "float32", 1))


def steps(count, call):
    for _ in range(count):
        call()


class Options:
    params = [CASES, ["SGD", "Adam"], list(STEPS)]
    param_names = ["option", "optimizer", "model"]

    @warm
    def time_step(self, case, name, model):
        return step(case, name, model)

    def track_ratio(self, case, name, model):
        """To the plain step of that rule, in turn; of "none" the figure says how noisy the machine is."""
        turns = [partial(steps, STEPS[model], step(each, name, model)) for each in (case, "none")]
        for turn in turns:                      # the first one allocates
            turn()
        seconds, plain = least(ROUNDS, *turns)
        return seconds / plain

    track_ratio.unit = "of the plain step's time"
