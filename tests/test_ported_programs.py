"""Programs as people write them in NumPy, each kind small and written anew: in all the forms of parameters and calls
that it may have. test_ports.py has whole ones, beside the NumPy loops that they replace.
"""
import numpy as np
import pytest

from fastnn import dlfs, get_opt


def leaves(tree):
    if isinstance(tree, np.ndarray):
        return [tree]
    return [leaf for part in (tree.values() if isinstance(tree, dict) else tree) for leaf in leaves(part)]


def grad(loss):
    """As autograd's: a function that returns the gradient in the structure of its first argument."""
    def at(params, *args):
        def slopes(tree):
            if isinstance(tree, dict):
                return {key: slopes(part) for key, part in tree.items()}
            if not isinstance(tree, np.ndarray):
                return type(tree)(slopes(part) for part in tree)
            slope = np.zeros_like(tree)
            for place in np.ndindex(tree.shape):
                before = tree[place]
                tree[place] = before + 1e-5
                above = loss(params, *args)
                tree[place] = before - 1e-5
                slope[place] = (above - loss(params, *args))/2e-5
                tree[place] = before
            return slope
        return slopes(params)
    return at


class Training:
    """What must hold of every one: the loss falls, and it is the program's own arrays that have moved, all of them."""

    def __init__(self, params, loss, to):
        self.params, self.loss, self.to = params, loss, to
        self.arrays, self.copies = leaves(params), [p.copy() for p in leaves(params)]
        self.first = loss(params)

    def check(self):
        assert self.loss(self.params) < self.to*self.first
        for now, p, copy in zip(leaves(self.params), self.arrays, self.copies, strict=True):
            assert now is p and (p != copy).any()


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e/e.sum(-1, keepdims=True)


def cross_entropy(scores, labels):
    return -np.mean(np.log(softmax(scores)[np.arange(len(labels)), labels]))


each_adagrad = pytest.mark.parametrize("make", [lambda: get_opt("AdaGrad", lr=0.2), lambda: dlfs.AdaGrad(0.2)],
                                       ids=["fastnn", "dlfs"])


def dense(*sizes, seed=0):
    rng = np.random.default_rng(seed)
    return [(rng.standard_normal((m, n))/np.sqrt(m), np.zeros(n)) for m, n in zip(sizes, sizes[1:])]


# Evolution strategies: a flat vector, the estimate of an ascent, and a rate that the program lowers as it goes.

@pytest.mark.parametrize("make", [lambda: get_opt("Adam", lr=0.1), lambda: get_opt("Momentum", lr=0.02),
                                  lambda: dlfs.Adam(0.1), lambda: dlfs.SGD(0.05)], ids=range(4))
@pytest.mark.parametrize("call", ["step", "sequences", "deltas"])
def test_evolution_strategies(make, call):
    rng, goal, sigma = np.random.default_rng(0), np.linspace(-1, 1, 10), 0.1
    theta, opt = np.zeros(10), make()
    rate = opt.lr

    def cost(theta):
        return np.sum((theta - goal)**2, axis=-1)

    training = Training([theta], lambda params: cost(params[0]), 0.1)
    for generation in range(150):
        opt.lr = rate*0.99**generation
        noise = rng.standard_normal((20, theta.size))
        rewards = cost(theta - sigma*noise) - cost(theta + sigma*noise)
        ascent = rewards @ noise/(40*sigma)
        if call == "step":
            opt.step(theta, -ascent)
        elif call == "sequences":
            opt.update([theta], [-ascent])
        else:
            theta += opt.update(-ascent)
    training.check()


# REINFORCE: a dict of weights, gradients summed up in a buffer over some episodes, RMSprop with a cache of its own.

@pytest.mark.parametrize("make", [lambda: get_opt("RMSprop", lr=1e-2, rho=0.9), lambda: dlfs.RMSprop(1e-2, 0.9)],
                         ids=["fastnn", "dlfs"])
def test_reinforce(make):
    rng, opt = np.random.default_rng(1), make()
    model = {"W1": rng.standard_normal((2, 8))/2, "W2": rng.standard_normal(8)/3}
    states = np.array([[1.0, 0.5], [-1.0, 0.5]])                    # the first wants action 1, the second action 0

    def up(model):
        h = np.maximum(states @ model["W1"], 0)
        return h, 1/(1 + np.exp(-h @ model["W2"]))

    def mistakes(model):
        p = up(model)[1]
        return (1 - p[0]) + p[1]

    training = Training(model, mistakes, 0.2)
    buffer = {key: np.zeros_like(v) for key, v in model.items()}
    for episode in range(1, 1501):
        h, p = up(model)
        actions = (rng.random(2) < p).astype(float)
        rewards = np.where(actions == [1, 0], 1.0, -1.0)
        dlogp = (actions - p)*rewards
        buffer["W2"] += h.T @ dlogp
        buffer["W1"] += states.T @ (np.outer(dlogp, model["W2"])*(h > 0))
        if episode % 10 == 0:
            opt.update(model, {key: -g for key, g in buffer.items()})
            for g in buffer.values():
                g[...] = 0
    training.check()


# A CNN whose layers' weights stand in one list, and their gradients in another.

@pytest.mark.parametrize("make", [lambda: get_opt("Adam", lr=0.05), lambda: get_opt("NAG", lr=0.5),
                                  lambda: dlfs.Adam(0.05), lambda: dlfs.AdaGrad(0.1)], ids=range(4))
@pytest.mark.parametrize("kind", [list, tuple])
def test_cnn(make, kind):
    rng, opt = np.random.default_rng(2), make()
    labels = np.arange(12) % 2
    images = 0.3*rng.standard_normal((12, 5, 5))
    images[labels == 1, 2, :] += 1                                  # bars across
    images[labels == 0, :, 2] += 1                                  # bars down
    windows = np.lib.stride_tricks.sliding_window_view(images, (3, 3), axis=(1, 2)).reshape(12, 9, 9)
    params = kind([rng.standard_normal((9, 2))/3, np.zeros(2), rng.standard_normal((18, 2))/4, np.zeros(2)])

    def loss(params):
        F, c, W, b = params
        return cross_entropy(np.maximum(windows @ F + c, 0).reshape(12, 18) @ W + b, labels)

    training = Training(params, loss, 0.3)
    for _ in range(40):
        opt.update(params, grad(loss)(params))
    training.check()


# An RNN over characters: [Wxh, Whh, Why, bh, by], clipped gradients through time, AdaGrad.

@each_adagrad
@pytest.mark.parametrize("call", ["update", "step"])
def test_rnn(make, call):
    rng, opt, text = np.random.default_rng(3), make(), "hello hello hello"
    vocabulary = sorted(set(text))
    ids, n, size = [vocabulary.index(c) for c in text], len(vocabulary), 12
    Wxh, Whh, Why = (rng.standard_normal(shape)*0.1 for shape in ((size, n), (size, size), (n, size)))
    params = [Wxh, Whh, Why, np.zeros((size, 1)), np.zeros((n, 1))]

    def pass_through(params, backward=False):
        Wxh, Whh, Why, bh, by = params
        x, loss, hs, ps = np.eye(n)[:, :, None], 0.0, [np.zeros((size, 1))], []
        for now, wanted in zip(ids, ids[1:]):
            hs.append(np.tanh(Wxh @ x[now] + Whh @ hs[-1] + bh))
            ps.append(softmax((Why @ hs[-1] + by).T).T)
            loss -= np.log(ps[-1][wanted, 0])
        if not backward:
            return loss
        dWxh, dWhh, dWhy, dbh, dby = grads = [np.zeros_like(p) for p in params]
        dh_next = np.zeros((size, 1))
        for t in reversed(range(len(ps))):
            dy = ps[t] - x[ids[t + 1]]
            dWhy += dy @ hs[t + 1].T
            dby += dy
            draw = (1 - hs[t + 1]**2)*(Why.T @ dy + dh_next)
            dbh += draw
            dWxh += draw @ x[ids[t]].T
            dWhh += draw @ hs[t].T
            dh_next = Whh.T @ draw
        return [np.clip(g, -5, 5, out=g) for g in grads]

    training = Training(params, pass_through, 0.1)
    for _ in range(100):
        getattr(opt, call)(params, pass_through(params, True))
    training.check()
    assert params[0] is Wxh


# A GAN: two optimizers, one for each network, that take turns.

@pytest.mark.parametrize(("make", "call"), [
    (lambda: get_opt("Adam", lr=0.02, beta1=0.5), "step"), (lambda: dlfs.Adam(0.02, 0.5), "update"),
    (lambda: get_opt("RMSprop", lr=0.01), "update")], ids=range(3))
def test_gan(make, call):
    rng = np.random.default_rng(4)
    generator, discriminator = {"scale": np.ones(1), "shift": np.zeros(1)}, {"a": np.zeros(1), "b": np.zeros(1)}
    g_opt, d_opt = make(), make()

    def score(d, x):
        return d["a"]*x + d["b"]

    def d_loss(d, real, fake):
        return np.mean(np.logaddexp(0, -score(d, real))) + np.mean(np.logaddexp(0, score(d, fake)))

    def g_loss(g, z):
        return np.mean(np.logaddexp(0, -score(discriminator, g["scale"]*z + g["shift"])))

    def distance(networks):
        return abs(networks[0]["shift"][0] - 3)

    training = Training([generator, discriminator], distance, 0.4)
    for _ in range(250):
        real, z = 3 + rng.standard_normal(64), rng.standard_normal(64)
        fake = generator["scale"]*z + generator["shift"]
        getattr(d_opt, call)(discriminator, grad(d_loss)(discriminator, real, fake))
        getattr(g_opt, call)(generator, grad(g_loss)(generator, z))
    training.check()


# word2vec with negative samples: only some rows of two matrices have a gradient.

def pairs_of_words():
    """(centre, its neighbour, a word that is none): words of one half go together."""
    rng = np.random.default_rng(5)
    for _ in range(600):
        centre = rng.integers(8)
        half = centre//4*4
        yield centre, half + rng.integers(4), (half + 4) % 8 + rng.integers(4)


def matrices():
    rng = np.random.default_rng(6)
    return [0.3*rng.standard_normal((8, 5)) for _ in range(2)]


def likelihood(params):
    E, C = params
    wanted = np.where(np.arange(8)[:, None]//4 == np.arange(8)//4, 1, -1)
    return np.mean(np.logaddexp(0, -wanted*(E @ C.T)))


def slopes_of_pair(E, C, centre, near, far):
    """Of E[centre], C[near] and C[far]."""
    errors = [1/(1 + np.exp(-C[word] @ E[centre])) - label for word, label in ((near, 1), (far, 0))]
    return errors[0]*C[near] + errors[1]*C[far], errors[0]*E[centre], errors[1]*E[centre]


@pytest.mark.parametrize("make", [lambda: get_opt("SGD", lr=0.2), lambda: dlfs.SGD(0.2)], ids=["fastnn", "dlfs"])
def test_word2vec_row_by_row(make):
    """A rule without state may step any row."""
    E, C = matrices()
    opt, training = make(), Training([E, C], likelihood, 0.5)
    for centre, near, far in pairs_of_words():
        dv, dnear, dfar = slopes_of_pair(E, C, centre, near, far)
        opt.step(E[centre], dv)
        opt.step(C[near:near + 1], dnear[None])
        opt.step([C[far]], [dfar])
    training.check()


@pytest.mark.parametrize("make", [lambda: get_opt("AdaGrad", lr=0.2), lambda: dlfs.Adam(0.01)], ids=["fastnn", "dlfs"])
def test_word2vec_by_whole_matrices(make):
    """With state: gradients of the whole matrices, zero but for the rows that were seen."""
    E, C = matrices()
    opt, training = make(), Training([E, C], likelihood, 0.5)
    for centre, near, far in pairs_of_words():
        dE, dC = np.zeros_like(E), np.zeros_like(C)
        dE[centre], dC[near], dC[far] = slopes_of_pair(E, C, centre, near, far)
        opt.update({"E": E, "C": C}, {"E": dE, "C": dC})
    training.check()


@each_adagrad
def test_word2vec_with_a_key_for_each_row(make):
    """With state: each row is a parameter of its own."""
    E, C = matrices()
    opt, training = make(), Training([E, C], likelihood, 0.5)
    for centre, near, far in pairs_of_words():
        dv, dnear, dfar = slopes_of_pair(E, C, centre, near, far)
        rows = {("E", centre): E[centre], ("C", near): C[near], ("C", far): C[far]}
        opt.update(rows, {("E", centre): dv, ("C", near): dnear, ("C", far): dfar})
    training.check()


# A GPT: one block with attention; its weights in a flat dict, or in dicts of dicts.

WEIGHTS = {"embedding": (4, 4), "position": (6, 4), "attention/q": (4, 4), "attention/k": (4, 4), "attention/v": (4, 4),
           "mlp/up": (4, 6), "mlp/down": (6, 4), "norm/scale": (4,), "norm/shift": (4,)}


def gpt_loss(w):
    tokens, following = np.array([0, 1, 2, 0, 1, 2]), np.array([1, 2, 0, 1, 2, 3])
    x = w["embedding"][tokens] + w["position"]
    q, k, v = (x @ w[f"attention/{name}"] for name in "qkv")
    x = x + softmax(q @ k.T/2 + np.triu(np.full((6, 6), -1e9), 1)) @ v
    x = x + np.tanh(x @ w["mlp/up"]) @ w["mlp/down"]
    x = (x - x.mean(-1, keepdims=True))/(x.std(-1, keepdims=True) + 1e-5)*w["norm/scale"] + w["norm/shift"]
    return cross_entropy(x @ w["embedding"].T, following)


def gpt_weights():
    rng = np.random.default_rng(7)
    return {key: np.ones(shape) if key == "norm/scale" else 0.2*rng.standard_normal(shape)
            for key, shape in WEIGHTS.items()}


def flat_dict(tree):
    return {f"{name}/{key}" if name else key: part for name, branch in tree.items()
            for key, part in (branch.items() if isinstance(branch, dict) else [(name, branch)])}


def in_dicts(flat):
    """{"attention": {"q": ...}, ...}; what stands alone stays at the top."""
    tree = {}
    for path, value in flat.items():
        branch, _, name = path.rpartition("/")
        (tree.setdefault(branch, {}) if branch else tree)[name] = value
    return tree


@pytest.mark.parametrize(("make", "call"), [(lambda: get_opt("Adam", lr=0.05), "step"),
                                            (lambda: dlfs.Adam(0.05), "update")], ids=["fastnn", "dlfs"])
@pytest.mark.parametrize("nested", [False, True], ids=["flat", "nested"])
def test_gpt(make, call, nested):
    opt, weights = make(), gpt_weights()
    params = in_dicts(weights) if nested else weights
    training = Training(params, lambda params: gpt_loss(weights), 0.3)
    for _ in range(25):
        grads = grad(gpt_loss)(weights)
        getattr(opt, call)(params, in_dicts(grads) if nested else grads)
    training.check()
    assert opt.state.keys() == ({"embedding", "position", ("attention", "q"), ("attention", "k"), ("attention", "v"),
                                 ("mlp", "up"), ("mlp", "down"), ("norm", "scale"), ("norm", "shift")} if nested
                                else WEIGHTS.keys())


# autograd: [(W, b), ...], and a gradient of the same structure.

@pytest.mark.parametrize(("make", "call"), [
    (lambda: get_opt("Adam", lr=0.02), "step"), (lambda: get_opt("RMSprop", lr=0.02), "update"),
    (lambda: dlfs.Adam(0.02), "step"), (lambda: dlfs.Momentum(0.2), "update")], ids=range(4))
@pytest.mark.parametrize("structure", [list, tuple, lambda params: [list(pair) for pair in params],
                                       lambda params: [part for pair in params for part in (pair, ())]],
                         ids=["list of pairs", "tuple of pairs", "lists", "with layers that have none"])
def test_autograd(make, call, structure):
    opt, params = make(), structure(dense(2, 6, 2, seed=8))
    inputs = np.array([[0.0, 0], [0, 1], [1, 0], [1, 1]])*2 - 1
    labels = np.array([0, 1, 1, 0])

    def loss(params):
        x = inputs
        for i, (W, b) in enumerate(pair for pair in params if pair):
            x = (np.tanh(x) if i else x) @ W + b
        return cross_entropy(x, labels)

    training = Training(params, loss, 0.3)
    for _ in range(100):
        getattr(opt, call)(params, grad(loss)(params))
    training.check()


# The book's comparison of optimizers: plain numbers in a dict, on x^2/20 + y^2.

@pytest.mark.parametrize("make", [lambda: dlfs.SGD(0.95), lambda: dlfs.Momentum(0.1), lambda: dlfs.AdaGrad(1.5),
                                  lambda: dlfs.Adam(0.3), lambda: get_opt("Adam", lr=0.3)], ids=range(5))
def test_plain_numbers(make):
    opt, params, grads = make(), {"x": -7.0, "y": 2}, {"x": 0, "y": 0}
    for _ in range(30):
        grads["x"], grads["y"] = params["x"]/10.0, 2.0*params["y"]
        assert opt.update(params, grads) is None
    assert {type(number) for number in params.values()} == {float}
    assert params["x"]**2/20 + params["y"]**2 < 0.5*(49/20 + 4)
