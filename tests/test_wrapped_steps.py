"""A step of wrappers is taken as a whole or not at all, by one thread at a time: as it is without them."""
import contextvars
import copy
import pickle
import signal
import sys
import threading
import warnings

import numpy as np
import pytest
from hypothesis import given, strategies as st

import fastnn
from fastnn import SAM, Accumulate, ExponentialAverage, Lookahead, get_opt
from helpers import HANG, assert_same_bits
from test_all_or_nothing import (AROUND, Countdown, Fault, FaultyGradient, FaultyKey, FaultyMapping, gradients, numbers,
                                 often, parameters, plain)
from test_in_use import ABOVE, in_the_middle_of_a_step
from test_signals import child
from test_state import RULES, make
from test_threads import needs_threads
from test_wrappers import ANY, everything

WRAPPERS = [lambda opt: Lookahead(opt, 1), lambda opt: Lookahead(opt, 2), lambda opt: ExponentialAverage(opt, 0.5),
            lambda opt: ExponentialAverage(opt, lambda t: 1 / t if t < 3 else np.nan), lambda opt: Accumulate(opt, 2),
            lambda opt: SAM(opt, 0.1)]


@st.composite
def wrapped(draw):
    """An optimizer in one or two wrappers."""
    name, state_dtype = draw(st.sampled_from(RULES))
    opt = make(name, state_dtype, **draw(st.sampled_from(AROUND)))
    for _ in range(draw(st.integers(1, 2))):
        try:
            opt = draw(st.sampled_from(WRAPPERS))(opt)
        except TypeError:               # not in this nesting
            opt = Lookahead(opt, 1)
    return opt


def take(opt, params, grads, **kwds):
    """A step, with both halves of SAM. What has been ascended is left so where the second half fails."""
    if opt._ascending() is not None and not opt._ascending()._displaced.away and not opt._ascending()._skips:
        opt.ascend(params, grads)
    opt.step(params, grads, **kwds)


def kept(opt, rooms):
    """All that there is; parameters that have been ascended come back first."""
    opt = opt if opt._ascending() is None else opt
    if opt._ascending() is not None:
        opt.restore()
    return everything(opt, [room for room in rooms if room.dtype != object]), opt.t


@often
@given(st.data())
@pytest.mark.filterwarnings("ignore:.*this step is skipped:RuntimeWarning")
def test_hostile_calls(data):
    draw = data.draw
    opt = draw(wrapped())
    small = opt.state_dtype != "float32"
    params, rooms = draw(parameters(small))
    for t in range(draw(st.integers(0, 3))):
        with np.errstate(all="ignore"):
            try:
                take(opt, params, {key: numbers(p.shape, np.float32, t) for key, p in params.items()})
            except (TypeError, ValueError):
                kept(opt, [])
    grads = draw(gradients(params))
    kwds = draw(st.sampled_from([{}] * 6 + [{"t": 0}, {"t": 2}, {"t": 1.5}, {"f": float("nan")}, {"f": "x"}, {"g": 1}]))
    form = draw(st.sampled_from(["mapping", "mapping", "lists", "faulty params", "faulty grads", "twice", "short"]))
    before, skipped = kept(opt, rooms), opt.skipped
    with np.errstate(all="ignore"):
        twin = pickle.loads(pickle.dumps(opt)) if "lambda" not in repr(opt) else copy.deepcopy(opt)
        copies = {key: p.copy() for key, p in params.items()}
        still = {key: FaultyGradient(g.data, lambda: None) if isinstance(g, FaultyGradient)
                 else g.copy() if isinstance(g, np.ndarray) else g for key, g in grads.items()}
    try:
        with np.errstate(all="ignore"):
            if form == "mapping":
                take(opt, params, grads, **kwds)
            elif form in ("lists", "short"):
                left, right = list(params.values()), [grads.get(key) for key in params]
                take(opt, left, right[1:] if form == "short" else right, **kwds)
            elif form == "faulty grads":
                take(opt, params, FaultyMapping(grads, Countdown(draw(st.integers(1, 16)))), **kwds)
            else:
                fault = Countdown(draw(st.integers(1, 16)), draw(st.sampled_from([Fault, KeyError, KeyboardInterrupt])))
                take(opt, FaultyMapping(params, fault, form == "twice"), grads, **kwds)
    except (TypeError, ValueError, KeyError, Fault, KeyboardInterrupt):
        found = kept(opt, rooms)
        assert found == before or opt._ascending() is not None and opt.skipped > skipped        # ascend counts it
    else:
        with np.errstate(all="ignore"):
            same = {key: plain(p) for key, p in copies.items()}
            if form in ("lists", "short"):
                take(twin, list(same.values()), [still.get(key) for key in same], **kwds)
            else:
                take(twin, same, still, **kwds)
            for key, p in params.items():
                assert_same_bits(plain(p), same[key])


@pytest.mark.parametrize("make", ANY.values(), ids=ANY)
def test_a_key_that_fails(make):
    for count in range(1, 60):
        opt, fault = make(), Countdown(0)
        key = FaultyKey(lambda: fault())
        params, grads = {"a": np.ones(3), key: np.ones(3)}, {"a": np.ones(3), key: np.ones(3)}
        for _ in range(2):
            take(opt, params, grads)
        before = kept(opt, params.values())
        fault.left = count
        try:
            take(opt, params, grads)
        except Fault:
            assert kept(opt, params.values()) == before
        fault.left = 0


@pytest.mark.parametrize("error", [Fault, KeyboardInterrupt])
def test_an_error_in_the_middle_of_sams_step(error):
    """Between the way back and the step: the parameters are where they were ascended to, bit for bit."""
    fault = Countdown(0, error)
    opt = SAM(Lookahead(get_opt("Adam", lr=lambda t: fault() or 0.1), 1))
    params = {"a": np.linspace(0, 1, 5000), "v": np.ones((4, 6))[::2, ::3], "f": np.ones((2, 3), np.float32).T}
    grads = {key: np.cos(p) for key, p in params.items()}
    for _ in range(3):
        opt.ascend(params, grads)
        away = [p.copy() for p in params.values()]
        fault.left = 1
        with pytest.raises(error):
            opt.step(params, grads)
        for p, was in zip(params.values(), away):
            assert_same_bits(np.array(p), was)
        opt.step(params, grads)


def test_what_a_step_calls_cannot_use_the_wrapper():
    uses = {"step": lambda opt: opt.step([np.ones(3)], [np.ones(3)]), "state": lambda opt: opt.state_dict(),
            "forget": lambda opt: opt.forget("a"), "copy": copy.copy, "load": lambda opt: opt.load_state_dict(SAVED),
            "params": lambda opt: opt.params}
    SAVED = ExponentialAverage(Lookahead(get_opt("Adam", lr=lambda t: 0.1))).state_dict()
    for use in uses.values():
        calls = []

        def rate(t, use=use):
            if t == 2:
                with pytest.raises(RuntimeError, match=ABOVE):
                    use(opt)
                calls.append(1)
            return 0.1

        opt, params = ExponentialAverage(Lookahead(get_opt("Adam", lr=rate))), {"a": np.ones(3)}
        for _ in range(3):
            opt.step(params, {"a": np.ones(3)})
        assert calls == [1] and opt.t == 3


def test_another_thread_cannot_use_it_meanwhile():
    opt = Lookahead(ExponentialAverage(get_opt("Adam")))
    params = {"a": np.ones(3, np.float32), "b": np.full((2, 2), 0.5)}
    with in_the_middle_of_a_step(opt, params):
        for use in (lambda: opt.step(params, params), opt.state_dict, lambda: copy.copy(opt), lambda: opt.forget("a")):
            with pytest.raises(RuntimeError, match="this Lookahead is in use in thread the stepping one: give each"):
                use()
        with pytest.raises(RuntimeError, match="this ExponentialAverage is in use in thread"):
            opt.params
    assert opt.t == 5


@pytest.mark.parametrize("n", [100, 100_000])
def test_one_wrapper_in_several_threads(n):
    """Each step is taken as a whole or refused."""
    def arrays():
        return {"a": np.ones(n), "b": np.ones(7)}

    opt, params, grads = ExponentialAverage(Lookahead(Accumulate(get_opt("Adam"), 2), 3), 0.5), arrays(), arrays()
    taken, wrong, begin = [], [], threading.Barrier(4)

    def repeat():
        begin.wait(HANG)
        for _ in range(40):
            try:
                opt.step(params, grads)
                taken.append(1)
            except RuntimeError as error:
                if "give each thread its own" not in str(error):
                    wrong.append(error)
            except BaseException as error:
                wrong.append(error)

    threads = [threading.Thread(target=repeat) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(HANG)
    twin, same = ExponentialAverage(Lookahead(Accumulate(get_opt("Adam"), 2), 3), 0.5), arrays()
    for _ in taken:
        twin.step(same, grads)
    assert taken and not wrong
    assert everything(opt, params.values()) == everything(twin, same.values())


@pytest.mark.parametrize("make", ANY.values(), ids=ANY)
def test_the_same_bits_for_any_number_of_threads(make):
    found, before = [], fastnn.get_num_threads()
    try:
        for threads in (1, 2, 3):
            fastnn.set_num_threads(threads)
            opt, params = make(), {"a": np.ones(100_003, np.float32), "b": np.ones((300, 200))}
            for t in range(5):
                rng = np.random.default_rng(t)
                take(opt, params, {key: rng.standard_normal(p.shape, p.dtype) for key, p in params.items()})
            found.append(everything(opt, params.values()))
    finally:
        fastnn.set_num_threads(before)
    assert found[0] == found[1] == found[2]


def test_what_is_looked_at_again():
    """A step's own functions change the arrays that wrappers keep: it is found, and nothing is written."""
    actions = []

    def rate(t):
        for action in actions:
            action()
        return 0.1

    for action in ("shape", "grow", "read-only"):
        opt, params = ExponentialAverage(Lookahead(get_opt("SGD", lr=rate), 1), 0.5), {"a": np.ones(6), "b": np.ones(3)}
        grads = {"a": np.ones(6), "b": np.ones(3)}
        for _ in range(3):
            opt.step(params, grads)
        before = [p.tobytes() for p in params.values()]
        if action == "shape":
            actions.append(lambda: setattr(params["b"], "shape", (3, 1)))
        elif action == "grow":
            actions.append(lambda: params["b"].resize(4000, refcheck=False))
        else:
            actions.append(lambda: setattr(params["b"].flags, "writeable", False))
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                opt.step(params, grads)
        except ValueError:
            assert params["a"].tobytes() == before[0]
            assert opt.t == 3
        actions.clear()


# A child has a timer whose handler raises at any moment of a step.
SIGNALS = """
import random
from itertools import count
from time import perf_counter
from fastnn import SAM, Accumulate, ExponentialAverage, Lookahead, get_opt
random.seed(5)
n = 100_000
def flat(value):
    if isinstance(value, dict):
        return tuple((key, flat(item)) for key, item in value.items())
    return value.tobytes() if isinstance(value, np.ndarray) else value
def all_of(opt, params):
    if opt._ascending() is not None:
        opt.restore()
    return flat(opt.state_dict()), params["w"].tobytes(), params["v"].tobytes(), params["s"]
def step(opt, params):
    if opt._ascending() is not None:
        opt.ascend({key: params[key] for key in "wv"}, grads)
        opt.step({key: params[key] for key in "wv"}, grads)
    else:
        opt.step(params, grads)
grads = {"w": np.ones(n, np.float32), "v": np.ones((500, 100), np.float32).T, "s": 1.0}
ended = 0
for make in (lambda: Lookahead(get_opt("Adam"), 1), lambda: ExponentialAverage(get_opt("Adam"), 0.5),
             lambda: Accumulate(get_opt("Adam"), 2), lambda: SAM(get_opt("Adam")),
             lambda: ExponentialAverage(Lookahead(Accumulate(get_opt("Adam", clip_global_norm=1e9), 2), 1), 0.5),
             lambda: Lookahead(SAM(ExponentialAverage(get_opt("SGD"), 0.5)), 2),
             lambda: SAM(Accumulate(Lookahead(get_opt("SGD"), 2), 2))):
    opt = make()
    params = {"w": np.ones(2*n, np.float32)[::2], "v": np.ones((100, 500), np.float32), "s": 0.5}
    for done in range(4):
        before, saved = all_of(opt, params), opt.state_dict()
        values = {key: np.copy(value) for key, value in params.items()}
        def again():
            opt.load_state_dict(saved)
            for key in "wv":
                params[key][...] = values[key]
            params["s"] = float(values["s"])
        start = perf_counter()
        step(opt, params)
        seconds = perf_counter() - start
        after = all_of(opt, params)
        assert before != after
        for trial in count():
            if trial >= 12 and ended:
                break
            again()
            delay = max(1e-6, seconds*random.uniform(0, 1.2))
            start = perf_counter()
            if timed(lambda: step(opt, params), 1, delay, interval=0)[0]:
                ended += 1
            else:
                seconds = min(seconds, perf_counter() - start)      # a busy machine has interrupted the first one
            found = all_of(opt, params)
            assert found in (before, after), (repr(opt), done, trial, [a == b for a, b in zip(found, before)],
                                              [a == b for a, b in zip(found, after)])
        again()
        step(opt, params)
print(ended > 0)
"""


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="POSIX's timers")
@pytest.mark.parametrize("threads", [1, pytest.param(2, marks=needs_threads)])
def test_signals(threads):
    assert child(SIGNALS, threads) == ["True"]


class Ended(Exception):
    pass


def ended_at(n, call):
    """call(), ended at its n-th event for a profiler, as Ctrl-C ends it; whether there were so many."""
    def ring(*_):
        nonlocal n
        n -= 1
        if not n:
            sys.setprofile(None)
            raise Ended
    try:
        sys.setprofile(ring)
        try:
            contextvars.copy_context().run(call)        # a profiler is called before a finally's first call, too
        finally:
            sys.setprofile(None)
    except Ended:
        return True
    return False


@pytest.mark.parametrize("wrap", [lambda opt: Accumulate(opt, 2), lambda opt: Lookahead(opt, k=1),
                                  lambda opt: ExponentialAverage(opt, 0.5)])
def test_what_ends_a_first_step_between_two_calls_leaves_no_trace(wrap):
    """The engines inside learn their rates in the first step, one after the other."""
    def trained(events):
        opt, params, ended = wrap(get_opt("SGD", lr=0.5)), {"w": np.array([1.0, 2.0])}, False
        for k in range(4):
            before = repr(opt.state_dict())
            if not k and ended_at(events, lambda: opt.step(params, {"w": np.array([1.0, -2.0])})):
                ended = True
                if repr(opt.state_dict()) == before:
                    opt.step(params, {"w": np.array([1.0, -2.0])})
            elif k:
                opt.step(params, {"w": np.array([k, 3.0])})
        return ended, params["w"].tolist(), repr(opt.state_dict())
    wanted = trained(10**9)[1:]
    for events in range(1, 10**9):
        ended, *found = trained(events)
        assert tuple(found) == wanted, events
        if not ended:
            break


@pytest.mark.parametrize("value", [0.25, lambda t: 0.25])
def test_what_ends_the_setting_of_a_rate_leaves_the_old_or_the_new_one(value):
    for events in range(1, 10**9):
        opt, params = get_opt("SGD", lr=1.0), {"w": np.array([0.0])}
        opt.step(params, {"w": np.array([1.0])})
        ended = ended_at(events, lambda: setattr(opt, "lr", value))
        rate = 1.0 if opt.lr == 1.0 else 0.25
        opt.step(params, {"w": np.array([1.0])})
        assert params["w"][0] == -1 - rate, events
        if not ended:
            break
