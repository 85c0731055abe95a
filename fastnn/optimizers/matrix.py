"""Rules that take a gradient as a matrix: what they multiply and decompose, NumPy's BLAS and LAPACK do."""
from math import sqrt
from weakref import finalize

import numpy as np

from ..core.factored import stepped
from ..core.reductions import norm, scale
from ..hyperparameters import Hyperparameter
from .adam import Adam
from .along import STEP, Along, apart
from .base import decay, epsilon, rate

NEWTON_SCHULZ = 3.4445, -4.7750, 2.0315
MOST_IDLE = 16 << 20            # bytes; beside the products of larger matrices new memory costs little
idle = {}                       # dtype and length -> memory that was kept, whose first touch has been paid for


def room(length, dtype):
    """An array of whatever numbers, kept from an earlier step if there is one."""
    try:
        return idle[dtype, length].pop()
    except (KeyError, IndexError):
        return np.empty(length, dtype)


def give_back(*arrays):
    """Keep what `room` gave, which is not read any more."""
    for a in arrays:
        kept = sum(dtype.itemsize*length*len(others) for (dtype, length), others in list(idle.items()))
        if a.nbytes > MOST_IDLE - kept:
            idle.clear()
        if a.nbytes <= MOST_IDLE:
            idle.setdefault((a.dtype, a.size), []).append(a)


def averaged(constants, g, m):
    """The new m, in memory that is kept once this array has died; what the rule makes of it takes the place of g."""
    n = g.size
    memory = room(-(-n // STEP)*STEP, g.dtype)
    memory[:n], memory[n:] = m.reshape(-1), 0
    stepped("average", constants, g.reshape(-1), memory.reshape(1, -1))
    new = memory[:n].reshape(g.shape)
    finalize(new, give_back, memory).atexit = False
    return new


def orthogonalized(x, steps, eps, factor):
    """factor times the Newton-Schulz iteration of x/(||x|| + eps): X = (a + b X X^T + c (X X^T)^2) X, `steps` times.

    With X times c^(1/4) in X's place, A = X X^T has a + b A + A^2 = (A + b/2)^2 + a - b^2/4 where b is b/sqrt(c): three
    products, and sums on diagonals alone. The result takes the place of x.
    """
    a, b, c = NEWTON_SCHULZ
    root = c**0.25
    size = norm([x]) + eps
    scale([x], (root if steps else factor)/size if size else 0.0)
    tall = x.shape[0] > x.shape[1]
    short, result = min(x.shape), x
    rooms = [room(length, x.dtype) for length in (short*short, short*short, x.size)]
    A, B, y = (memory.reshape(shape) for memory, shape in zip(rooms, ((short, short), (short, short), x.shape)))
    if steps % 2:
        y[...] = x
        x, y = y, x
    of_A, of_B = A.reshape(-1)[::short + 1], B.reshape(-1)[::short + 1]         # their diagonals
    half = 0.5*b/sqrt(c)
    for step in range(steps):
        np.matmul(x.T, x, out=A) if tall else np.matmul(x, x.T, out=A)
        of_A += half
        np.matmul(A, A.T, out=B)
        of_B += a - half*half
        if step == steps - 1:
            scale([B], factor/root)
        np.matmul(x, B, out=y) if tall else np.matmul(B, x, out=y)
        x, y = y, x
    give_back(*rooms)
    return result


class Muon(Along, name="Muon"):
    """m += (1 - momentum)(g - m); G = (1 - momentum) g + momentum m; X = G/(||G|| + eps); `ns_steps` times A = X X^T,
    X = 3.4445 X - 4.775 A X + 2.0315 A^2 X; -lr sqrt(max(1, outputs/inputs)) X.

    Jordan et al. 2024, https://kellerjordan.github.io/posts/muon. A matrix has `output_axis` for its outputs, all other
    axes for its inputs, as filters have. A parameter of less than two axes takes a step of Adam, with adam_lr, adam_beta1,
    adam_beta2 and adam_eps, of which its weight_decay is a part, too: AdamW.

    The authors' program has these numbers. PyTorch's Muon has lr 0.001, weight_decay 0.1, max(||G||, eps), bfloat16 and
    matrices of (outputs, inputs) alone; optax's has eps 1e-8, m and g corrected as Adam's are, and learning_rate for all.
    """

    lr = rate(0.02)
    momentum = decay(0.95)
    ns_steps = Hyperparameter(5, at_least=1, below=100, integer=True)
    eps = epsilon(1e-7)
    adam_lr = rate(3e-4)
    adam_beta1 = decay(0.9)
    adam_beta2 = decay(0.95)
    adam_eps = epsilon(1e-10)
    peers = {"torch": ("Muon", dict(lr=0.02, weight_decay=0)), "optax": ("contrib.muon", dict(learning_rate=0.02))}

    def arrays(self, shape):
        return {"m": [shape]} if len(shape) > 1 else {"m": [shape], "v": [shape]}

    def direction(self, h, t, g, state, squares):
        if g.ndim < 2:
            return self._as_vector(h, t, g, state)
        constants = {"one_minus_momentum": 1 - h.momentum, "of_gradient": 1 - h.momentum, "of_average": h.momentum}
        m = averaged(constants, g, state["m"])
        axis = checked_axis(h.output_axis, g.shape)
        outputs = g.shape[axis]
        shape = (outputs, -1) if axis == 0 else (-1, outputs)
        turned = g if axis in (0, g.ndim - 1) else np.ascontiguousarray(np.moveaxis(g, axis, -1))
        factor = sqrt(max(1, outputs**2/g.size))
        x = orthogonalized(turned.reshape(shape), h.ns_steps, h.eps, factor).reshape(turned.shape)
        return x if turned is g else np.moveaxis(x, -1, axis), h.lr, 1.0, {"m": m}

    @staticmethod
    def _as_vector(h, t, g, state):
        numbers = Numbers(alpha=1, beta1=h.adam_beta1, beta2=h.adam_beta2, eps=h.adam_eps)
        constants = Adam.constants(numbers, t)
        new = apart("adam", {**constants, "corrected_lr": -constants["corrected_lr"]}, g, state["m"], state["v"])
        return g, h.adam_lr, h.adam_lr/h.lr if h.lr else 1.0, dict(zip(("m", "v"), new))


class Numbers:
    def __init__(self, **values):
        self.__dict__.update(values)


def checked_axis(axis, shape):
    """The axis, from 0."""
    if not -len(shape) <= axis < len(shape):
        raise ValueError(f"output_axis is {axis}, but a parameter has {len(shape)} axes")
    return axis % len(shape)


def along_axis(matrix, g, axis):
    """The product of a matrix, or of the diagonal of one, with g's index on an axis, in C's order."""
    if matrix.ndim == 1:
        return g*matrix.reshape([-1 if other == axis else 1 for other in range(g.ndim)])
    if axis == 0:
        return (matrix @ g.reshape(g.shape[0], -1)).reshape(g.shape)
    if axis == g.ndim - 1:
        return g @ matrix.T
    return np.ascontiguousarray(np.moveaxis(np.moveaxis(g, axis, -1) @ matrix.T, -1, axis))


def gram(g, axis):
    """G G^T, where G has g's index on an axis for its rows."""
    if axis == g.ndim - 1:
        flat = g.reshape(-1, g.shape[axis])
        return flat.T @ flat
    flat = np.moveaxis(g, axis, 0).reshape(g.shape[axis], -1)
    return flat @ flat.T


def eigh(matrix):
    """In float64: an error of a small eigenvalue counts for much. Zeros where anything is not finite: nothing moves."""
    matrix = np.asarray(matrix, np.float64)
    if not np.isfinite(matrix).all():
        return np.ones(len(matrix)), np.zeros_like(matrix)
    return np.linalg.eigh(matrix)


class Shampoo(Along, name="Shampoo"):
    """L_i += G_i G_i^T, where G_i has g's index on axis i for its rows; H_i = (eps + L_i)^(-1/(2k)) for each of k axes;
    -lr g with its index on every axis multiplied by H_i: -lr H_0 g H_1 of a matrix.

    Gupta et al. 2018, arXiv 1802.09568, algorithms 1 and 2, and from its section on implementations: an axis longer than
    max_matrix_size has the diagonals of L_i and H_i alone, and the roots are taken anew every `precondition_frequency`
    steps. lr, eps and max_matrix_size are those of the authors' program. A parameter of one axis or none has k = 1:
    AdaGrad with a whole matrix.
    """

    lr = rate(1.0)
    eps = Hyperparameter(1e-4, above=0)
    precondition_frequency = Hyperparameter(1, at_least=1, integer=True, scheduled=False)
    max_matrix_size = Hyperparameter(768, at_least=1, integer=True, scheduled=False, shared="state goes by it")
    peers = {}

    def arrays(self, shape):
        found = {}
        for axis, length in enumerate(shape or (1,)):
            shapes = [(length,), (length, length)]
            found[f"L{axis}"] = found[f"H{axis}"] = shapes[::1 if length > self.max_matrix_size else -1]
        return found

    def direction(self, h, t, g, state, squares):
        shape, x, new = g.shape, np.atleast_1d(g), {}
        for axis in range(x.ndim):
            L, H = state[f"L{axis}"], state[f"H{axis}"]
            if L.ndim == 1:
                L = L + np.square(x).sum(tuple(other for other in range(x.ndim) if other != axis), np.float64)
            else:
                L = L + gram(x, axis)
            new[f"L{axis}"] = L = L.astype(g.dtype, copy=False)
            if t == 1 or t % h.precondition_frequency == 0 or not H.any():
                H = new[f"H{axis}"] = inverse_root(L, h.eps, 2*x.ndim).astype(g.dtype)
            g = along_axis(H, np.atleast_1d(g), axis)
        return g.reshape(shape), h.lr, 1.0, new


def inverse_root(L, eps, order):
    """(eps + L)^(-1/order) of a matrix or the diagonal of one."""
    if L.ndim == 1:
        return (np.asarray(L, np.float64) + eps)**(-1/order)
    values, Q = eigh(L)
    least = values[-1]*len(values)*np.finfo(np.float64).eps         # what is smaller is a rounding error
    return (Q*(np.maximum(values, least) + eps)**(-1/order)) @ Q.T


class SOAP(Along, name="SOAP"):
    """G = Q_0^T g Q_1; m += (1 - beta1)(g - m); M = Q_0^T m Q_1; v += (1 - beta2)(G^2 - v);
    N = M/(sqrt(v) + eps); -lr sqrt(1 - beta2^s)/(1 - beta1^s) Q_0 N Q_1^T with s = t - 1;
    L_i += (1 - beta2)(G_i G_i^T - L_i), where G_i has g's index on axis i for its rows; every `precondition_frequency`
    steps Q_i = the Q of QR(L_i Q_i), its columns by size.

    Vyas et al. 2024, arXiv 2409.11321, algorithm 3, and the authors' program: the first step moves nothing and takes Q_i
    as the eigenvectors of L_i, axes longer than max_precond_dim have neither, and a parameter of less than two axes is
    stepped by Adam. The program's weight_decay is 0.01.
    """

    lr = rate(3e-3)
    beta1 = decay(0.95)
    beta2 = decay(0.95)
    eps = epsilon(1e-8)
    precondition_frequency = Hyperparameter(10, at_least=1, integer=True, scheduled=False)
    max_precond_dim = Hyperparameter(10000, at_least=0, integer=True, scheduled=False, shared="state goes by it")
    peers = {}

    def arrays(self, shape):
        found = {"m": [shape], "v": [shape]}
        for axis, length in enumerate(shape if len(shape) > 1 else ()):
            shapes = [(0, 0), (length, length)]
            found[f"L{axis}"] = found[f"Q{axis}"] = shapes[::1 if length > self.max_precond_dim else -1]
        return found

    def direction(self, h, t, g, state, squares):
        axes = [axis for axis in range(g.ndim) if g.ndim > 1 and state[f"L{axis}"].size]
        new = {f"L{axis}": self._averaged(h, g, state[f"L{axis}"], axis) for axis in axes}
        Q = {axis: state[f"Q{axis}"] for axis in axes}
        if t == 1:
            new |= {f"Q{axis}": eigh(new[f"L{axis}"])[1][:, ::-1].astype(g.dtype) for axis in axes}
            g[...] = 0
            return g, 0.0, 0.0, new
        m = g.copy()
        new["m"], = apart("average", {"one_minus_momentum": 1 - h.beta1, "of_gradient": 0, "of_average": 1}, m, state["m"])
        for axis in axes:
            g, m = (along_axis(Q[axis].T, x, axis) for x in (g, m))
        s = t - 1
        constants = {"one_minus_beta2": 1 - h.beta2, "eps": h.eps, "corrected_lr": 1}
        g, m = (np.ascontiguousarray(x).reshape(x.shape) for x in (g, m))
        v, = apart("soap", constants, g, state["v"], p=m)
        for axis in axes:
            g = along_axis(Q[axis], g, axis)
        if s % h.precondition_frequency == 0:
            v = self._turned(axes, Q, v, new)
        new["v"] = v
        return g, h.lr*sqrt(1 - h.beta2**s)/(1 - h.beta1**s), 1.0, new

    @staticmethod
    def _averaged(h, g, L, axis):
        return L + (1 - h.beta2)*(gram(g, axis) - L)

    @staticmethod
    def _turned(axes, Q, v, new):
        """The bases go on to L_i's; v, with its indices in the new order."""
        for axis in axes:
            product = np.asarray(new[f"L{axis}"], np.float64) @ np.asarray(Q[axis], np.float64)
            order = np.argsort(-np.einsum("ij,ij->j", Q[axis], product), kind="stable")
            new[f"Q{axis}"] = np.linalg.qr(product[:, order])[0].astype(v.dtype)
            v = np.take(v, order, axis)
        return v
