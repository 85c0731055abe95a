"""What once crashed, or changed what it must not: each found by the fuzzer or by reading with its eye."""
import pickle
import warnings

import numpy as np
import pytest
from numpy.lib.stride_tricks import as_strided

import fastnn
from fastnn import get_act, get_err, get_opt, group
from fastnn.core import elementwise, kernels, row_losses, rows, stepping
from fastnn.core.arrays import share_memory
from fastnn.core.affine import activate_with_bias, column_sums, gradient_with_sums
from fastnn.core.mean_loss import mean_row_loss
from fastnn.nn import clip_grad_norm
from fuzz.hooks import Key
from fuzz.operands import Liar, Method
from helpers import Number, assert_same_bits

LARGE = 300_000                 # numbers: memory that goes back to the system when it is freed


def on_call(act):
    """A gradient of ones that does something when it is looked at."""
    return Method(np.ones(3), act)


# Objects that say of themselves what is not so

class Subclass(np.ndarray):
    pass


@pytest.mark.parametrize("name", ["GELU", "softmax"])
def test_an_out_that_lies_about_its_shape(name):
    act, small = get_act(name), np.zeros(5)
    with pytest.raises(ValueError, match=r"shape \(1000000,\), not \(5,\)"):
        act.forward(np.ones(10**6), out=small.view(Liar))
    with pytest.raises(ValueError, match="shape"):
        act.value_and_grad(np.ones(10**6), out=(small.view(Liar), np.zeros(10**6)))
    liar = np.zeros((7, 5))[::2].view(Liar)
    x = np.arange(20.0).reshape(4, 5)
    assert act.forward(x, out=liar) is liar
    assert_same_bits(np.array(liar), act.forward(x))


class Pair(tuple):
    __len__ = lambda self: 9
    __iter__ = lambda self: iter([np.ones(3)] * 9)
    __getitem__ = lambda self, i: "no array"


@pytest.mark.parametrize("name", ["GELU", "softmax"])
def test_a_pair_that_says_it_is_more(name):
    act, out = get_act(name), Pair((np.zeros(3), np.zeros(3)))
    assert act.value_and_grad(np.arange(3.0), out=out) is out
    for got, wanted in zip(tuple.__iter__(out), act.value_and_grad(np.arange(3.0))):
        assert_same_bits(got, wanted)


def test_parameters_of_a_class_that_lies():
    opt, twin = get_opt("Adam"), get_opt("Adam")
    room, plain = np.ones((6, 4)), np.ones((3, 4))
    for _ in range(2):
        opt.step([room[::2].view(Liar)], [np.ones((3, 4)).view(Liar)])
        twin.step([plain], [np.ones((3, 4))])
    assert_same_bits(room[::2].copy(), plain)
    assert opt.state[0]["m"].shape == (3, 4)


def test_sums_of_a_matrix_that_is_none():
    for a in (np.ones(3), np.ones((2, 3, 4))):
        with pytest.raises(ValueError, match="takes a matrix"):
            column_sums(a.view(Liar))


class Answers:
    """x's __array__ gives another array each time."""

    def __init__(self, *arrays):
        self.arrays = list(arrays)

    def __array__(self, dtype=None, copy=None):
        return self.arrays.pop(0)


def test_a_row_activation_looks_at_x_once():
    out = np.zeros(3), np.zeros(3)
    get_act("softmax").value_and_grad(Answers(np.arange(3.0), np.ones((5, 3)), np.ones((5, 3))), out=out)
    for got, wanted in zip(out, get_act("softmax").value_and_grad(np.arange(3.0))):
        assert_same_bits(got, wanted)


# Methods of other objects, and objects that were not made properly

@pytest.mark.parametrize("cls, method, arguments", [
    (elementwise.ElementwiseActivation, "forward", (1.0,)), (elementwise.Elementwise, "_bound", (True,)),
    (rows.RowActivation, "forward", (1.0,)), (row_losses.RowLoss, "_value_and_gradient", (1.0, 1)),
    (stepping.Stepper, "_record", ("a",))])
@pytest.mark.parametrize("self", [object(), np.ones(3), None, get_err("Square")], ids=["object", "array", "None", "loss"])
def test_methods_of_other_objects(cls, method, arguments, self):
    if not isinstance(self, cls):
        with pytest.raises(TypeError, match="descriptor"):
            getattr(cls, method)(self, *arguments)


class Foreign:
    """Has an activation's own forward and backward, and is none."""

    forward = elementwise.ElementwiseActivation.forward
    backward = elementwise.ElementwiseActivation.backward


def test_an_activation_that_is_none():
    z = np.ones((3, 4), "f4")
    with pytest.raises(TypeError, match="descriptor"):
        activate_with_bias(Foreign(), z, np.ones(4, "f4"))
    with pytest.raises(TypeError, match="descriptor"):
        gradient_with_sums(Foreign(), z, None, z.copy())


def test_an_activation_with_addresses_of_its_own():
    class Mine(type(get_act("tanh"))):
        def _bound(self, single):
            return 1, 1, 1, 1

    z, b = np.ones((3, 4)), np.ones(4)
    assert_same_bits(activate_with_bias(Mine(), z, b), get_act("tanh").forward(np.full((3, 4), 2.0)))


@pytest.mark.parametrize("bias", [np.ones(4), np.ones(4, "c16")])
def test_a_matrix_that_no_activation_takes_stays(bias):
    z = np.ones((3, 4), "c16")
    with pytest.raises(TypeError, match="real numbers"):
        activate_with_bias(get_act("tanh"), z, bias)
    assert (z == 1).all()


@pytest.mark.parametrize("slots", [{}, {"m": 0}, {"m": 0, "v": 0, "x": 0}])
def test_a_rule_that_works_on_other_slots(slots):
    with pytest.raises(TypeError, match="Mine has [013] slots; the rule 'adam' works on 2"):
        type("Mine", (type(get_opt("SGD")),), {"slots": slots}, kernel="adam")


@pytest.mark.parametrize("name", ["Adam", "SGD", "SantaE"])
def test_an_optimizer_without_init(name):
    made = get_opt(name)
    bare = type(made).__new__(type(made))
    bare.__dict__.update(made.__dict__)
    p = np.ones(3)
    with pytest.raises((TypeError, RuntimeError), match="not been initialised"):
        bare.step(p, p.copy())
    assert (p == 1).all()


def test_an_optimizer_that_is_initialised_again():
    opt, p = get_opt("Adam"), np.ones(300, "f4")
    opt.step(p, p.copy())
    opt.__init__(state_dtype="int8")
    fresh, q = get_opt("Adam", state_dtype="int8"), p.copy()
    opt.step(p, np.ones(300))
    fresh.step(q, np.ones(300))
    assert_same_bits(p, q)


# Arrays that change while a call is under way

def spoil(a, how):
    """What makes `a` something else than what was checked."""
    if how == "shrunk":
        a.resize((1,), refcheck=False)
    elif how == "grown":
        a.resize((10 * a.size,), refcheck=False)
    elif how == "read-only":
        a.setflags(write=False)
    else:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            if how == "another shape":
                a.shape = (2, a.size // 2)
            else:
                a.dtype = np.dtype("S8")


HOW = ["shrunk", "grown", "another shape", "another dtype", "read-only"]


@pytest.mark.parametrize("what", ["parameter", "own parameter", "gradient"])
@pytest.mark.parametrize("how", HOW)
def test_a_gradient_that_changes_others(how, what):
    opt, q = get_opt("Adam"), np.ones(3)
    p, g = np.ones(LARGE), np.ones(LARGE)
    if what == "own parameter":
        p, g = np.ones(4), np.ones(4)
        params, grads = [q, p], [np.ones(3), Method(g, lambda: spoil(p, how))]
    else:
        params, grads = [p, q], [g, on_call(lambda: spoil(p if what == "parameter" else g, how))]
    if how == "read-only" and what == "gradient":
        opt.step(params, grads)
        return
    with pytest.raises((ValueError, TypeError)):
        opt.step(params, grads)
    assert opt.t == 0 and not any(opt._records) and (q == 1).all() and (how not in ("shrunk", "grown") or (p[:1] == 1).all())
    opt.step([q], [np.ones(3)])


@pytest.mark.parametrize("name, keyword", [("Adam", "t"), ("Eve", "f"), ("SantaE", "t")])
@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("steps", [0, 2])
def test_an_argument_that_changes_a_parameter(steps, how, name, keyword):
    opt, params, grads = get_opt(name), {"a": np.ones(LARGE)}, {"a": np.ones(LARGE)}
    for _ in range(steps):
        opt.step(params, grads)
    before, first = opt.t, params["a"][0]
    with pytest.raises(ValueError, match="changed"):
        opt.step(params, grads, **{keyword: Number(3, lambda: spoil(params["a"], how))})
    assert opt.t == before and params["a"].reshape(-1)[:1].tobytes()[:8] == np.float64(first).tobytes()


def test_a_generator_that_changes_a_parameter():
    p = np.ones(LARGE)

    class Noise(np.random.RandomState):
        def standard_normal(self, size=None):
            p.resize((1,), refcheck=False)
            return super().standard_normal(size)

    opt = get_opt("SantaE", rng=Noise(1))
    with pytest.raises(ValueError, match="changed"):
        opt.step(p, np.ones(LARGE))
    assert opt.t == 0 and opt._noise.standard_normal() == np.random.RandomState(1).standard_normal()


def test_a_key_that_changes_the_mappings():
    opt = get_opt("Adam")
    act = []
    key = Key("a", lambda: act and act[0]())
    params, grads = {"a": np.ones(LARGE), "b": np.ones(3)}, {key: np.ones(LARGE), "b": np.ones(3)}
    opt.step(params, grads)
    opt.step(params, grads)
    act.append(params.clear)
    try:
        opt.step(params, grads)
    except (KeyError, ValueError, RuntimeError):
        assert opt.t == 2
    act[:] = [lambda: params and params["a"].resize((1,), refcheck=False)]
    params.update(a=np.ones(LARGE), b=np.ones(3))
    before = opt.t
    with pytest.raises(ValueError):
        opt.step(params, grads)
    assert opt.t == before and (params["b"] == 1).all()


def test_state_that_is_reshaped():
    opt, p = get_opt("Adam"), np.ones(16)
    opt.step(p, np.ones(16))
    slots = opt.state[0]["m"].base
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        slots.shape = (32,)
    before = p.copy()
    with pytest.raises(ValueError, match="changed"):
        opt.step(p, np.ones(16))
    assert_same_bits(p, before)


def test_state_that_was_moved_between_steps():
    """Nobody has a view of it any more."""
    opt, p = get_opt("Adam"), np.ones(8000)
    for _ in range(2):
        opt.step(p, np.ones(8000))
    opt.state[0]["m"].base.resize((2, 8), refcheck=False)
    before = p.copy()
    with pytest.raises(ValueError, match="changed"):
        opt.step(p, np.ones(8000))
    assert_same_bits(p, before)


def test_large_state_cannot_be_moved():
    opt, p = get_opt("Adam"), np.ones(LARGE)
    opt.step(p, np.ones(LARGE))
    with pytest.raises(ValueError, match="own"):
        opt.state[0]["m"].base.resize((2, 8), refcheck=False)


@pytest.mark.parametrize("how", ["shrunk", "grown", "another dtype"])
@pytest.mark.parametrize("name", ["GELU", "softmax"])
def test_a_gradient_that_changes_x(name, how):
    x = np.ones(LARGE)
    with pytest.raises((ValueError, TypeError)):
        get_act(name).backward(x, grad=Method(np.ones(LARGE), lambda: spoil(x, how)), out=np.ones(LARGE))


@pytest.mark.parametrize("how", ["shrunk", "grown", "another dtype"])
@pytest.mark.parametrize("which", ["halves", "x", "gate"])
def test_a_gradient_that_changes_what_is_gated(which, how):
    x, gate = np.ones(LARGE), np.ones(LARGE)
    gated = {} if which == "halves" else {"gate": gate}
    grad = Method(np.ones(LARGE if gated else LARGE // 2), lambda: spoil(gate if which == "gate" else x, how))
    with pytest.raises((ValueError, TypeError)):
        get_act("GLU").backward(x, grad=grad, **gated)


# Memory that operands share

def test_labels_in_the_memory_of_the_gradient():
    room = np.zeros(40000)
    out, t = room[:30000].reshape(3000, 10), room[100:3100].view(np.intp)
    x = np.ones((3000, 10))
    for targets in (t, room[5000:35000].reshape(3000, 10)):
        with pytest.raises(ValueError, match="out must not share memory with the targets"):
            mean_row_loss(kernels.ROW_LOSSES["softmax_cross_entropy"], x, targets, out)
    assert not room.any()


def test_shared_memory_is_told_in_time():
    """An example of NumPy's own for which it takes a minute."""
    room = np.zeros(192163377, np.int8)
    one = as_strided(room, (1049,) * 3, (36674, 61119, 85569))
    other = as_strided(room[64023025:], (1049, 1049, 1), (12223, 12224, 1))
    assert share_memory(one, other)
    assert share_memory(room[:9], room[8:].view(Liar)) and not share_memory(room[:9], room[9:])
    assert not share_memory(room[:20:2], room[1:20:2])


def test_gradients_that_are_clipped_where_they_lie():
    matrix = np.full((3, 4), 2.0).view(np.matrix)
    assert clip_grad_norm([matrix], 1.0) == pytest.approx(48**0.5)
    assert np.linalg.norm(matrix) == pytest.approx(1)
    one = np.full(3, 2.0)
    for a in (as_strided(one, (5,), (0,)), as_strided(one, (2, 2), (8, 8))):
        with pytest.raises(ValueError, match="elements of gradient 0 share memory"):
            clip_grad_norm([a], 1.0)
    assert (one == 2).all()


# Numbers

def test_numbers_beyond_float():
    p = np.ones(3)
    with pytest.raises(ValueError, match="the loss f must be finite"):
        get_opt("Eve").step(p, p.copy(), f=10**400)
    with pytest.raises(ValueError, match="anne_func must give a positive number"):
        get_opt("SantaE", anne_rate=1e9).step(p, p.copy(), t=2**62)
    assert (p == 1).all()


class Any(int):
    __le__ = __lt__ = __ge__ = __gt__ = lambda self, other: True


@pytest.mark.parametrize("n", [Any(-7), Any(2**40), Number("2", lambda: None), Number(2.5, lambda: None)])
def test_numbers_of_threads_that_compare_as_they_like(n):
    before = fastnn.get_num_threads()
    with pytest.raises((TypeError, ValueError)):
        fastnn.set_num_threads(n)
    assert fastnn.get_num_threads() == before


def test_a_mapping_whose_error_changes_its_mind():
    class Fickle(KeyError):
        looks = 0

        @property
        def args(self):
            self.looks += 1
            return ("a",) if self.looks == 1 else ()

    class Failing(dict):
        def __getitem__(self, key):
            raise Fickle("a")

    with pytest.raises(KeyError, match="no gradient for parameter"):
        get_opt("SGD").step({"a": np.ones(3)}, Failing(a=1))


def test_a_state_whose_function_is_an_array():
    opt = get_opt("SantaE", rng=1)
    state = opt.state_dict()
    state["hyperparameters"]["anne_func"] = np.broadcast_to(np.float32(0), (2**40,))
    with pytest.raises(fastnn.StateError, match="anne_func"):
        opt.load_state_dict(state)


# Groups, schedules, numbers: code of a user's in the middle of a step

def stepped_with(act, where, steps):
    """(optimizer, parameters, gradients, the call): `act[0]` is called from a group's function or a schedule."""
    def ask(key, p):
        act[0]()
        return key == "b"

    def rate(t):
        act[0]()
        return 0.1
    opt = {"group": lambda: get_opt("Adam", groups=[group(ask, freeze=True)]),
           "schedule": lambda: get_opt("Adam", lr=rate),
           "schedule of a group": lambda: get_opt("Adam", groups=[group("a", weight_decay=rate)]),
           "schedule of the global norm": lambda: get_opt("Adam", clip_global_norm=rate)}[where]()
    params = {"a": np.ones(LARGE), "b": np.ones(4)}
    grads = {"a": np.ones(LARGE), "b": np.ones(4)}
    for _ in range(steps):
        opt.step(params, grads)
    return opt, params, grads


WHERE = ["group", "schedule", "schedule of a group", "schedule of the global norm"]


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("steps", [0, 2])
@pytest.mark.parametrize("where", WHERE)
def test_a_function_that_changes_a_parameter(where, steps, how):
    """Before the parameters are looked at that is a parameter of another shape or kind; later it is noticed."""
    act = [lambda: None]
    opt, params, grads = stepped_with(act, where, steps)
    before, first = opt.t, params["a"][0]
    act[0] = lambda: spoil(params["a"], how)
    with pytest.raises((ValueError, TypeError)):
        opt.step(params, grads)
    act[0] = lambda: None
    assert opt.t == before and params["a"].reshape(-1)[:1].tobytes()[:8] == np.float64(first).tobytes()
    params["a"] = np.ones(LARGE)
    opt.step(params, grads)
    assert opt.t == before + 1


@pytest.mark.parametrize("steps", [0, 2])
@pytest.mark.parametrize("where", WHERE)
def test_a_function_that_changes_the_mappings(where, steps):
    """The step is that of the arrays that were found."""
    for change in (dict.clear, lambda d: d.update(a=np.zeros(2)), lambda d: d.update(new=np.ones(2)),
                   lambda d: d.pop("b")):
        act = [lambda: None]
        (opt, params, grads), (twin, same, plain) = (stepped_with(one, where, steps) for one in (act, [lambda: None]))
        arrays = dict(params)
        act[0] = lambda: [change(d) for d in (params, grads) if "a" in d and d["a"].size > 2]
        try:
            opt.step(params, grads)
        except (KeyError, ValueError):
            assert opt.t == steps
        else:
            twin.step(same, plain)
            for key, p in arrays.items():
                assert_same_bits(p, same[key])


@pytest.mark.parametrize("steps", [0, 2])
@pytest.mark.parametrize("where", WHERE)
@pytest.mark.parametrize("error", [KeyError("mine"), KeyboardInterrupt, StopIteration, ZeroDivisionError])
def test_a_function_that_raises(where, steps, error):
    """Its error comes through, as the cause of one that says where if it is its own fault, and nothing has changed."""
    act, fault = [lambda: None], error is ZeroDivisionError or isinstance(error, KeyError)

    def fail():
        raise error
    opt, params, grads = stepped_with(act, where, steps)
    for nested in (False, True):
        before, bits = opt.state_dict(), [p.tobytes() for p in params.values()]
        act[0] = fail
        with pytest.raises(ValueError if fault else error) as found:
            if nested:
                opt.step({**params, "c": [np.ones(2)]}, {**grads, "c": [np.ones(2)]})
            else:
                opt.step(params, grads)
        act[0] = lambda: None
        assert not fault or isinstance(found.value.__cause__, (KeyError, ZeroDivisionError))
        assert not isinstance(error, KeyError) or found.value.__cause__ is error
        assert pickle.dumps(opt.state_dict()) == pickle.dumps(before)
        assert [p.tobytes() for p in params.values()] == bits


@pytest.mark.parametrize("value", [float("nan"), -1, float("inf"), None, "x", 1j, np.ones(2), True,
                                   Number(1, lambda: 1 / 0)])
@pytest.mark.parametrize("steps", [0, 2])
@pytest.mark.parametrize("where", WHERE[1:])
def test_a_schedule_that_gives_nonsense(where, steps, value):
    opt, params, grads = stepped_with([lambda: None], where, steps)
    if value is None and where == "schedule of the global norm":
        return                                  # no clipping
    holder = opt.groups[0] if opt.groups else opt
    name = {"schedule": "lr", "schedule of a group": "weight_decay"}.get(where, "clip_global_norm")
    setattr(holder, name, lambda t: value)
    before, bits = pickle.dumps(opt.state_dict()), [p.tobytes() for p in params.values()]
    with pytest.raises((ValueError, TypeError), match="that is what the schedule .* gives at t = "):
        opt.step(params, grads)
    assert pickle.dumps(opt.state_dict()) == before and [p.tobytes() for p in params.values()] == bits


def test_what_a_schedule_sets_holds_from_the_next_step_on():
    """The optimizer's values and its groups may be set at any time; the step that is being taken keeps its own."""
    def rate(t):
        opt.groups[0].freeze = t == 2
        opt.weight_decay = 0.5 * t
        return 1.0
    opt = get_opt("SGD", lr=rate, groups=[group("a", grad_scale=2.0)])
    params, g = {"a": np.zeros(2), "b": np.zeros(2)}, np.ones(2)
    opt.step(params, {"a": g, "b": g})
    assert (params["a"] == -2).all() and (params["b"] == -1).all()
    opt.step(params, {"a": g, "b": g})
    frozen = params["a"].copy()
    opt.step(params, {"a": g, "b": g})
    assert (params["a"] == frozen).all() and opt.state_dict()["by_key"]["a"]["t"] == 2


@pytest.mark.parametrize("change", [lambda d: d.update(n=7.0), lambda d: d.pop("n"), dict.clear])
def test_numbers_that_change_meanwhile(change):
    opt, params = get_opt("Momentum", lr=lambda t: act[0]() or 1.0), {"n": 1.0, "w": np.ones(2)}
    act = [lambda: None]
    opt.step(params, {"n": 1.0, "w": np.ones(2)})
    before, w = pickle.dumps(opt.state_dict()), params["w"]
    bits = w.tobytes()
    act[0] = lambda: change(params)
    with pytest.raises(ValueError, match="changed from outside"):
        opt.step(params, {"n": 1.0, "w": np.ones(2)})
    assert pickle.dumps(opt.state_dict()) == before and w.tobytes() == bits and params.get("n") in (7.0, None)


def test_the_key_to_forget():
    """A key's own code cannot use the optimizer, and its error changes nothing."""
    opt, act = get_opt("Adam"), [lambda: None]
    key, p = Key("a", lambda: act[0]()), {"a": np.ones(2)}
    opt.step(p, p)
    before = pickle.dumps(opt.state_dict())
    for call in (lambda: opt.step(p, p), lambda: opt.forget("a"), lambda: 1 / 0):
        act[0] = call
        with pytest.raises((RuntimeError, ZeroDivisionError)):
            opt.forget(key)
        act[0] = lambda: None
        assert pickle.dumps(opt.state_dict()) == before
    opt.forget(key)
    assert not opt.state
