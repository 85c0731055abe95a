"""What the states of a network and of a trainer are: plain dicts, like an optimizer's (fastnn/state.py).

    {"format": 1, "name": "MultiLayerNet", "dtype": "float32", "weight_decay_lambda": 0.0, "weight_decay_l1": 0.0,
     "params": {"W1": array, "b1": array, "gamma1": array, ...},
     "layers": {"Affine1": {"class": "Affine"},
                "BatchNorm1": {"class": "BatchNormalization", "momentum": 0.9,
                               "running_mean": array, "running_var": array},
                "Activation_function1": {"class": "Activation", "activation": "get_act('ReLU')"},
                "Dropout1": {"class": "Dropout", "dropout_ratio": 0.5}, ...},
     "streams": {"drawn_from": {"network": "network", "Dropout1": "network"}, "generators": {"network": {...}}}}

"loss", the repr of one that is not softmax-cross-entropy, is there besides.

    {"format": 1, "name": "Trainer", "network": the above, "optimizer": its state,
     "rows": 1437, "batch_size": 128, "losses": float64 array, "nonfinite": [(step, loss, layer, place), ...],
     "streams": {"drawn_from": {"network": "network", "Dropout1": "network", "trainer": "trainer"},
                 "generators": {"network": {...}, "trainer": {...}}}}

"ranks", the streams of each process of several, is there besides where several have trained together.

name and class are those of the classes. drawn_from names, for each object that draws random numbers, the first one with
the same generator: those who shared one have to share one again. generators has where each stands, in NumPy's words.
An optimizer that draws noise is "optimizer" in a trainer's streams.
"""
from functools import partial

import numpy as np

from fastnn.generators import checked_streams, streams
from fastnn.state import StateError, described, entries, filled, finite, integer, is_one_of

from .finite import PLACES, NonFinite
from .layers import Layer, SoftmaxWithLoss, drawing

FORMAT = 1
DECAYS = ("weight_decay_lambda", "weight_decay_l1")


def network_state(net):
    """Nothing in it is shared with the network."""
    layers = {name: {"class": type(layer).__name__, **layer._remembered()} for name, layer in _layers(net).items()}
    return {"format": FORMAT, "name": type(net).__name__, "dtype": net.dtype.name,
            **_loss(net), **{name: getattr(net, name) for name in DECAYS},
            "params": {key: np.array(p, order="K") for key, p in net.params.items()},
            "layers": layers, "streams": streams(_sources(net))}


def checked_network(net, state):
    """A function that puts the state into the network, and cannot fail. Raises StateError."""
    described(state, FORMAT, ("name", "dtype", *_loss(net), *DECAYS, "params", "layers", "streams"),
              name=type(net).__name__, dtype=net.dtype.name, **_loss(net))
    decays = {name: _not_negative(state[name], name) for name in DECAYS}
    put = [partial(net.__dict__.update, decays)]
    layers = _layers(net)
    saved = entries(state["layers"], "layers", layers)
    for name, layer in layers.items():
        where = f"layer {name!r}"
        own = type(layer).__name__
        described_layer = entries(saved[name], where, ("class", *layer._remembered()))
        if not is_one_of(described_layer["class"], (own,)):
            raise StateError(f"{where} was of class {described_layer['class']!r:.80}, not {own!r}")
        put.append(partial(layer.__dict__.update, layer._recalled(described_layer, where)))
    put += filled(net.params, state["params"])
    put += checked_streams(_sources(net), state["streams"])
    return partial(_all, put)


def _loss(net):
    """What there is to say of a network's loss: states from before there were others say nothing."""
    return {} if type(net.last_layer) is SoftmaxWithLoss else {"loss": repr(net.objective.loss)}


def trainer_state(trainer):
    """Nothing in it is shared with the trainer."""
    _must_have_states(trainer)
    return {"format": FORMAT, "name": type(trainer).__name__, "network": trainer.network.state_dict(),
            "optimizer": trainer.optimizer.state_dict(), "rows": trainer.rows, "batch_size": int(trainer.batch_size),
            "losses": np.array(trainer.losses, np.float64), "nonfinite": [tuple(found) for found in trainer.nonfinite],
            "streams": streams(_sources_of_trainer(trainer))}


def checked_trainer(trainer, state):
    """A function that puts the state into the trainer, its network and its optimizer, and cannot fail.

    Raises StateError.
    """
    _must_have_states(trainer)
    if isinstance(state, dict):
        state = {key: value for key, value in state.items() if key != "ranks"}      # streams of other processes
    described(state, FORMAT, ("name", "network", "optimizer", "rows", "batch_size", "losses", "nonfinite", "streams"),
              name=type(trainer).__name__)
    rows = integer(state["rows"], "the number of rows")
    if rows != trainer.rows:
        raise StateError(f"the state is that of a training on {rows} rows, not {trainer.rows}")
    batch_size = integer(state["batch_size"], "batch_size", 1)
    losses = _losses(state["losses"])
    nonfinite = _records(state["nonfinite"], len(losses))
    put = [trainer.optimizer._fitting(state["optimizer"]), trainer.network._fitting(state["network"]),
           partial(trainer.__dict__.update, batch_size=batch_size),
           partial(trainer.losses.__setitem__, slice(None), losses),
           partial(trainer.nonfinite.__setitem__, slice(None), nonfinite),
           *checked_streams(_sources_of_trainer(trainer), state["streams"])]
    return partial(_all, put)


def _all(put):
    for each in put:
        each()


def _layers(net):
    for name, layer in net.layers.items():
        if not isinstance(layer, Layer):
            raise TypeError(f"layer {name!r} is a {type(layer).__name__}, which is no layer of fastnn's: "
                            "its state is unknown")
    return net.layers


def _sources(net):
    """Who draws random numbers, and from which generator."""
    draw = drawing(net.layers.values())
    return {"network": net.rng, **{name: layer.rng for name, layer in net.layers.items() if layer in draw}}


def _sources_of_trainer(trainer):
    optimizer = trainer.optimizer
    noise = getattr(getattr(optimizer, "_innermost", optimizer), "_noise", None)
    return {**_sources(trainer.network), **({} if noise is None else {"optimizer": noise}), "trainer": trainer.rng}


def _must_have_states(trainer):
    for part in (trainer.network, trainer.optimizer):
        if not hasattr(part, "_fitting"):
            raise TypeError(f"unknown state of a {type(part).__name__}, which is not fastnn's")


def _not_negative(value, what):
    value = finite(value, what)
    if value < 0:
        raise StateError(f"{what} must not be negative, not {value}")
    return value


def _losses(value):
    if not isinstance(value, np.ndarray) or value.dtype != np.float64 or value.ndim != 1:
        raise StateError("losses must be an array of float64 with one axis")
    return value.tolist()


def _records(value, steps):
    """The list of NonFinite."""
    if not isinstance(value, (list, tuple)):
        raise StateError(f"nonfinite must be a list, not {type(value).__name__}")
    records = []
    for found in value:
        if not isinstance(found, (list, tuple)) or len(found) != 4:
            raise StateError(f"nonfinite has {found!r:.80} instead of step, loss, layer and place")
        step, loss, layer, place = found
        if not (isinstance(loss, float) and (layer is None or isinstance(layer, str)) and is_one_of(place, PLACES)):
            raise StateError(f"nonfinite has {found!r:.80}, which is no loss, layer and place")
        records.append(NonFinite(integer(step, "a step", 1, steps), loss, layer, place))
    return records
