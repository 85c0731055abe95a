"""The timer of ``fastnn bench``: several calls in one process, alternating, each at its fastest."""
import gc
import math
from itertools import repeat
from time import perf_counter, sleep

__all__ = ["fastest"]

# seconds
SAMPLE = 300e-6     # that a sample takes at least: the call is repeated until it does
TURN = 3e-3         # in which a side is sampled again and again
LONG = 20e-3        # from here on the first call of a turn, which wakes threads and fills caches, is sample enough


def fastest(calls, rounds, pause):
    """The least seconds a call and how far the second best round was from that, by side.

    Parameters
    ----------
    calls : dict of str -> Call
    rounds : int
        How often each side has its turn.
    pause : float
        Seconds before each turn: idle threads of the side before, which may spin for up to 30 ms on the
        processors they had, fall asleep.

    Returns
    -------
    dict of str -> (seconds, spread)
        A spread of 0.1 says that the second best round took 1.1 times as long; with a single round it is 0.
    """
    times = {side: [] for side in calls}
    collecting = gc.isenabled()
    gc.disable()
    try:
        for call in calls.values():
            with call.around():
                call.run()          # compiles, allocates
        for _ in range(rounds):
            for side, call in calls.items():
                sleep(pause)
                with call.around():
                    times[side].append(turn(call.run, min(times[side], default=math.inf)))
    finally:
        if collecting:
            gc.enable()
    return {side: (min(found), sorted(found)[:2][-1] / min(found) - 1) for side, found in times.items()}


def turn(run, known):
    """The least seconds a call among this turn's samples; so long is known to be enough for it."""
    began = perf_counter()
    run()
    first = perf_counter() - began
    least, needed = first, first < LONG
    while needed or perf_counter() - began < TURN:
        count = math.ceil(SAMPLE / min(least, known))
        start = perf_counter()
        for _ in repeat(None, count):
            run()
        least, needed = min(least, (perf_counter() - start) / count), False
    return least
