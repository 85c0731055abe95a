"""Data parallelism: every rank has the parameters and some of the rows; gradients are averaged before each step."""
from typing import Any

import numpy as np

from ..core.sparse import Rows
from ..optimizers.base import MISSING
from ..optimizers.wrappers import Wrapper
from ..optimizers.wrappers.leaves import leaves_of
from ..state import array, entries
from .agreement import NO_NUMBER, Agreement, checked_gradient, digest_of_noise, digest_of_values
from .failures import abort_where_uncaught
from .buckets import WIRES, Buckets, layout_of
from .ranks import checked_timeout, communicator, ranks_of

STEP = "a step"
NOTHING = b""           # the digest of what needs none
VALUES = "the values of the parameters (fastnn.distributed.broadcast gives all ranks those of one)"
NUMBERS = "rows", "the loss f", "the number of steps", "N"


class DataParallel(Wrapper):
    """The optimizer's step with the mean of all ranks' gradients; the same bits on every rank.

        opt = DataParallel(get_opt("Adam"))             # under mpiexec -n 4, all of MPI.COMM_WORLD
        opt.step(params, grads)                         # grads: the mean over this rank's rows

    To send gradients while others are computed:

        loss, grads = net.loss_and_gradient(x, t, opt.ready(net.params))
        opt.step(net.params, grads)

    It wraps optimizers and wrappers, and wrappers wrap it: Accumulate(DataParallel(opt), 8) exchanges
    gradients once in eight calls, DataParallel(SAM(opt)) ascends along the mean gradient, SAM(DataParallel(opt)) along
    each rank's own. As gradients are averaged before the step, norms that clip are those of the mean, and alike on all
    ranks; so are steps that are skipped. The loss f of rules that read one is averaged, too. `fastnn.Rows` of all ranks
    are put together.

    Every call is for all ranks. At the first step, and whenever something has changed, names, shapes, dtypes,
    hyperparameters and the values of parameters are compared: DisagreementError. Where one rank cannot take the step
    the others raise RankError. Parameters have to be alike at the beginning: see `fastnn.distributed.broadcast`. State
    is the same on all ranks, `state_dict` that of the optimizer inside: any number of ranks, or none, resumes from it.

    Parameters
    ----------
    optimizer : optimizer or wrapper
    comm : mpi4py.MPI.Intracomm, optional
        The ranks; None: MPI.COMM_WORLD.
    wire : str
        "float32", or "bfloat16": half the bytes. What rounding takes from a gradient is added to the next one (error
        feedback: Seide et al. 2014; Karimireddy et al. 2019, arXiv 1901.09847). Sums are in float32 in any case, and
        float64 is sent as it is. The state then has what is left over, and `state_dict` is for all ranks.
    bucket_bytes : int, optional
        Gradients of so many bytes go at a time; None: 4 MiB, or 64 KiB for each rank where that is more.
    timeout : float
        Seconds that a rank waits for the others; None: 300, or what was given for this communicator before.
    """

    def __init__(self, optimizer: Any, comm: Any = None, *, wire: str = "float32", bucket_bytes: int | None = None,
                 timeout: float | None = None):
        if wire not in WIRES:
            raise ValueError(f"wire must be one of {', '.join(WIRES)}, not {wire!r}")
        whole = isinstance(bucket_bytes, (int, np.integer)) and not isinstance(bucket_bytes, bool)
        if bucket_bytes is not None and not (whole and bucket_bytes > 0):
            raise ValueError(f"bucket_bytes must be a positive integer or None, not {bucket_bytes!r}")
        super().__init__(optimizer)
        self._timeout, self._comm = checked_timeout(timeout), communicator(comm)
        abort_where_uncaught(self._comm)
        self._wire, self._bucket_bytes = wire, bucket_bytes
        self._agreement, self._ranks, self._buckets = Agreement(), None, None
        self._compared = None                   # keys whose values have been
        self._waiting = {}                      # residuals of a state, for the buckets of the next step
        self._rows = 1.0
        self._announced = None                  # (what `ready` has told the others, gradients by key)

    def _refuse(self, optimizer):
        for inside in optimizer._wrappers() if isinstance(optimizer, Wrapper) else ():
            if isinstance(inside, DataParallel) or type(inside).__name__ == "ShardedOptimizer":
                raise TypeError(f"DataParallel cannot wrap {type(inside).__name__}, which averages gradients "
                                "itself")

    def _shown(self):
        return [f"ranks={self._comm.size}", *([f"wire={self._wire!r}"] if self._wire != "float32" else ())]

    @property
    def rank(self) -> int:
        return self._comm.rank

    @property
    def ranks(self) -> int:
        return self._comm.size

    @property
    def seconds(self) -> float:
        """That this rank has waited for others and for messages so far."""
        return 0.0 if self._ranks is None else self._ranks.seconds

    def _met(self):
        if self._ranks is None:
            self._ranks = ranks_of(self._comm, self._timeout)
        return self._ranks

    # Gradients

    def ready(self, params: Any, rows: float = 1.0) -> Any:
        """A function of (key, gradient) for `MultiLayerNet.loss_and_gradient`, which sends gradients as they come.

        The `step` that follows takes what is still missing. rows: this rank's number of rows, where ranks have
        different ones. A gradient that was given this way must not be replaced by another one before the step.
        """
        if self._announced is not None:
            raise RuntimeError("gradients are being exchanged: step(params, grads) comes before the next pass")
        leaves = self._thawed(leaves_of(params, params, self._paths, None))
        if self._comm.size == 1 or not leaves.params:
            return lambda key, grad: None
        self._rows = checked_rows(rows)
        self._alone(self._begin, leaves, {}, self._rows)
        given = {}
        self._announced = given

        def ready(key, grad):
            if key in self._buckets.means:
                self._buckets.add(key, checked_gradient(grad, leaves.params[key], key))
                given[key] = grad

        return ready

    def _begin(self, leaves, extra, rows, error=None):
        """Tell the others what comes, and check that they are about to do the same. Returns the loss of all."""
        digest = NOTHING
        if error is None:
            try:
                digest = self._agreement.digest(self._inner(), leaves, extra, self._values(leaves))
                dense = {key: p for key, p in leaves.params.items()
                         if leaves.grads[key] is not None and not isinstance(leaves.grads[key], Rows)}
                if self._buckets is None or self._buckets.layout != layout_of(dense):
                    self._rebuild(dense)
            except Exception as found:          # whatever it is, the others are told
                error = found
        told = self._meet(STEP, digest, extra, rows, error)
        self._compared = tuple(leaves.params)
        weights = told[:, 0]
        share = None
        if (weights != weights[0]).any():
            share = rows / total(weights)
        self._share = share
        self._buckets.begin(share)
        return told

    def _values(self, leaves):
        """Of parameters that are stepped for the first time."""
        if self._compared == tuple(leaves.params):
            return self._known_values
        self._known_values = {VALUES: digest_of_values(leaves.params)}
        noise = getattr(self._innermost, "_noise", None)
        if noise is not None:
            self._known_values["rng, which must have the same seed on all ranks"] = digest_of_noise(noise)
        return self._known_values

    def _rebuild(self, dense):
        left = self._waiting
        if self._buckets is not None and self._wire != "float32":
            raise ValueError("with wire='bfloat16' each step has gradients of the same parameters, for what rounding "
                             "leaves over goes to the next one")
        self._buckets = Buckets(self._met(), dense, self._wire, self._bucket_bytes)
        self._buckets.put_residuals(left)
        self._waiting = {}

    def _engaged(self, leaves, extra, transaction):
        return self._taken(leaves, extra, transaction)

    def _taken(self, leaves, extra, transaction):
        if self._comm.size > 1:
            means, extra = self._averaged(leaves, extra)
            leaves = leaves.with_gradients({key: means.get(key) for key in leaves.params})
        return self._inner()._take(leaves, extra, transaction)

    def _averaged(self, leaves, extra):
        """(the mean gradients by key, arguments with the mean loss)."""
        leaves = self._thawed(leaves)
        given, error, rows = self._announced or {}, None, self._taken_rows()
        dense = {key: grad for key, grad in leaves.grads.items()
                 if key in leaves.params and grad is not None and not isinstance(grad, Rows)}
        if self._announced is None:
            try:
                checked = {key: checked_gradient(grad, leaves.params[key], key) for key, grad in dense.items()}
                for key, p in leaves.params.items():
                    if not p.flags.writeable:
                        raise ValueError(f"parameter {key!r} is read-only")
            except Exception as found:
                error = found
        if self._announced is None:
            told = self._begin(leaves, extra, rows, error)
            for key, grad in reversed(checked.items()):
                self._buckets.add(key, grad)
        else:
            self._announced, told = None, None
            for key in self._buckets.means:
                if key not in given:
                    self._buckets.add(key, checked_gradient(dense[key], leaves.params[key], key))
                elif given[key] is not dense.get(key):
                    raise ValueError(f"the gradient of {key!r} is another one than `ready` was given")
        means = dict(self._buckets.finish(STEP))
        if told is None and extra:
            told = self._meet("the arguments of a step", NOTHING, extra, rows)
        for key in leaves.params:
            if isinstance(leaves.grads[key], Rows):
                means[key] = self._joined(leaves.grads[key], leaves.params[key], key)
        return means, _with_mean(told, extra)

    def _taken_rows(self):
        """What `rows` was given for this exchange."""
        rows, self._rows = self._rows, 1.0
        return rows

    def _meet(self, what, digest, extra, rows, error=None):
        t = self.t if extra.get("t") is None else extra["t"]
        told = extra.get("f"), t, extra.get("N")
        numbers = [rows, *(NO_NUMBER if value is None else float(value) for value in told)]
        return self._met().meet(what, digest, self._agreement.description, numbers, error, NUMBERS, (2, 3))

    def _joined(self, rows, p, key):
        """The Rows of all ranks, in their order."""
        ranks = self._met()
        error, width = None, int(np.prod(p.shape[1:]))
        try:
            rows._fit(p, key)
            indices = np.asarray(rows.indices, np.int64).reshape(-1)
            values = np.array(rows.values, p.dtype if p.dtype.itemsize == 8 else np.float32).reshape(-1)
            values *= values.dtype.type(self._share or 1)
            if not self._share:
                values /= values.dtype.type(ranks.size)
        except Exception as found:
            error = found
        counts = ranks.meet(f"the rows of {key!r:.80}", NOTHING, dict, [0 if error else indices.size], error)[:, 0]
        found = np.concatenate(ranks.gathered_parts(indices, counts.astype(int), STEP))
        values = np.concatenate(ranks.gathered_parts(values, counts.astype(int) * width, STEP))
        return Rows(found, values.reshape(found.size, *p.shape[1:]))

    def average(self, params: Any, grads: Any, rows: float = 1.0) -> Any:
        """The mean gradients by key, and no step. They are views, which the next exchange writes again."""
        leaves = leaves_of(params, grads, self._paths, None)
        if self._comm.size == 1:
            return dict(leaves.grads)
        self._rows = checked_rows(rows)
        return self._alone(self._averaged, leaves, {})[0]

    def update(self, params: Any = MISSING, grads: Any = MISSING, *args: Any, rows: Any = None, **kwds: Any) -> None:
        """As the optimizer's, in place. rows: this rank's number of rows, where ranks have different ones."""
        if rows is not None:
            self._rows = checked_rows(rows)
        super().update(params, grads, *args, **kwds)

    def step(self, params: Any, grads: Any, rows: Any = None, **kwds: Any) -> None:
        """As the optimizer's. rows: this rank's number of rows, where ranks have different ones."""
        if rows is not None:
            self._rows = checked_rows(rows)
        super().step(params, grads, **kwds)

    # Sharpness-aware minimization inside

    def _ascending(self):
        found = self._inner()._ascending()
        return None if found is None else _Ascending(self, found)

    def ascend(self, params: Any, grads: Any) -> None:
        """SAM's first half, along the mean gradient."""
        sam = self._inner()._ascending()
        if sam is None:
            raise AttributeError(f"{self._innermost._title()} does not ascend: SAM does")
        sam.ascend(params, grads if self._comm.size == 1 else self._given_back(params, grads))

    def _given_back(self, params, grads):
        leaves = leaves_of(params, grads, self._paths, None)
        means = self._alone(self._averaged, leaves, {})[0]
        if isinstance(leaves.given, (list, tuple)):
            return list(means.values())
        return means if leaves.by_key else means[0]

    # State

    def _state(self):
        inner = self._inner().state_dict()
        if self._wire == "float32":
            return inner
        if self._buckets is not None:
            self._met().agree("state_dict of a DataParallel with wire='bfloat16', which is for all ranks")
        return {"format": 1, "wrapper": "DataParallel", "hyperparameters": {}, "residuals": self._residuals(),
                "optimizer": inner}

    def _residuals(self):
        return dict(self._waiting) if self._buckets is None else self._buckets.residuals()

    def _checked(self, state):
        residuals = {}
        if isinstance(state, dict) and state.get("wrapper") == "DataParallel":
            entries(state, "the state", ("format", "wrapper", "hyperparameters", "residuals", "optimizer"))
            residuals = {key: array(value, f"the residual of {key!r:.80}", np.dtype("float32"), np.shape(value))
                         for key, value in entries(state["residuals"], "residuals").items()}
            state = state["optimizer"]
        inner = self._inner()._fitting(state)
        buckets = {} if self._wire == "float32" else {"_waiting": residuals, "_buckets": None}

        def put():
            inner()
            self.__dict__.update(_agreement=Agreement(), _compared=None, **buckets)

        return put

    def _dropping(self, key):
        return []

    def __reduce_ex__(self, protocol):
        raise TypeError("DataParallel belongs to a communicator, which cannot be copied: make another one around a "
                        "copy of .optimizer")


class _Ascending:
    """What a Trainer asks of the SAM inside."""

    def __init__(self, outer, sam):
        self.ascend, self._sam = outer.ascend, sam

    def __getattr__(self, name):
        return getattr(self._sam, name)


def checked_rows(rows):
    if isinstance(rows, bool) or not isinstance(rows, (int, float, np.integer, np.floating)) or not 0 < rows < np.inf:
        raise ValueError(f"rows must be a positive number, not {rows!r}")
    return float(rows)


def total(values):
    """In their order."""
    found = 0.0
    for value in values:
        found += float(value)
    return found


def _with_mean(told, extra):
    """The loss as the mean over all rows."""
    if told is None or extra.get("f") is None:
        return extra
    weights = told[:, 0]
    return {**extra, "f": total(told[:, 1] * weights) / total(weights)}
