"""One use of an optimizer at a time: what comes in between gets an error, and the step that is being taken is whole."""
import contextlib
import copy
import gc
import os
import pickle
import signal
import sys
import threading
import warnings

import numpy as np
import pytest

import fastnn
from fastnn import get_opt, group, schedules
from helpers import HANG, Number, exit_status
from test_all_or_nothing import FaultyGradient, FaultyKey, FaultyMapping, FaultyNoise, everything


def like(opt):
    return type(opt)(*(getattr(opt, name) for name in opt.hyperparameters))


ABOVE = "this .* is in use by a caller in this thread"
USES = {
    "forget": lambda opt: opt.forget("a"),          # first: the others may leave nothing to forget
    "update": lambda opt: opt.update({"z": np.ones(3)}, {"z": np.ones(3)}),
    "step": lambda opt: opt.step([np.ones(3)], [np.ones(3)]),
    "deltas": lambda opt: opt.update(np.ones(3)),
    "state": lambda opt: opt.state,
    "state_dict": lambda opt: opt.state_dict(),
    "load_state_dict": lambda opt: opt.load_state_dict(like(opt).state_dict()),
    "lists": lambda opt: opt.update([np.ones(3)], [np.ones(3)]),
    "copy": copy.copy,
    "pickle": pickle.dumps,
}


def opt_of(name, call):
    if name == "annealing":
        return get_opt("SantaE", rng=1, anne_func=lambda t, rate: call() or t**rate)
    if name == "noise":
        noise = FaultyNoise(np.random.PCG64(1))
        noise.fault = call
        return get_opt("SantaE", rng=noise)
    if name == "schedule":
        return get_opt("Adam", lr=lambda t: call() or 0.1)
    if name == "schedule of a group":
        return get_opt("Adam", groups=[group("b", l2=lambda t: call() or 0.1)])
    if name == "schedule of the global norm":
        return get_opt("SGD", clip_global_norm=lambda t: call() or 0.1)
    if name == "function of a group":           # one that freezes is asked at each step
        return get_opt("Adam", groups=[group(lambda key, p: call() or key == "b", freeze=True)])
    return get_opt({"f": "Eve", "gradient of NAG": "NAG"}.get(name, "Adam"))


def from_a_handler(call):
    before = signal.signal(signal.SIGTERM, lambda *_: call())
    try:
        signal.raise_signal(signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, before)


class Dying:
    def __init__(self, call):
        self.call = call

    def __del__(self):
        self.call()


# What a step calls: (optimizer, parameters, gradients, function to be called).
PLACES = {
    "t": lambda opt, p, g, call: opt.update(p, g, t=Number(5, call)),
    "f": lambda opt, p, g, call: opt.update(p, g, f=Number(0.5, call)),
    "annealing": lambda opt, p, g, call: opt.update(p, g),
    "noise": lambda opt, p, g, call: opt.step(list(p.values()), list(g.values())),
    "parameters": lambda opt, p, g, call: opt.update(FaultyMapping(p, call), g),
    "gradients": lambda opt, p, g, call: opt.update(p, FaultyMapping(g, call)),
    "__array__": lambda opt, p, g, call: opt.step(list(p.values()), [FaultyGradient(a, call) for a in g.values()]),
    "key": lambda opt, p, g, call: step_with_key(opt, p, g, call),
    "schedule": lambda opt, p, g, call: opt.update(p, g),
    "schedule of a group": lambda opt, p, g, call: opt.step(p, g),
    "schedule of the global norm": lambda opt, p, g, call: opt.step(p, g),
    "function of a group": lambda opt, p, g, call: opt.step(p, g),
    "nested": lambda opt, p, g, call: opt.step({"x": FaultyMapping(p, call), "y": [0.5]}, {"x": g, "y": [1.0]}),
    "gradient of NAG": lambda opt, p, g, call: opt.update(*g.values(), w=p["a"], dfw=lambda w: call() or w, nargs=1),
    "handler": lambda opt, p, g, call: opt.update(p, g, t=Number(5, lambda: from_a_handler(call))),
    "destructor": lambda opt, p, g, call: opt.update(p, g, t=Number(5, lambda: Dying(call) and None)),
}


def nothing():
    pass


def called_by_key():
    CALLED_BY_KEY[0]()


CALLED_BY_KEY = [nothing]
KEY = FaultyKey(called_by_key)


def step_with_key(opt, params, grads, call):
    params, grads = {**params, KEY: np.ones(2)}, {KEY: np.ones(2), **grads}         # so that it is looked up
    CALLED_BY_KEY[0] = call
    try:
        opt.update(params, grads)
    finally:
        CALLED_BY_KEY[0] = nothing


def arrays(n=3):
    return {"a": np.ones(n, np.float32), "b": np.full((2, 2), 0.5)}


def one_step(place, use):
    """(what there was, what there is, how often `use` was called) around the second of two steps."""
    doing, calls = [nothing], [0]

    def call():
        calls[0] += doing[0] is not nothing
        doing[0]()

    opt, params, grads = opt_of(place, call), arrays(), arrays()
    PLACES[place](opt, params, grads, call)
    before = everything(opt, params.values())
    doing[0] = lambda: use(opt)
    try:
        PLACES[place](opt, params, grads, call)
    finally:
        doing[0] = nothing
        after = everything(opt, params.values())
        one_step.last = before, after, calls[0]
    return after, calls[0]


@pytest.mark.parametrize("place", PLACES)
def test_what_a_step_calls_cannot_use_its_optimizer(place):
    wanted, _ = one_step(place, lambda opt: None)
    for use in USES.values():
        def refused(opt, use=use):
            with pytest.raises(RuntimeError, match=ABOVE):
                use(opt)

        after, calls = one_step(place, refused)
        assert calls and after == wanted


@pytest.mark.parametrize("place", [place for place in PLACES if place != "destructor"])    # whose errors are only shown
def test_the_error_leaves_nothing_behind(place):
    for use in USES.values():
        with pytest.raises(RuntimeError, match=ABOVE):
            one_step(place, use)
        before, after, calls = one_step.last
        assert after == before and calls == 1


@pytest.mark.parametrize("gaps", [False, True])
@pytest.mark.parametrize("steps", [0, 2])
@pytest.mark.parametrize("change", [lambda p: p.resize(0), lambda p: setattr(p.flags, "writeable", False) or 1/0,
                                    lambda p: setattr(p.flags, "writeable", False)], ids=["freed", "error", "read-only"])
def test_what_a_step_calls_changes_its_parameters(gaps, steps, change):
    """NumPy refuses to free an array that the step holds; what cannot be written back is found in time."""
    opt, params, room = get_opt("Adam"), arrays(3), np.ones(6, np.float32)
    params["c"] = room[::2] if gaps else np.ones(3, np.float32)
    grads = {key: p.copy() for key, p in params.items()}
    for _ in range(steps):
        opt.update(params, grads)
    before = everything(opt, [*params.values(), room])
    try:
        opt.update(params, grads, t=Number(5, lambda: change(params["c"])))
    except (ValueError, ZeroDivisionError):
        assert everything(opt, [*params.values(), room]) == before
    else:
        assert not gaps and not params["c"].flags.writeable and opt.t == 5


def test_what_looking_for_a_number_changes():
    """The key of a number is looked up once more before the step: that runs its own code."""
    class Key:
        left = 10**9

        def __hash__(self):
            Key.left -= 1
            if Key.left == 0:
                p.flags.writeable = False
                Key.seen = p.copy()
            return 1

    key, refused = Key(), 0
    for last in range(1, 30):
        opt, p, Key.seen = get_opt("SGD", lr=1.0), np.zeros(3), None
        params, grads = {"p": p, key: 1.0}, {"p": np.ones(3), key: 1.0}
        Key.left = last
        try:
            opt.step(params, grads)
        except ValueError:
            refused += 1
        if Key.seen is not None:
            assert (p == Key.seen).all()            # it is not written to after that
    assert refused


def test_nag_looks_ahead_between_steps_only():
    opt, refused = get_opt("NAG"), []

    def gradient(w):
        with pytest.raises(RuntimeError, match=ABOVE):
            opt.lookahead(w, "w")
        refused.append(1)
        return w

    opt.update(np.ones(3), np.ones(3), w=np.ones(3), dfw=gradient, nargs=1)
    assert refused and opt.lookahead(1.0, "w") == 1.0


@contextlib.contextmanager
def in_the_middle_of_a_step(opt, params):
    """Another thread stands in the middle of a step of this optimizer; yields the thread."""
    inside, go_on, failed = threading.Event(), threading.Event(), []

    def step():
        try:
            opt.update(params, arrays(), t=Number(5, lambda: (inside.set(), go_on.wait(HANG))))
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=step, name="the stepping one")
    thread.start()
    assert inside.wait(HANG)
    try:
        yield thread
    finally:
        go_on.set()
        thread.join(HANG)
    assert not failed and not thread.is_alive()


def test_another_thread_cannot_use_it_meanwhile():
    opts, params = [get_opt("Adam"), get_opt("Adam")], [arrays(), arrays()]
    for opt, its in zip(opts, params):
        opt.update(its, arrays())
    with in_the_middle_of_a_step(opts[0], params[0]):
        for use in USES.values():
            with pytest.raises(RuntimeError, match="this Adam is in use in thread the stepping one: give each"):
                use(opts[0])
        assert opts[0].t == 1 and repr(opts[0]) == repr(opts[1])
        opts[0].beta1 = 0.5
    opts[1].beta1 = 0.5
    opts[1].update(params[1], arrays(), t=5)
    assert everything(opts[0], params[0].values()) == everything(opts[1], params[1].values())
    for use in USES.values():
        use(opts[0])


def test_a_file_fills_nothing_where_one_of_its_optimizers_is_in_use(tmp_path):
    pytest.importorskip("safetensors")
    params, grads = {"w": np.ones(3)}, {"w": np.ones(3)}
    first, second = get_opt("Adam"), get_opt("Adam")
    fastnn.save(tmp_path / "saved", first=first, second=second)
    first.update(params, grads)
    before = everything(first, params.values())
    with pytest.raises(RuntimeError, match="in use by a caller"):
        second.update(params, grads, t=Number(1, lambda: fastnn.load(tmp_path / "saved", first=first, second=second)))
    assert everything(first, params.values()) == before



@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_child_forked_in_the_middle_of_a_step():
    """Of another thread: it will never end there. Of the thread that forks: it goes on in both."""
    opt, params = get_opt("Adam"), arrays()
    with in_the_middle_of_a_step(opt, params):
        child = os.fork()
        if child == 0:
            try:
                opt.update(params, arrays())
            except RuntimeError as error:
                os._exit(0 if "when this process was forked" in str(error) else 3)
            finally:
                os._exit(4)
        assert exit_status(child) == 0
    children = []
    opt.update(params, arrays(), t=Number(7, lambda: children.append(os.fork())))
    if children == [0]:
        try:
            opt.update(params, arrays())
            os._exit(0 if opt.t == 8 else 3)
        finally:
            os._exit(4)
    assert exit_status(children[0]) == 0 and opt.t == 7


@pytest.mark.parametrize("n", [100, 100_000])           # 100,000 elements are stepped without the interpreter's lock
@pytest.mark.parametrize("form", ["mapping", "list", "deltas"])
def test_one_optimizer_in_several_threads(form, n):
    """Each step is taken as a whole or refused."""
    opt, twin, grads = get_opt("Adam"), get_opt("Adam"), arrays(n)
    params, same, taken, wrong = arrays(n), arrays(n), [], []
    start = threading.Barrier(4)

    def take(opt, params):
        if form == "mapping":
            opt.update(params, grads)
        elif form == "list":
            opt.step(list(params.values()), list(grads.values()))
        else:
            opt.update(*grads.values())

    def repeat():
        start.wait(HANG)
        for _ in range(60):
            try:
                take(opt, params)
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
    assert not wrong and len(taken) == opt.t > 0
    for _ in taken:
        take(twin, same)
    assert everything(opt, params.values()) == everything(twin, same.values())


class Interruption:
    """Raises KeyboardInterrupt at a moment between two instructions of Python, as a signal's handler may."""

    def __init__(self, moment):
        self.left = moment

    def __enter__(self):
        self.before, self.collecting = sys.gettrace(), gc.isenabled()
        gc.disable()                # what others have hooked into a collection (Hypothesis has) is not to be interrupted
        sys.settrace(self.trace)

    def __exit__(self, *_):
        sys.settrace(self.before)
        if self.collecting:
            gc.enable()

    def trace(self, frame, event, arg):
        if frame.f_code is Interruption.__exit__.__code__:
            return None
        frame.f_trace_opcodes = True
        if event in ("opcode", "line"):
            self.left -= 1
            if self.left == 0:
                raise KeyboardInterrupt
        return self.trace


def load(opt, params):
    state = get_opt(opt.name, **{"rng": 2} if opt.name == "SantaE" else {}).state_dict()
    return lambda: opt.load_state_dict(state)


INTERRUPTED = {
    "mapping": lambda opt, p: lambda: opt.update(p, arrays(), f=0.5),
    "other mapping": lambda opt, p: lambda: opt.update(FaultyMapping(p, nothing), arrays(), f=0.5),
    "list": lambda opt, p: lambda: opt.step(list(p.values()), list(arrays().values())),
    "deltas": lambda opt, p: lambda: opt.update(np.ones(3), 0.5, f=0.5),
    "state_dict": lambda opt, p: opt.state_dict,
    "load_state_dict": load,
}


def content(value):
    """Nested dicts, lists and tuples as something to compare; a pickle tells which of its parts are one object, too."""
    if isinstance(value, dict):
        return [(key, content(item)) for key, item in value.items()]
    return list(map(content, value)) if isinstance(value, (list, tuple)) else (
        value.tobytes() if isinstance(value, np.ndarray) else repr(value))


def test_ctrl_c_at_any_moment_with_all_around_it():
    """Groups, schedules, clipping, a parameter that joins, numbers that are put back, and a step that is skipped."""
    def attempt(moment, gradient, action):
        opt = get_opt("SantaE", rng=1, clip_global_norm=1.0, weight_decay=0.5,
                      lr=schedules.linear(0.1, 10, end_value=0.01),
                      groups=[group(lambda key, p: key == "b", freeze=True), group("n", lr=0.5)])
        params, grads = {**arrays(), "n": 0.5}, {**arrays(), "n": 2.0}
        opt.step(params, grads)
        params["c"], grads["c"] = np.ones(4), np.full(4, gradient)
        saved = opt.state_dict()
        saved["hyperparameters"]["sigma"] = saved["groups"][1]["values"]["eta"] = 0.25
        saved["groups"][0]["freeze"] = False
        saved["by_key"]["n"]["t"] = 7
        call = {"step": lambda: opt.step(params, grads), "load": lambda: opt.load_state_dict(saved),
                "forget": lambda: opt.forget("n")}[action]
        states = []
        for interruption in (None, Interruption(moment)):
            if interruption:
                with contextlib.suppress(KeyboardInterrupt), warnings.catch_warnings(), interruption:
                    warnings.simplefilter("ignore", RuntimeWarning)
                    call()
            states.append(content((opt.state_dict(), [(g.freeze, repr(g.lr)) for g in opt.groups], params)))
        return *states, interruption.left

    for gradient, action in ((1.0, "step"), (np.inf, "step"), (1.0, "load"), (1.0, "forget")):
        never = 10**9
        attempt(never, gradient, action)
        before, after, left = attempt(never, gradient, action)
        assert after != before
        moment, left = max(0, never - left - 500) if action == "load" else 0, 0
        while left <= 0:
            moment += 1 if action == "load" else 3
            *states, left = attempt(moment, gradient, action)
            assert states[0] == before and states[1] in (before, after), (gradient, action, moment)


@pytest.mark.parametrize("action", INTERRUPTED)
@pytest.mark.parametrize("name", ["Adam", "Eve", "SantaE"])
def test_ctrl_c_at_any_moment(name, action):
    """The call has been made as a whole or not at all, and the optimizer is not left as if it were in use."""
    def attempt(moment):
        """(state before, state after, moments that were left)"""
        opt, params, states = get_opt(name, **{"rng": 1} if name == "SantaE" else {}), arrays(), []
        opt.update(params, arrays())
        call = INTERRUPTED[action](opt, params)
        for interruption in (None, Interruption(moment)):
            if interruption:
                with contextlib.suppress(KeyboardInterrupt), interruption:
                    call()
            state = opt.state_dict()
            states.append(pickle.dumps((state, [p.tobytes() for p in params.values()])))
        return *states, interruption.left

    never = 10**9
    attempt(never)
    before, after, left = attempt(never)
    assert (after == before) == (action == "state_dict")
    moment, left = max(0, never - left - 400), 0                # what is long is reading and checking a state
    while left <= 0:
        moment += 1
        *states, left = attempt(moment)
        assert states[0] == before and states[1] in (before, after), moment
    assert moment > 5


# Rules that are not as they should be.

def test_a_rule_that_is_not_initialised():
    class Forgetful(type(get_opt("Adam"))):
        def __init__(self):
            self.alpha, self.beta1, self.beta2, self.eps = 1e-3, 0.9, 0.999, 1e-8

    for use in ("update", "step", "deltas"):
        with pytest.raises(TypeError, match=r"not been initialised: its class must call super\(\)"):
            USES[use](Forgetful())
    opt = get_opt("Adam")
    opt.update(np.ones(3))
    with pytest.raises(ValueError, match="not been initialised"):       # a StateError
        type(opt).__new__(type(opt)).load_state_dict(opt.state_dict())


def test_initialised_again_it_begins_anew():
    opt, params, twin, same = get_opt("Adam"), arrays(3000), get_opt("Adam", state_dtype="int8"), arrays(3000)
    del params["b"], same["b"]
    grads = {"a": arrays(3000)["a"]}
    opt.update(arrays(3000), arrays(3000))
    opt.update({"a": np.ones(3000, np.float32)}, grads)
    opt.__init__(state_dtype="int8")
    assert opt.t == 0 and opt.state == {}
    for _ in range(3):
        opt.update(params, grads)
        twin.update(same, grads)
    assert everything(opt, params.values()) == everything(twin, same.values())
