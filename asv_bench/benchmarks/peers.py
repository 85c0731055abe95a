"""fastnn's time as a multiple of NumPy's, PyTorch's and JAX's, in one process, in turn; below 1 fastnn is faster.

The sides are those of `fastnn bench`: n/a in versions before it, and without the library.
"""
from asv_runner.benchmarks.mark import SkipNotImplemented

from .catalogue import ACTIVATIONS, FORMS, GATED, LEARNABLE, LOSSES, OPTIMIZERS, RANDOM
from .common import DTYPES, MODELS, SIZES, absent_from, normal, tensors

PEERS = ["numpy", "torch", "jax"]
ROUNDS = 5
PAUSE = {"numpy": 0, "torch": 0.04, "jax": 0.04}        # PyTorch's idle threads spin for 30 ms


def sides(peer, dtype):
    """fastnn and the peer, as `fastnn bench` compares them."""
    with absent_from(ImportError):
        import fastnn
        from fastnn.cli.errors import UserError
        from fastnn.cli.peers import load, load_own, require_peer
    with absent_from(UserError):
        require_peer(peer)
    own, other = load_own(), load(peer, fastnn.get_num_threads())
    for side in (own, other):
        side.begin(dtype)
    return own, other


def ratio(peer, own, other):
    from fastnn.cli.contest import fastest
    times = fastest({"own": own, "other": other}, ROUNDS, PAUSE[peer])
    return times["own"][0] / times["other"][0]


class _Ratio:
    def calls(self, peer, *case):
        """fastnn's `Call` and the peer's."""
        own, other = (self.call(side, *case) for side in sides(peer, case[1]))
        if other is None:
            raise SkipNotImplemented(f"{peer} has no {case[0]}")
        return own, other

    def track_time(self, peer, *case):
        return ratio(peer, *self.calls(peer, *case))

    track_time.unit = "of the peer's time"


class Activations(_Ratio):
    params = [PEERS, ACTIVATIONS + GATED + LEARNABLE + RANDOM + [f"learned {name}" for name in FORMS], DTYPES, SIZES, ["forward", "backward"]]
    param_names = ["peer", "activation", "dtype", "size", "direction"]

    def call(self, side, name, dtype, size, direction):
        x, grad = normal(size, dtype), normal(size, dtype, seed=1)
        if name in GATED:
            x, grad = x.ravel(), grad.ravel()[:size // 2]
        return side.forward(name, x) if direction == "forward" else side.backward(name, x, grad)


class Optimizers(_Ratio):
    params = [PEERS, OPTIMIZERS, DTYPES, list(MODELS)]
    param_names = ["peer", "optimizer", "dtype", "model"]

    def call(self, side, name, dtype, model):
        return side.step(name, tensors(model, dtype, 0), tensors(model, dtype, 1))


class Losses(_Ratio):
    params = [PEERS[1:], LOSSES, DTYPES, SIZES]
    param_names = ["peer", "loss", "dtype", "size"]

    def call(self, side, name, dtype, size):
        with absent_from(ImportError, AttributeError):
            from fastnn.cli.subjects import loss_arrays
            return side.loss(name, loss_arrays(name, size, dtype))
