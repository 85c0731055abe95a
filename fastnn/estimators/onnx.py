"""An estimator as an ONNX model, in the dtype of its weights, of operators that onnxruntime has for it."""
import math
from pathlib import Path

import numpy as np
from sklearn.base import is_classifier
from sklearn.utils.validation import check_is_fitted

from fastnn.nn import BatchNormalization

OPSET, IR = 17, 8           # of 2022: older runtimes read them, too


class Graph:
    """Nodes and constants of a model; `graph.Add(x, y)` appends a node and returns the name of its output."""

    def __init__(self, onnx, dtype):
        self.onnx, self.dtype, self.nodes, self.constants = onnx, dtype, [], []

    def __getattr__(self, operator):
        if not operator[0].isupper():
            raise AttributeError(operator)

        def append(*inputs, to=None, **attributes):
            name = to or f"{operator}_{len(self.nodes)}"
            given = [each if isinstance(each, str) else self.constant(each) for each in inputs]
            self.nodes.append(self.onnx.helper.make_node(operator, given, [name], **attributes))
            return name
        return append

    def constant(self, value):
        """A number of the model's dtype, or an array as it is."""
        array = value if isinstance(value, np.ndarray) else np.array(value, self.dtype)
        name = f"constant_{len(self.constants)}"
        if array.dtype.kind in "OU":
            tensor = self.onnx.helper.make_tensor(name, self.onnx.TensorProto.STRING, array.shape,
                                                  [str(each).encode() for each in array])
        else:
            tensor = self.onnx.numpy_helper.from_array(np.ascontiguousarray(array), name)
        self.constants.append(tensor)
        return name

    def split(self, x):
        """The two halves of the last axis."""
        halves = [f"{half}_{len(self.nodes)}" for half in ("first", "second")]
        self.nodes.append(self.onnx.helper.make_node("Split", [x], halves, axis=-1))
        return halves

    def cast(self, x, dtype, to=None):
        name = to or f"Cast_{len(self.nodes)}"
        kind = self.onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
        self.nodes.append(self.onnx.helper.make_node("Cast", [x], [name], to=kind))
        return name


def _softplus(g, x):
    """max(x, 0) + log(1 + exp(-|x|)): it does not overflow."""
    return g.Add(g.Max(x, 0), g.Log(g.Add(g.Exp(g.Neg(g.Abs(x))), 1)))


def _below(g, x, value):
    """x above 0, else value."""
    return g.Where(g.Greater(x, 0), x, value)


def _less_one(g, x):
    """exp(min(x, 0)) - 1."""
    return g.Sub(g.Exp(g.Min(x, 0)), 1)


def _clipped(g, x, least, most):
    return g.Min(g.Max(x, least), most)


def _gelu(g, x):
    """Erf is there for float32 alone."""
    erf = g.cast(g.Erf(g.cast(g.Mul(x, math.sqrt(0.5)), np.float32)), g.dtype)
    return g.Mul(g.Mul(x, 0.5), g.Add(erf, 1))


# name of an activation -> its nodes for the output x of those before
ACTIVATIONS = {
    "identity": lambda g, x, act: x,
    "sigmoid": lambda g, x, act: g.Sigmoid(x),
    "tanh": lambda g, x, act: g.Tanh(x),
    "ReLU": lambda g, x, act: g.Relu(x),
    "ReLU6": lambda g, x, act: _clipped(g, x, 0, 6),
    "hard-tanh": lambda g, x, act: _clipped(g, x, -1, 1),
    "hard-sigmoid": lambda g, x, act: _clipped(g, g.Add(g.Mul(x, 0.2), 0.5), 0, 1),
    "leaky-ReLU": lambda g, x, act: _below(g, x, g.Mul(x, act.alpha)),
    "ELU": lambda g, x, act: _below(g, x, g.Mul(_less_one(g, x), act.alpha)),
    "CELU": lambda g, x, act: _below(g, x, g.Mul(_less_one(g, g.Div(x, act.alpha)), act.alpha)),
    "SELU": lambda g, x, act: g.Mul(_below(g, x, g.Mul(_less_one(g, x), act.alpha)), act.lambda_),
    "softplus": lambda g, x, act: _softplus(g, x),
    "log-sigmoid": lambda g, x, act: g.Neg(_softplus(g, g.Neg(x))),
    "softsign": lambda g, x, act: g.Div(x, g.Add(g.Abs(x), 1)),
    "tanh-shrink": lambda g, x, act: g.Sub(x, g.Tanh(x)),
    "Swish": lambda g, x, act: g.Mul(x, g.Sigmoid(g.Mul(x, act.beta))),
    "Mish": lambda g, x, act: g.Mul(x, g.Tanh(_softplus(g, x))),
    "tanhExp": lambda g, x, act: g.Mul(x, g.Tanh(g.Exp(g.Min(x, 80)))),
    "GELU": lambda g, x, act: _gelu(g, x),
}


def _prelu(g, x, act):
    return g.Where(g.Greater(x, 0), x, g.Mul(x, act.alpha.astype(g.dtype)))


LEARNED = {"PReLU": _prelu}
GATES = {"GLU": lambda g, b, act: g.Sigmoid(b), "ReGLU": lambda g, b, act: g.Relu(b),
         "GEGLU": lambda g, b, act: _gelu(g, b), "SwiGLU": lambda g, b, act: g.Mul(b, g.Sigmoid(g.Mul(b, act.beta))),
         "bilinear": lambda g, b, act: b}


def _activated(g, x, act):
    if act.name not in GATES:
        return {**ACTIVATIONS, **LEARNED}[act.name](g, x, act)
    halves = g.split(x)
    a, b = halves[::-1] if act.gate_half == "first" else halves
    return g.Mul(a, GATES[act.name](g, b, act))


def _normalized(g, x, norm):
    """Of a layer that is none, None."""
    if norm is None:
        return x
    eps = norm.eps
    if isinstance(norm, BatchNormalization):
        factor = norm.gamma.astype(np.float64) / np.sqrt(norm.running_var.astype(np.float64) + eps)
        x = g.Mul(g.Sub(x, norm.running_mean), factor.astype(g.dtype))
    else:
        if eps is None:
            eps = np.finfo(g.dtype).eps
        if norm.centred:
            x = g.Sub(x, g.ReduceMean(x, axes=[-1], keepdims=1))
        x = g.Mul(g.Div(x, g.Sqrt(g.Add(g.ReduceMean(g.Mul(x, x), axes=[-1], keepdims=1), eps))), norm.gamma)
    return x if norm.beta is None else g.Add(x, norm.beta)


def exported(estimator, path):
    try:
        import onnx
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError('to_onnx takes the onnx package: pip install "fastnn[onnx]"',
                                  name=error.name) from error
    check_is_fitted(estimator)
    g = Graph(onnx, estimator.coefs_[0].dtype)
    hidden = estimator._hidden(g.dtype)
    for act in (each.activation.activation for each in hidden):
        if act.name not in (*ACTIVATIONS, *LEARNED, *GATES):
            raise ValueError(f"{act!r} cannot be exported; these can: {', '.join([*ACTIVATIONS, *LEARNED, *GATES])}")
    x = "X"
    for i, (W, b) in enumerate(zip(estimator.coefs_, estimator.intercepts_)):
        if i == len(hidden):
            W, b = W[:, :estimator.n_outputs_], b[:estimator.n_outputs_]        # what is beyond is a spread
        x = g.Add(g.MatMul(x, W), b)
        if i < len(hidden):
            x = _activated(g, _normalized(g, x, hidden[i].norm), hidden[i].activation.activation)
    ends = (_classes if is_classifier(estimator) else _numbers)(g, x, estimator)
    kind = onnx.helper.np_dtype_to_tensor_dtype(g.dtype)
    rows = onnx.helper.make_tensor_value_info("X", kind, ["rows", estimator.n_features_in_])
    outputs = [onnx.helper.make_tensor_value_info(name, of or kind, ["rows", *shape]) for name, of, shape in ends]
    graph = onnx.helper.make_graph(g.nodes, type(estimator).__name__, [rows], outputs, g.constants)
    model = onnx.helper.make_model(graph, producer_name="fastnn", ir_version=IR,
                                   opset_imports=[onnx.helper.make_opsetid("", OPSET)])
    onnx.checker.check_model(model)
    if path is not None:
        Path(path).write_bytes(model.SerializeToString())
    return model


def _numbers(g, x, estimator):
    """Predictions, one axis where there is one output."""
    single = estimator.n_outputs_ == 1
    ends = {"exp": lambda: g.Exp(x), "logistic": lambda: g.Sigmoid(x), "softmax": lambda: g.Softmax(x, axis=-1)}
    x = ends.get(estimator._head(g.dtype).ending, lambda: x)()
    g.Reshape(x, np.array([-1] if single else [-1, estimator.n_outputs_]), to="predictions")
    return [("predictions", None, [] if single else [estimator.n_outputs_])]


def _classes(g, x, estimator):
    """Labels and probabilities, as `predict` and `predict_proba` have them."""
    classes, integers = estimator.classes_, g.onnx.TensorProto.INT64
    ending = estimator._head(g.dtype).ending
    if ending in ("softmax", "shares"):
        if ending == "softmax":
            g.Softmax(x, axis=-1, to="probabilities")
        else:
            y = g.Sigmoid(x)
            total = g.ReduceSum(y, np.array([-1]), keepdims=1)
            g.Div(y, g.Max(total, float(np.finfo(g.dtype).tiny)), to="probabilities")
        place = g.ArgMax("probabilities", axis=-1, keepdims=0)
    else:
        y = g.Sigmoid(x)
        above = g.cast(g.Greater(y, 0.5), np.int64)
        if estimator.n_outputs_ > 1:
            g.Identity(y, to="probabilities")
            g.Identity(above, to="label")
            return [("label", integers, [len(classes)]), ("probabilities", None, [len(classes)])]
        g.Concat(g.Sub(1, y), y, axis=-1, to="probabilities")
        place = g.Reshape(above, np.array([-1]))
    if classes.dtype.kind in "biu":
        classes = classes.astype(np.int64)
    elif classes.dtype.kind == "f":
        classes = classes.astype(g.dtype)
    g.Gather(classes, place, to="label")
    of = {"i": integers, "f": None}.get(classes.dtype.kind, g.onnx.TensorProto.STRING)
    return [("label", of, []), ("probabilities", None, [len(classes)])]
