"""MLPClassifier and MLPRegressor: scikit-learn's own, with other arithmetic inside.

What is scikit-learn's stays so: parameters, validation of X and y, labels, scores, tags, L-BFGS. These names of it that
are not public are used: _fit_lbfgs, _validate_input, _initialize, _update_no_improvement_count and _check_sample_weight
are called; _random_state, _label_binarizer, _best_coefs, _best_intercepts and _no_improvement_count read and set,
_parameter_constraints widened; _fit, _backprop, _forward_pass_fast, _init_coef and _check_solver are replaced.
"""
import math
import warnings
from functools import partial
from numbers import Integral, Real

import numpy as np
from scipy.sparse import issparse
from sklearn import neural_network
from sklearn.base import is_classifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from fastnn.activations import CataloguedActivation, get_act
from fastnn.losses.base import Loss
from fastnn.nn.callbacks import Callback
from fastnn.nn.objectives import compares_one_column, has_spread, refuse_outside
from fastnn.nn.row_norms import normalization_of
from fastnn.optimizers.base import Optimizer
from fastnn.optimizers.wrappers.base import Wrapper

from .epochs import Epoch
from .heads import Spread, head_of, loss_of
from .network import Hidden, Network, listed, predicted
from .running import progress_of, threads
from .solvers import refused, solver_of

NOT_FINITE = ("Solver produced non-finite parameter weights. The input data may contain large values and need to be "
              "preprocessed.")


class _Perceptron:
    """What both estimators have instead of scikit-learn's arithmetic, and beside its parameters."""

    # Both estimators', where scikit-learn's word for the parameter allows less, and for those it has not.
    _wider_constraints = {
        "activation": [str, "array-like", CataloguedActivation], "solver": [str, Optimizer, Wrapper],
        "solver_args": [dict, None], "dtype": "no_validation", "dropout": [Real, "array-like"], "l1": [Real],
        "weight_decay": [Real], "clip_global_norm": [Real, None], "callbacks": [callable, "array-like", Callback, None],
        "loss": [str, Loss], "normalization": [str, None], "normalization_args": [dict, None],
        "progress_bar": ["boolean"], "n_jobs": [Integral, None], "comm": "no_validation"}

    def _fit(self, X, y, sample_weight=None, incremental=False):
        sizes = self.hidden_layer_sizes
        sizes = list(sizes) if hasattr(sizes, "__iter__") else [sizes]
        if not all(isinstance(size, Integral) for size in sizes):
            raise refused(self, "hidden_layer_sizes", f"must be an integer or integers, not {self.hidden_layer_sizes!r}")
        if np.any(np.array(sizes) <= 0):
            raise ValueError(f"hidden_layer_sizes must be > 0, got {sizes}.")
        first = not hasattr(self, "coefs_") or (not self.warm_start and not incremental)
        dtype, solver = self._checked(len(sizes), incremental)
        labels = y
        X, y = self._validate_input(X, y, incremental, reset=first)
        if sample_weight is not None:
            sample_weight = _check_sample_weight(sample_weight, X)
        sample_weight = self._weights(labels, sample_weight, incremental)
        if y.ndim == 1:
            y = y.reshape(-1, 1)
        self.n_outputs_ = y.shape[1]
        self._loss_must_fit(y)
        dtype = dtype or X.dtype
        self._random_state = check_random_state(self.random_state)
        if self.comm is not None:
            from fastnn.distributed import estimating           # takes mpi4py
            estimating.agree(self.comm, self, X, y)
            self._random_state = estimating.random_state_of(self.comm, self._random_state)
        if first:
            self._initialize(y, [X.shape[1], *sizes, self._columns()], dtype)
        elif self.dtype is None:
            dtype = self.coefs_[0].dtype
        with threads(self.n_jobs), np.errstate(all="ignore"):       # what overflows is told at the end
            if self.solver == "lbfgs":
                self._train_lbfgs(X, y, sample_weight, dtype)
            else:
                self._train(X, y, sample_weight, dtype, solver, incremental)
        if not all(np.isfinite(p).all() for p in self.coefs_ + self.intercepts_):
            raise ValueError(NOT_FINITE)
        return self

    def _checked(self, hidden, incremental):
        """The dtype asked for, or None, and what steps the weights; after a check of the parameters that scikit-learn's
        estimators have not, or not like this."""
        dtype = self._dtype()
        self._loss()
        self._check_hidden(hidden)
        self._dropout(hidden)
        for name in ("l1", "weight_decay"):
            if not 0 <= getattr(self, name) < math.inf:
                raise refused(self, name, f"must be a number of at least 0, not {getattr(self, name)!r}")
        if self.solver == "sgd" and self.momentum == 1:
            raise refused(self, "momentum", "must be below 1")
        if self.clip_global_norm is not None and not self.clip_global_norm > 0:
            raise refused(self, "clip_global_norm", f"must be a positive number or None, not {self.clip_global_norm!r}")
        for callback in self._callbacks():
            if not callable(callback) or isinstance(callback, type):
                raise refused(self, "callbacks", f"must be functions of the estimator, not {callback!r}: what fastnn.nn has is "
                                                 "for its Trainer, and here there are progress_bar and early_stopping")
        if self.n_jobs == 0:
            raise refused(self, "n_jobs", "must not be 0")
        if self.solver == "lbfgs":
            for name in ("solver_args", "weight_decay", "clip_global_norm", "dropout", "normalization"):
                if np.any(getattr(self, name)):
                    raise refused(self, name, "is for the stochastic solvers, not for 'lbfgs'")
            if any(act.kind == "random" or getattr(act, "learned", ()) for act in self._hidden_activations(hidden)):
                raise refused(self, "activation", "learns or is random, which is for the stochastic solvers")
            return dtype, None
        return dtype, self._optimizer if incremental and hasattr(self, "_optimizer") else solver_of(self)

    def _callbacks(self):
        given = self.callbacks
        return () if given is None else (given,) if callable(given) or isinstance(given, Callback) else given

    def _dtype(self):
        try:
            dtype = None if self.dtype is None else np.dtype(self.dtype)
        except TypeError:
            dtype = self.dtype
        if dtype is None or isinstance(dtype, np.dtype) and dtype in (np.float32, np.float64):
            return dtype
        raise refused(self, "dtype", f"must be float32, float64 or None, not {self.dtype!r}")

    def _loss(self):
        """A loss that scikit-learn has not, or None."""
        try:
            return loss_of(self.loss, is_classifier(self))
        except (TypeError, ValueError) as error:
            raise refused(self, "loss", f"does not fit: {error}") from error

    def _loss_must_fit(self, y):
        """Raises ValueError where the loss is not one for targets of this kind."""
        loss = self._loss()
        if loss is None:
            return
        classifies = is_classifier(self)
        kind = "softmax" if classifies and self._label_binarizer.y_type_ == "multiclass" else "logistic"
        n = self.n_outputs_
        if compares_one_column(loss, n):
            raise refused(self, "loss", "compares the directions of rows, and there is one output: take another")
        try:
            head = head_of(loss, kind, classifies, np.float64)
            with np.errstate(all="ignore"):
                head.gradient(np.full((1, self._columns()), 0.5), head.targets(np.eye(1, n), np.float64), None)
        except (TypeError, ValueError) as error:
            raise refused(self, "loss", str(error)) from error
        if not classifies:
            refuse_outside(loss, y, "y")

    def _columns(self):
        """Of scores: a spread takes as many as what it is of."""
        loss = self._loss()
        return self.n_outputs_ * (1 if loss is None or not has_spread(loss) else 2)

    def _check_hidden(self, hidden):
        activations = self._hidden_activations(hidden)
        sizes = self.hidden_layer_sizes
        sizes = list(sizes) if hasattr(sizes, "__iter__") else [sizes]
        for name in ("activation", "normalization"):
            kind = (self.normalization, self.normalization_args) if name == "normalization" else (None, None)
            try:
                for act, units in zip(activations, sizes):
                    Hidden(act, int(units), np.float32, normalization_of(*kind))
                normalization_of(*kind)
            except (TypeError, ValueError) as error:
                raise refused(self, name, f"does not fit: {error}") from error

    def _hidden(self, dtype, first=False, rng=None):
        """What stands behind each hidden layer, with the arrays that were learned; `first`: with new ones."""
        sizes = self.hidden_layer_sizes
        sizes = list(sizes) if hasattr(sizes, "__iter__") else [sizes]
        normalization = normalization_of(self.normalization, self.normalization_args)
        nothing = [None] * len(sizes)
        arrays = nothing if first else getattr(self, "hidden_params_", nothing)     # coefs_ may have been set by hand
        return [Hidden(act, int(units), dtype, normalization, each, rng)
                for act, units, each in zip(self._hidden_activations(len(sizes)), sizes, arrays)]

    def _hidden_activations(self, hidden):
        """One activation for each hidden layer."""
        given = self.activation
        if isinstance(given, (str, CataloguedActivation)):
            given = [given] * hidden
        elif len(given) != hidden:
            raise refused(self, "activation", f"has {len(given)} entries for {hidden} hidden layers")
        found = []
        for name in given:
            try:
                act = get_act("sigmoid" if name == "logistic" else name) if isinstance(name, str) else name
            except (TypeError, ValueError) as error:
                raise refused(self, "activation", f"does not fit: {error}") from error
            if not isinstance(act, CataloguedActivation) or act.kind == "layer":
                raise refused(self, "activation", "must be a name, an activation other than maxout, or one of these for "
                                                  f"each hidden layer, not {name!r}")
            found.append(act)
        return found

    def _dropout(self, hidden):
        """The share of each hidden layer that is switched off."""
        ratios = [self.dropout] * hidden if isinstance(self.dropout, Real) else list(self.dropout)
        if len(ratios) != hidden or not all(isinstance(ratio, Real) and 0 <= ratio < 1 for ratio in ratios):
            raise refused(self, "dropout", f"must be a number of at least 0 and below 1, or {hidden} of them, one for "
                                           f"each hidden layer, not {self.dropout!r}")
        return ratios if any(ratios) else ()

    def _weights(self, y, sample_weight, incremental):
        """Those of the rows. A classifier's classes have some of their own."""
        return sample_weight

    def _head(self, dtype):
        return head_of(self._loss(), self.out_activation_, is_classifier(self), dtype)

    def _network(self, X, rng=None):
        dtype, dropout = self.coefs_[0].dtype, self._dropout(len(self.coefs_) - 1)
        hidden = self._hidden(dtype, rng=rng)
        if self.comm is not None:
            from fastnn.distributed.estimating import NetworkOfRanks, own_stream
            if rng is not None and (dropout or any(each.activation.random for each in hidden)):
                rng = own_stream(self.comm, rng)
                hidden = self._hidden(dtype, rng=rng)
        found = Network(self.coefs_, self.intercepts_, hidden, self._head(dtype), self.alpha, self.l1, dropout, rng,
                        issparse(X))
        return found if self.comm is None else NetworkOfRanks.of(found, self.comm)

    def _initialize(self, y, layer_units, dtype):
        super()._initialize(y, layer_units, dtype)
        hidden = self._hidden(dtype, first=True)
        self.hidden_params_ = self._best_hidden_params = [each.arrays() for each in hidden]
        inputs = [layer_units[0], *(each.outputs for each in hidden)]
        outputs = [*(each.width for each in hidden), layer_units[-1]]
        if inputs != layer_units[:-1] or outputs != layer_units[1:]:        # gated units
            drawn = [self._init_coef(*shape, dtype) for shape in zip(inputs, outputs)]
            self.coefs_, self.intercepts_ = map(list, zip(*drawn))
        if self.solver in ("sgd", "adam", "lbfgs"):
            return
        self.loss_curve_, self._no_improvement_count = [], 0
        stopping = self.early_stopping
        self.validation_scores_ = [] if stopping else None
        self.best_validation_score_ = -np.inf if stopping else None
        self.best_loss_ = None if stopping else np.inf

    def _init_coef(self, fan_in, fan_out, dtype):
        """Uniform within Glorot's bound, which is narrower for logistic units, as scikit-learn draws them."""
        bound = np.sqrt((2 if self.activation in ("logistic", "sigmoid") else 6) / (fan_in + fan_out))
        draw = self._random_state.uniform
        return (draw(-bound, bound, (fan_in, fan_out)).astype(dtype, copy=False),
                draw(-bound, bound, fan_out).astype(dtype, copy=False))

    # L-BFGS: scikit-learn's call of SciPy, which comes back for the loss and its gradient

    def _train_lbfgs(self, X, y, sample_weight, dtype):
        """In double precision, whatever X is: SciPy's parameters are."""
        X = X.astype(np.float64, copy=False)
        self._cast(np.float64)
        units = [X.shape[1], *(b.shape[0] for b in self.intercepts_)]
        self._net = self._network(X)
        try:
            t = self._net.head.targets(y, np.float64)
            self._fit_lbfgs(X, t, sample_weight, None, None, None, None, units)
        finally:
            del self._net
            self._cast(dtype)

    def _cast(self, dtype):
        """Parameters of this dtype that may be changed in place: copies of those that may not."""
        self.coefs_, self.intercepts_ = ([np.require(p, dtype, ["C", "A", "W"]) for p in ps]
                                         for ps in (self.coefs_, self.intercepts_))

    def _backprop(self, X, y, sample_weight, activations, deltas, coef_grads, intercept_grads):
        net = getattr(self, "_net", None)
        if net is None:
            net = self._network(X)
            y = net.head.targets(y, X.dtype)
        net.set(self.coefs_, self.intercepts_)
        return net.loss_and_gradients(X, y, sample_weight)

    # The stochastic solvers

    def _train(self, X, y, sample_weight, dtype, solver, incremental):
        X_val = y_val = weight_val = None
        if self.early_stopping:
            if incremental:
                raise ValueError("partial_fit does not support early_stopping=True")
            X, X_val, y, y_val, sample_weight, weight_val = self._split(X, y, sample_weight)
        n = X.shape[0]
        size = min(200, n) if self.batch_size == "auto" else min(self.batch_size, n)
        if self.batch_size != "auto" and self.batch_size > n:
            warnings.warn("Got `batch_size` less than 1 or larger than sample size. It is going to be clipped")
        stepped = vars(self).pop("_stepped", None)
        if incremental and stepped is not None:
            self.coefs_, self.intercepts_ = listed(stepped)
        self._cast(dtype)
        self._optimizer = solver
        net = self._network(X, self._random_state)
        if incremental and stepped is not None:
            net.put({**stepped, **{key: p for key, p in net.params.items() if key[0] in "Wb" and key[1:].isdigit()}})
        kind = Epoch
        if self.comm is not None:
            from fastnn.distributed.estimating import EpochOfRanks as kind
        epoch = kind(net, solver, X, net.head.targets(y, dtype), sample_weight, size)
        try:
            with progress_of(self) as advance:
                self._epochs(epoch, X_val, y_val, weight_val, incremental, advance)
        except KeyboardInterrupt:
            warnings.warn("Training interrupted by user.")
        if self.early_stopping:
            self.coefs_, self.intercepts_ = self._best_coefs, self._best_intercepts
            self.hidden_params_ = self._best_hidden_params

    def _split(self, X, y, sample_weight):
        """Rows to train on and rows to validate with: X, X, y, y, weights, weights."""
        stratify = y if is_classifier(self) and self.n_outputs_ == 1 else None
        arrays = (X, y) if sample_weight is None else (X, y, sample_weight)
        found = train_test_split(*arrays, random_state=self._random_state, test_size=self.validation_fraction,
                                 stratify=stratify)
        if found[1].shape[0] < 2:
            raise ValueError("The validation set is too small. Increase 'validation_fraction' or the size of your "
                             "dataset.")
        if is_classifier(self):
            found[3] = self._label_binarizer.inverse_transform(found[3])
        return found if sample_weight is not None else (*found, None, None)

    def _epochs(self, epoch, X_val, y_val, weight_val, incremental, advance):
        callbacks = self._callbacks()
        n = epoch.n
        order = np.arange(n)
        self.n_iter_ = 0
        for _ in range(self.max_iter):
            if self.shuffle:
                drawn = np.arange(n)
                self._random_state.shuffle(drawn)
                order = order[drawn]
            self.loss_ = epoch.run(order if self.shuffle else None)
            self.n_iter_ += 1
            learnt = self._optimizer.evaluated(epoch.params)
            if learnt is not epoch.params:
                self._stepped = epoch.params
                self.coefs_, self.intercepts_ = listed(learnt)
            self.hidden_params_ = [each.arrays(learnt, i) for i, each in enumerate(epoch.net.hidden, start=1)]
            self.t_ += n
            self.loss_curve_.append(self.loss_)
            if self.verbose:
                print(f"Iteration {self.n_iter_}, loss = {self.loss_:.8f}")
            best = self.early_stopping and self.best_validation_score_
            self._update_no_improvement_count(self.early_stopping, X_val, y_val, weight_val)
            if self.early_stopping and self.best_validation_score_ != best:
                self._best_hidden_params = self.hidden_params_
            self._optimizer.iteration_ends(self.t_)
            advance()
            stopped = [callback(self) is True for callback in callbacks]
            if epoch.agreed(any(stopped) or self._has_converged() or incremental):
                break
            if self.n_iter_ == self.max_iter:
                warnings.warn(f"Stochastic Optimizer: Maximum iterations ({self.max_iter}) reached and the "
                              "optimization hasn't converged yet.", ConvergenceWarning)

    def _has_converged(self):
        if self._no_improvement_count <= self.n_iter_no_change:
            return False
        what = "Validation score" if self.early_stopping else "Training loss"
        if self._optimizer.trigger_stopping(f"{what} did not improve more than tol={self.tol:f} for "
                                            f"{self.n_iter_no_change:d} consecutive epochs.", self.verbose):
            return True
        self._no_improvement_count = 0
        return False

    def _check_solver(self):
        if self.solver == "lbfgs":
            raise AttributeError("partial_fit is only available for stochastic optimizers. lbfgs is not stochastic.")
        return True

    # Predictions

    def _forward_pass_fast(self, X, check_input=True, output=None):
        look = None
        if check_input:
            check = partial(validate_data, self, X, accept_sparse=["csr", "csc"], reset=False)
            if self._passes_but_for_its_numbers(X):
                look = check
            else:
                X = check()
        coefs, intercepts = self.coefs_, self.intercepts_
        dtype = np.result_type(X.dtype, coefs[0]) if self.dtype is None else coefs[0].dtype
        if dtype != coefs[0].dtype:
            coefs, intercepts = ([p.astype(dtype) for p in ps] for ps in (coefs, intercepts))
        with threads(self.n_jobs), np.errstate(all="ignore"):
            output = self._head(dtype).output if output is None else output
            return predicted(X, coefs, intercepts, self._hidden(dtype), output, issparse(X), look)

    def _passes_but_for_its_numbers(self, X):
        """Whether scikit-learn's check would return X itself if all of it is finite, which the first product tells for
        less: of infinity and NaN it is none, whatever the weights."""
        return (type(X) is np.ndarray and X.ndim == 2 and X.dtype in (np.float32, np.float64) and len(X) > 0
                and X.shape[1] == self.n_features_in_ > 0 and not hasattr(self, "feature_names_in_")
                and (self.dtype is None or X.dtype.itemsize <= self.coefs_[0].itemsize))


class MLPClassifier(_Perceptron, neural_network.MLPClassifier):
    """scikit-learn's MLPClassifier on fastnn's kernels: its parameters, attributes and methods, and more.

    Parameters
    ----------
    hidden_layer_sizes, alpha, batch_size, learning_rate, learning_rate_init, power_t, max_iter, shuffle, \
random_state, tol, verbose, warm_start, momentum, nesterovs_momentum, early_stopping, validation_fraction, beta_1, beta_2, \
epsilon, n_iter_no_change, max_fun
        As in scikit-learn.
    activation : str, activation, or one of these for each hidden layer
        scikit-learn's names, a name of `fastnn.activations()`, or what `get_act` returned.
    solver : str or optimizer
        "lbfgs", "sgd" and "adam" are scikit-learn's; any other name is `get_opt`'s, with that rule's own rate, and what
        `get_opt` returned is copied for each fit. `learning_rate_init` and what follows it are for "sgd" and "adam".
    solver_args : dict
        Arguments of the optimizer and its options: lr (a number or a schedule), clip_value, groups ... Its parameters
        are W1, b1, W2 ...
    dtype : float32, float64 or None
        That of weights and arithmetic; None: that of X.
    class_weight : dict, "balanced" or None
        As in scikit-learn's SGDClassifier; times the sample weights.
    dropout : float, or one for each hidden layer
        The share of a hidden layer's outputs that is switched off while training; the others are scaled by
        1/(1 - dropout).
    normalization, normalization_args
        None, "batch", "layer" or "rms": between the product and the activation of each hidden layer, with arguments of
        `fastnn.nn.BatchNormalization`, `LayerNorm` or `RMSNorm`. What it learns is in `hidden_params_`, one dict a layer.
    l1 : float
        The loss contains l1 sum |W| over the coefficients, divided by the sample size as `alpha` is.
    weight_decay : float
        Decoupled, of the coefficients: each step takes lr weight_decay W away.
    clip_global_norm : float or None
        The largest norm of all gradients together.
    callbacks : function(estimator), or several
        Called after each epoch; one that returns True ends the training.
    progress_bar : bool
        Shows one on stderr, with `rich` where that is installed.
    n_jobs : int or None
        Threads of fastnn and of BLAS; -1: one for each core; None: as they are set.
    loss : str or loss
        "log_loss" is scikit-learn's; any other name is one of `fastnn.losses()`, as is what `get_err` returned. Losses of
        probabilities get the softmax or the sigmoid of the scores, those of a yes or no have one for each class.
    comm : mpi4py.MPI.Intracomm or None
        Fit on all ranks of it (`fastnn.distributed`), which are given the same rows: each passes its part of every batch
        through the network, and gradients and losses are those of all. The fit is that of one process within rounding.
    """

    _parameter_constraints = {**neural_network.MLPClassifier._parameter_constraints, **_Perceptron._wider_constraints,
                              "class_weight": [dict, list, str, None]}

    def __init__(self, hidden_layer_sizes=(100,), activation="relu", *, solver="adam", alpha=0.0001, batch_size="auto",
                 learning_rate="constant", learning_rate_init=0.001, power_t=0.5, max_iter=200, shuffle=True,
                 random_state=None, tol=1e-4, verbose=False, warm_start=False, momentum=0.9, nesterovs_momentum=True,
                 early_stopping=False, validation_fraction=0.1, beta_1=0.9, beta_2=0.999, epsilon=1e-8,
                 n_iter_no_change=10, max_fun=15000, solver_args=None, dtype=None, class_weight=None, dropout=0.0,
                 l1=0.0, weight_decay=0.0, clip_global_norm=None, callbacks=None, progress_bar=False, n_jobs=None,
                 loss="log_loss", normalization=None, normalization_args=None, comm=None):
        super().__init__(
            hidden_layer_sizes, activation, solver=solver, alpha=alpha, batch_size=batch_size,
            learning_rate=learning_rate, learning_rate_init=learning_rate_init, power_t=power_t, max_iter=max_iter,
            shuffle=shuffle, random_state=random_state, tol=tol, verbose=verbose, warm_start=warm_start,
            momentum=momentum, nesterovs_momentum=nesterovs_momentum, early_stopping=early_stopping,
            validation_fraction=validation_fraction, beta_1=beta_1, beta_2=beta_2, epsilon=epsilon,
            n_iter_no_change=n_iter_no_change, max_fun=max_fun)
        self.solver_args, self.dtype, self.class_weight = solver_args, dtype, class_weight
        self.dropout, self.l1 = dropout, l1
        self.weight_decay, self.clip_global_norm, self.callbacks = weight_decay, clip_global_norm, callbacks
        self.progress_bar, self.n_jobs, self.comm = progress_bar, n_jobs, comm
        self.loss, self.normalization, self.normalization_args = loss, normalization, normalization_args

    def _weights(self, y, sample_weight, incremental):
        if self.class_weight is None:
            return sample_weight
        if incremental and self.class_weight == "balanced":
            raise refused(self, "class_weight", "cannot be 'balanced' in partial_fit, which sees some of the rows; "
                                                "compute_class_weight of scikit-learn gives the numbers")
        try:
            own = compute_sample_weight(self.class_weight, y)
        except (TypeError, ValueError) as error:
            raise refused(self, "class_weight", f"must be 'balanced', or a dict of the classes: {error}") from error
        if not (own >= 0).all():
            raise refused(self, "class_weight", f"must not be negative: {self.class_weight!r}")
        return own if sample_weight is None else own * sample_weight

    def _predict(self, X, check_input=True):
        """scikit-learn's, without its binarizer's own checks."""
        binarizer, classes = self._label_binarizer, self._label_binarizer.classes_
        if binarizer.y_type_ == "multiclass":
            return classes.take(self._forward_pass_fast(X, check_input).argmax(axis=1))
        if binarizer.y_type_ == "binary" and len(classes) == 2:
            return classes.take((self._forward_pass_fast(X, check_input)[:, 0] > 0.5).view(np.int8))
        return super()._predict(X, check_input)

    def to_onnx(self, path=None):
        """The model for ONNX; written to `path` where one is given. Its input is "X", its outputs "label" and
        "probabilities". See docs/estimators.md. Raises ImportError without the `onnx` package."""
        from .onnx import exported
        return exported(self, path)


class MLPRegressor(_Perceptron, neural_network.MLPRegressor):
    """scikit-learn's MLPRegressor on fastnn's kernels: its parameters, attributes and methods, and more.

    Parameters
    ----------
    loss : str or loss
        "squared_error" and "poisson" are scikit-learn's; any other name is one of `fastnn.losses()`, but for losses of
        labels, as is what `get_err` returned: the sum over the outputs, the mean over the rows. Predictions are the
        scores, or what the loss is of: rates, a probability each, or a row of them. With "Gaussian-NLL" and "Laplace-NLL" a
        spread is learned with each prediction, which `predict(X, return_std=True)` returns.
    activation, solver, ...
        As those of `MLPClassifier`, but for `class_weight`.
    """

    _parameter_constraints = {**neural_network.MLPRegressor._parameter_constraints, **_Perceptron._wider_constraints}

    def __init__(self, loss="squared_error", hidden_layer_sizes=(100,), activation="relu", *, solver="adam",
                 alpha=0.0001, batch_size="auto", learning_rate="constant", learning_rate_init=0.001, power_t=0.5,
                 max_iter=200, shuffle=True, random_state=None, tol=1e-4, verbose=False, warm_start=False, momentum=0.9,
                 nesterovs_momentum=True, early_stopping=False, validation_fraction=0.1, beta_1=0.9, beta_2=0.999,
                 epsilon=1e-8, n_iter_no_change=10, max_fun=15000, solver_args=None, dtype=None, dropout=0.0, l1=0.0,
                 weight_decay=0.0, clip_global_norm=None, callbacks=None, progress_bar=False, n_jobs=None,
                 normalization=None, normalization_args=None, comm=None):
        super().__init__(
            loss, hidden_layer_sizes, activation, solver=solver, alpha=alpha, batch_size=batch_size,
            learning_rate=learning_rate, learning_rate_init=learning_rate_init, power_t=power_t, max_iter=max_iter,
            shuffle=shuffle, random_state=random_state, tol=tol, verbose=verbose, warm_start=warm_start,
            momentum=momentum, nesterovs_momentum=nesterovs_momentum, early_stopping=early_stopping,
            validation_fraction=validation_fraction, beta_1=beta_1, beta_2=beta_2, epsilon=epsilon,
            n_iter_no_change=n_iter_no_change, max_fun=max_fun)
        self.solver_args, self.dtype, self.dropout, self.l1 = solver_args, dtype, dropout, l1
        self.weight_decay = weight_decay
        self.clip_global_norm, self.callbacks, self.progress_bar, self.n_jobs = (
            clip_global_norm, callbacks, progress_bar, n_jobs)
        self.comm = comm
        self.normalization, self.normalization_args = normalization, normalization_args

    def predict(self, X, return_std=False):
        """Predictions, (rows,) or (rows, outputs); with return_std a pair of these and of their standard deviations.

        Raises ValueError for return_std where the loss has no spread.
        """
        if not return_std:
            return super().predict(X)
        check_is_fitted(self)
        head = self._head(self.coefs_[0].dtype)
        if not isinstance(head, Spread):
            raise ValueError(f"return_std=True takes a loss that has a spread, 'Gaussian-NLL' or 'Laplace-NLL', "
                             f"not {self.loss!r}")
        z = self._forward_pass_fast(X, output=lambda z: z)
        with np.errstate(all="ignore"):
            return tuple(each.ravel() if self.n_outputs_ == 1 else each for each in (head.output(z), head.std(z)))

    def to_onnx(self, path=None):
        """The model for ONNX; written to `path` where one is given. Its input is "X", its output "predictions". See
        docs/estimators.md. Raises ImportError without the `onnx` package."""
        from .onnx import exported
        return exported(self, path)
