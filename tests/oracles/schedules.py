"""Schedules as their sources write them: the value of the t-th step, from 1, in mpmath's arithmetic.

A function takes t and the arguments by name. `ORACLES` has them by the schedules' names.
"""
from functools import wraps

from mpmath import cos, mpf, pi, sqrt

ORACLES = {}


def oracle(rule):
    ORACLES[rule.__name__] = rule
    return rule


def warmed(rule):
    """`rule(steps made since the warm-up, arguments)`, after a straight line up to what it begins with."""
    @oracle
    @wraps(rule)
    def value_at(t, warmup, warmup_value, **arguments):
        made = t - 1
        if made >= warmup:
            return rule(made - warmup, warmup=warmup, **arguments)
        share = mpf(made)/warmup
        return (1 - share)*mpf(warmup_value) + share*rule(0, warmup=warmup, **arguments)
    return value_at


def half_cosine(begin, end, share):
    return end + (mpf(begin) - end)*(1 + cos(pi*share))/2


@warmed
def constant(made, value, warmup):
    return mpf(value)


@warmed
def linear(made, value, steps, end_value, warmup):
    share = min(mpf(made)/(steps - warmup), 1)
    return value + (mpf(end_value) - value)*share


@warmed
def polynomial(made, value, steps, power, end_value, warmup):
    left = max(1 - mpf(made)/(steps - warmup), 0)
    return (mpf(value) - end_value)*left**mpf(power) + end_value


def bounded(value, gamma, end_value):
    if end_value is None:
        return value
    return max(value, mpf(end_value)) if gamma < 1 else min(value, mpf(end_value))


@warmed
def exponential(made, value, gamma, step_size, end_value, warmup):
    return bounded(value*mpf(gamma)**(mpf(made)/step_size), gamma, end_value)


@warmed
def step(made, value, step_size, gamma, end_value, warmup):
    value = mpf(value)
    while made >= step_size:
        value, made = value*mpf(gamma), made - step_size
    return bounded(value, gamma, end_value)


@warmed
def multistep(made, value, milestones, gamma, warmup):
    value = mpf(value)
    for milestone in milestones:
        if made + warmup >= milestone:
            value *= mpf(gamma)
    return value


@warmed
def piecewise(made, values, boundaries, interpolate, warmup):
    begin, made = warmup, made + warmup
    for value, following, end in zip(values, values[1:], boundaries):
        if made < end:
            share = mpf(made - begin)/(end - begin)
            return {None: mpf(value), "linear": value + (mpf(following) - value)*share,
                    "cosine": half_cosine(value, following, share)}[interpolate]
        begin = end
    return mpf(values[-1])


@warmed
def cosine(made, value, steps, end_value, exponent, warmup):
    share = min(mpf(made)/(steps - warmup), 1)
    return end_value + (mpf(value) - end_value)*((1 + cos(pi*share))/2)**mpf(exponent)


@warmed
def cosine_restarts(made, value, T_0, T_mult, end_value, gamma, warmup):
    """SGDR's counters, one step at a time: T_cur is set to 0 when a cycle is over, T_i multiplied."""
    T_cur, T_i, top = 0, T_0, mpf(value)
    for _ in range(made):
        T_cur += 1
        if T_cur == T_i:
            T_cur, T_i, top = 0, T_i*T_mult, top*mpf(gamma)
    return half_cosine(top, end_value, mpf(T_cur)/T_i)


@oracle
def one_cycle(t, value, steps, pct_start, anneal_strategy, div_factor, final_div_factor, three_phase):
    made, up = mpf(min(t, steps) - 1), mpf(pct_start)*steps - 1
    low, down = value/mpf(div_factor), 2*up if three_phase else mpf(steps - 1)
    final = low/mpf(final_div_factor)
    if made <= up:
        begin, end, share = low, value, made/up
    elif made <= down:
        begin, end, share = value, low if three_phase else final, (made - up)/(down - up)
    else:
        begin, end, share = low, final, (made - down)/(steps - 1 - down)
    return half_cosine(begin, end, share) if anneal_strategy == "cos" else begin + (end - mpf(begin))*share


@warmed
def inverse_sqrt(made, value, timescale, warmup):
    timescale = mpf(timescale or warmup or 1)
    return value/sqrt((made + timescale)/timescale)


@oracle
def noam(t, d_model, warmup, factor):
    return factor*mpf(d_model)**-0.5*min(mpf(t)**-0.5, t*mpf(warmup)**-1.5)


@warmed
def warmup_stable_decay(made, value, steps, decay_steps, shape, end_value, warmup):
    stable = steps - decay_steps - warmup
    if made < stable:
        return mpf(value)
    share = min(mpf(made - stable)/decay_steps, 1)
    left = {"linear": 1 - share, "cosine": (1 + cos(pi*share))/2, "sqrt": 1 - sqrt(share)}[shape]
    return end_value + (mpf(value) - end_value)*left


@warmed
def reduce_on_plateau(made, value, **others):
    """Where nothing was observed."""
    return mpf(value)


@oracle
def join(t, schedules, boundaries):
    """`schedules` are functions of t here."""
    for schedule, begin in reversed(list(zip(schedules, (0, *boundaries)))):
        if t > begin:
            return schedule(t - begin)

