"""What a source means by a name: ``like="article"``, fastnn.articles, and what the plain names mean without it."""
import copy
import pickle
import re
from inspect import signature

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import fastnn
from fastnn import StateError, articles, dlfs, get_act, get_err, get_opt
from helpers import FLOATS, NOISY, assert_same_bits, python
from oracles import article, optimizers
from test_names import ARTICLE_A, REQUIRED

NAMES = [name for name in ARTICLE_A[get_opt].split() if name != "SDG"]
# The article's arithmetic is the papers' and PyTorch's here: one class, which is like nobody.
COMMON = ["SGD", "MSGD", "NAG", "AdaDelta", "RMSpropGraves", "SMORMS3"]
OTHERS = [name for name in NAMES if name not in COMMON]
EVERYTHING = [(get, name) for get, names in ARTICLE_A.items() for name in names.split()]
BOUND = {get_act: articles.get_act, get_opt: articles.get_opt, get_err: articles.get_err}
FOREIGN = {get_opt: "Momentum", get_act: "GELU", get_err: "softmax-cross-entropy"}
NEARLY = {get_opt: ("Adamm", "Adam"), get_act: ("leaky-relou", "leaky-ReLU"), get_err: ("Crss", "Cross")}

each_entry = pytest.mark.parametrize(("get", "name"), EVERYTHING)
each_get = pytest.mark.parametrize("get", BOUND)
each_name = pytest.mark.parametrize("name", NAMES)
each_other = pytest.mark.parametrize("name", OTHERS)


def seeded(name):
    return {"rng": np.random.RandomState(5)} if name in NOISY else {}


def gradients(shape, t, dtype=float):
    return np.random.default_rng((t, 7)).standard_normal(shape).astype(dtype)


def start(name, steps=3, **kwds):
    """(optimizer, parameters) after some steps."""
    opt, params = get_opt(name, **seeded(name), **kwds), {"W": np.ones((3, 4)), "b": np.zeros(5, np.float32)}
    for t in range(1, steps + 1):
        step(opt, params, t)
    return opt, params


def step(opt, params, t):
    opt.update(params, {key: gradients(p.shape, t, p.dtype) for key, p in params.items()}, f=1 + 1/t)


# Names

@each_entry
def test_the_articles_names(get, name):
    made = get(name, like="article", **REQUIRED.get(name, {}))
    assert type(made) is type(BOUND[get](name, **REQUIRED.get(name, {})))
    assert made.name == ("SGD" if name == "SDG" else name) and made.like in (None, "article")
    for spelling in (name.upper(), name.replace("-", "_"), f" {name} "):
        assert type(BOUND[get](spelling, **REQUIRED.get(name, {}))) is type(made)


def test_the_articles_program_by_its_import_line():
    found = {}
    exec("from fastnn.articles import *", found)
    assert found.keys() - {"__builtins__"} == {"get_act", "get_opt", "get_err"} == set(articles.__all__)
    done = python("from fastnn.articles import get_act, get_opt, get_err; import fastnn; "
                  "print(get_opt('Adam').like, get_act('softmax').axis, get_err('Cross').name, "
                  "fastnn.get_opt('Adam').like, fastnn.articles.get_opt is get_opt)")
    assert done.stdout.split() == ["article", "None", "Cross", "None", "True"]


def test_the_module_is_there_when_it_is_asked_for():
    done = python("import fastnn, sys; print('fastnn.articles' in sys.modules); fastnn.articles.get_opt('Adam')")
    assert (done.returncode, done.stdout.split()) == (0, ["False"]), done.stderr


@each_get
def test_names_that_the_article_has_not(get):
    with pytest.raises(ValueError, match=f"Unknown .*article A has no '{FOREIGN[get]}'"):
        get(FOREIGN[get], like="article")
    assert get(FOREIGN[get]).like is None
    wrong, nearest = NEARLY[get]
    for call in (lambda: get(wrong, like="article"), lambda: BOUND[get](wrong)):
        with pytest.raises(ValueError, match=f"Unknown .*'{wrong}'.*did you mean .*{nearest}"):
            call()
    for name in (None, 3, b"Adam"):
        with pytest.raises(TypeError, match="must be a string"):
            get(name, like="article")


@each_get
def test_unknown_sources(get):
    name = NEARLY[get][1]
    for spelling in ("Article", "arti cle"):
        assert type(get(name, like=spelling)) is type(get(name, like="article"))
    for wrong in ("articel", "artcle"):
        with pytest.raises(ValueError, match=f"^like must be one of 'article', .*, not '{wrong}'.*did you mean article"):
            get(name, like=wrong)
    for wrong in ("", "xylophone", "x"*10_000, "no\nbody"):
        with pytest.raises(ValueError, match="^like must be one of 'article'") as caught:
            get(name, like=wrong)
        assert len(str(caught.value)) < 300 and "\n" not in str(caught.value)
    for wrong in (3, True, False, b"article", ["article"], np.array("article"), get_opt):
        with pytest.raises(TypeError, match="^like must be a string, one of 'article'"):
            get(name, like=wrong)
    with pytest.raises(TypeError, match="like"):
        BOUND[get](name, like="article")                # given twice
    assert get(name, like=None).like is None


def test_a_source_is_no_setting():
    for opt in (get_opt("Adam"), get_opt("Adam", like="article")):
        for value in (None, "article"):
            with pytest.raises(AttributeError, match="like"):
                opt.like = value
        with pytest.raises(AttributeError, match="like"):
            del opt.like
    with pytest.raises(TypeError, match="like"):
        get_opt("Adam", groups=[fastnn.group("W", like="article")])
    with pytest.raises(TypeError, match="like"):
        dlfs.Adam(like="article")


@pytest.mark.parametrize(("name", "wrong"), [
    ("AdaGrad", "eps"), ("AdaMax", "eps"), ("RMSprop", "eps_inside_root"), ("Nadam", "momentum_decay"),
    ("AdaBound", "gamma"), ("AMSBound", "base_lr")])
def test_hyperparameters_that_the_article_has_not(name, wrong):
    with pytest.raises(TypeError, match=f"{name} has no hyperparameter '{wrong}'"):
        get_opt(name, like="article", **{wrong: 0.5})
    assert getattr(get_opt(name, **{wrong: 0.5}), wrong) == 0.5


# `like` of what is made

@each_name
def test_which_rules_are_the_articles_own(name):
    """Those by which the two differ; the others are one class, whose states go both ways."""
    assert get_opt(name).like is None
    opt, params = start(name, like="article")
    assert opt.like == (None if name in COMMON else "article")
    if name in COMMON:
        assert type(opt) is type(get_opt(name))
        other = get_opt(name)
        other.load_state_dict(opt.state_dict())
        assert opt.state_dict()["like"] is None


@each_name
def test_reprs_and_copies(name):
    opt, params = start(name, like="article", lr=0.02, l2=0.01)
    assert ("like='article'" in repr(opt)) == (name in OTHERS)
    if name not in NOISY:
        again = eval(repr(opt), {"get_opt": get_opt})
        assert type(again) is type(opt) and repr(again) == repr(opt)
    wanted = copy.deepcopy(params)
    copies = [copy.copy(opt), copy.deepcopy(opt), pickle.loads(pickle.dumps(opt))]
    step(opt, wanted, 4)
    for copied in copies[1:]:
        mine = copy.deepcopy(params)
        assert (type(copied), copied.like, repr(copied)[:20]) == (type(opt), opt.like, repr(opt)[:20])
        step(copied, mine, 4)
        for key, p in mine.items():
            assert_same_bits(p, wanted[key])
    assert copies[0].like == opt.like


@pytest.mark.parametrize("name", ["softmax", "softmin", "log-softmax"])
def test_the_softmax_family_over_the_whole_array(name):
    x = np.random.default_rng(0).standard_normal((3, 4))
    act = get_act(name, like="article")
    assert act.axis is None and act.like == "article" and get_act(name).axis == -1
    assert_same_bits(act.forward(x), get_act(name, axis=None).forward(x))
    rows = get_act(name, axis=-1, like="article")
    assert_same_bits(rows.forward(x), get_act(name).forward(x))
    for one in (act, rows):
        again = eval(repr(one), {"get_act": get_act})
        assert repr(again) == repr(one) and (again.axis, again.like) == (one.axis, "article")
        for copied in (copy.deepcopy(one), pickle.loads(pickle.dumps(one))):
            assert (copied.axis, copied.like) == (one.axis, "article")


@pytest.mark.parametrize("name", [name for name in ARTICLE_A[get_act].split() if "soft" not in name])
def test_other_activations_are_the_same(name):
    x = np.linspace(-3, 3, 50)
    one, other = (get(name, **REQUIRED.get(name, {})) for get in (get_act, articles.get_act))
    assert_same_bits(one.forward(x), other.forward(x))
    assert one.like is other.like is None


# Arithmetic

@pytest.mark.parametrize("dtype", FLOATS)
@each_name
def test_the_articles_rules_for_sixty_steps(name, dtype):
    """As it calls them: two gradients, an explicit t, and what it returns is added to both parameters."""
    values = {"eta": 1e-6} if name in NOISY else {}                 # with its own rate the article's Santa explodes
    opt = articles.get_opt(name, **seeded(name), **values)
    rng = seeded(name).get("rng")
    oracles, largest = [article.ORACLES[name](**values) for _ in range(2)], [0, 0]
    for t in range(1, 61):
        grads = [gradients(shape, (t, i), dtype) for i, shape in enumerate([(4, 3), (3,)])]
        extra = {"f": 2 + np.sin(t)} if name == "Eve" else {}
        drawn = optimizers.normal_draws(rng, [(oracle, grad.shape, t) for oracle, grad in zip(oracles, grads)])
        deltas = opt.update(*grads, t, *extra.values())
        for i, (delta, grad) in enumerate(zip(deltas, grads)):
            wanted = oracles[i].delta(grad, t, **extra, **drawn[i])
            largest[i] = max(largest[i], abs(wanted).max())
            bound = (1000 if rng else 256 if name == "SMORMS3" else 16)*np.finfo(dtype).eps*largest[i]
            assert (abs(delta - wanted) <= bound).mean() >= (0.8 if rng else 1)         # see test_optimizers.py


MOVED = {1e-3: (-0.09473124184345916, 0.09418648696434574, -0.032540108920841165),
         1e-4: (-0.09472312312464826, 0.09417055033922254, -0.0325361704647337),
         1e-5: (-0.09464201251629419, 0.09401148102782418, -0.03249683832111584)}


@pytest.mark.parametrize("size", MOVED)
def test_adam_moves_as_far_as_pytorchs_by_small_gradients(size):
    """Recorded of torch.optim.Adam 2.14.1, its defaults, 100 steps in float64. Article A's eps all but stops them."""
    p, q, r, oracle = np.zeros(3), np.zeros(3), np.zeros(3), optimizers.Adam()
    opt, other = get_opt("Adam"), get_opt("Adam", like="article")
    for t in range(1, 101):
        g = size*(np.array([1.0, -0.5, 0.25]) + np.array([0.5, 0.25, 1.0])*np.cos(t))
        opt.step(p, g)
        other.step(q, g)
        r += oracle.delta(g, t)
    assert_allclose(p, MOVED[size], rtol=1e-12)
    assert_allclose(p, r, rtol=1e-13)
    assert (abs(q) < {1e-3: 0.95, 1e-4: 0.3, 1e-5: 0.03}[size]*abs(p)).all()


@pytest.mark.parametrize(("size", "share"), [(1e-3, 0.864), (1e-4, 0.2035), (1e-5, 0.0209)])
def test_how_far_the_articles_adam_gets(size, share):
    """By a constant gradient, 100 steps: the plain one moves by alpha g/(g + eps) each time."""
    far, short = (get_opt("Adam", like=like) for like in (None, "article"))
    moved = np.sum([(far.update(size), short.update(size)) for _ in range(100)], axis=0)
    assert_allclose(moved[0], -0.1*size/(size + 1e-8), rtol=1e-12)
    assert_allclose(moved[1]/moved[0], share, rtol=0.005)


@pytest.mark.parametrize("name", ["AdaBound", "AMSBound"])
class TestBounds:
    def walk(self, name, **kwds):
        opt, p = get_opt(name, **kwds), np.ones(40)
        for t in range(1, 31):
            opt.step(p, gradients((40,), t))
        return p - 1

    def test_no_rate_moves_nothing(self, name):
        assert_array_equal(self.walk(name, lr=0), 0)
        assert abs(self.walk(name, lr=0, like="article")).min() > 0         # its lower bound does not follow

    def test_a_hundredth_of_the_rate(self, name):
        whole = self.walk(name)
        assert_allclose(self.walk(name, lr=1e-5), whole/100, rtol=1e-9)
        assert_allclose(self.walk(name, lr=lambda t: 1e-5), whole/100, rtol=1e-9)
        article = self.walk(name, like="article")
        assert (abs(self.walk(name, lr=1e-5, like="article")) > 0.02*abs(article)).mean() > 0.5

    def test_the_rate_that_both_bounds_tend_to(self, name):
        """SGD with m for the gradient."""
        assert_allclose(self.walk(name, alpha=2e-3, base_lr=4e-3, eta=0.3, gamma=1e9),
                        self.walk("MSGD", eta=0.15), rtol=1e-6)


@pytest.mark.parametrize("name", ["Nadam", "Adam"])
def test_words_of_others_for_the_betas(name):
    names = {"Nadam": ("mu", "nu"), "Adam": ("beta1", "beta2")}[name]
    for like in (None, "article"):
        for given in ({"betas": (0.5, 0.75)}, {"beta1": 0.5, "beta2": 0.75}, {"b1": 0.5, "b2": 0.75},
                      {"beta_1": 0.5, "beta_2": 0.75}):
            opt = get_opt(name, like=like, **given)
            assert [getattr(opt, key) for key in names] == [0.5, 0.75]


# State

@each_other
def test_a_state_says_under_which_arithmetic_it_was_written(name):
    """And the other one refuses it with the call that goes on from it."""
    for like, other in ((None, "article"), ("article", None)):
        opt, params = start(name, like=like)
        state = opt.state_dict()
        assert (state["format"], state["name"], state["like"]) == (3, name, like)
        wrong, _ = start(name, like=other)
        before = pickle.dumps(wrong.state_dict())
        with pytest.raises(StateError, match=f"arithmetic of {name}") as caught:
            wrong.load_state_dict(state)
        assert pickle.dumps(wrong.state_dict()) == before
        [call] = re.findall(r"get_opt\([^)]*\)", str(caught.value))
        right = eval(call)
        right.load_state_dict(state)
        mine = copy.deepcopy(params)
        step(right, mine, 4)
        step(opt, params, 4)
        for key, p in params.items():
            assert_same_bits(mine[key], p)


@each_other
def test_files(name, tmp_path):
    pytest.importorskip("safetensors")
    opt, params = start(name, like="article")
    fastnn.save(tmp_path/"file", opt=opt, params=params)
    other = get_opt(name, like="article", **seeded(name))
    mine = {key: np.zeros_like(p) for key, p in params.items()}
    fastnn.load(tmp_path/"file", opt=other, params=mine)
    step(opt, params, 4)
    step(other, mine, 4)
    for key, p in params.items():
        assert_same_bits(mine[key], p)
    plain = get_opt(name)
    with pytest.raises(StateError, match=r"article A's arithmetic.*like='article'"):
        fastnn.load(tmp_path/"file", opt=plain)
    assert plain.t == 0


def test_users_classes_are_like_what_they_derive_from():
    class Mine(type(get_opt("Adam", like="article"))):
        pass

    opt, same, again = Mine(), get_opt("Adam", like="article"), Mine()
    assert opt.like == "article" and opt.update(1e-4) == same.update(1e-4) != get_opt("Adam").update(1e-4)
    assert opt.state_dict()["like"] == "article"
    again.load_state_dict(opt.state_dict())
    assert again.update(1e-4) == same.update(1e-4)


def test_what_users_register_leaves_the_dialect_alone():
    pytest.importorskip("sympy")
    before = get_opt("Adam", like="article").update(1e-4)

    def rule(g, h):
        return -h.lr*g

    fastnn.register_opt("Adam", lr=0.5, replace=True)(rule)
    try:
        assert get_opt("Adam").update(1e-4) == -0.5e-4
        assert get_opt("Adam", like="article").update(1e-4) == before
        fastnn.register_opt("Momenta", lr=0.5)(rule)
        with pytest.raises(ValueError, match="article A has no 'Momenta'"):
            get_opt("Momenta", like="article")
    finally:
        for name in ("Adam", "Momenta"):
            fastnn.unregister(name)
    assert get_opt("Adam").like is None


@each_get
def test_signatures_show_like(get):
    assert signature(get).parameters["like"].default is None
