"""An optimizer whose state is split over ranks (ZeRO, stage 1)."""
from functools import partial
from typing import Any

import numpy as np

from ..core.sparse import Rows
from ..core.transactions import Copies, Transaction
from ..optimizers.along import Along
from ..optimizers.base import Optimizer
from ..optimizers.measured import Measured
from ..optimizers.wrappers import Wrapper
from ..optimizers.wrappers.leaves import Leaves, leaves_of
from ..state import checked, state_of
from ..trees import each
from .agreement import Agreement, checked_gradient
from .data_parallel import NOTHING, DataParallel, _with_mean, total
from .ranks import added
from .shards import Cuts, Exchange, clip, flat, order_of, pieces_class

STEP = "a step in shards"


class ShardedOptimizer(DataParallel):
    """DataParallel whose ranks each have a part of the state: ZeRO's stage 1, Rajbhandari et al. 2020, arXiv
    1910.02054.

        opt = ShardedOptimizer(get_opt("Adam"))
        opt.step(params, grads)                         # grads: the mean over this rank's rows

    A rank gets the mean of its part of all gradients (reduce-scatter), steps that part, and all put the new parameters
    together (allgather): as many bytes as DataParallel sends, one part in `ranks` of the state in memory.

    For every elementwise optimizer, those that draw noise, and those that read norms of parameters, which are reduced
    over the ranks: LARS, LAMB, NovoGrad, Fromage, DoG, DoWG, D-Adapt-Adam, Prodigy, PolyakSGD, MoMo. Norms that clip
    are those of whole gradients. Wrappers go around it, with state of their own on each rank. Refused by name: rules of
    whole matrices (Adafactor, SM3, Muon, Shampoo, SOAP), wrappers inside, clip_adaptive, centralize, `fastnn.Rows`, and
    parameters that do not lie in one piece.

    It takes a copy of the optimizer: hyperparameters are set here, opt.lr = 0.1. `state_dict`, `load_state_dict`,
    `evaluation_point` and `gradient_point` are for all ranks; a state is that of the optimizer on one process, so that
    any number of ranks, or none, resumes from it. `state` has this rank's pieces. The rest is as in DataParallel.

    Parameters
    ----------
    optimizer : optimizer
    comm, timeout
        As in DataParallel.
    """

    def __init__(self, optimizer: Any, comm: Any = None, *, timeout: float | None = None):
        super().__init__(optimizer, comm, timeout=timeout)
        started = optimizer.t > 0
        state = optimizer.state_dict() if started else None
        if self._comm.size > 1:
            self.__dict__["_optimizer"] = pieces_class(type(optimizer))(**optimizer._arguments())
            self._inner().__dict__.update(_ranks=None, _whole={}, _own={})
        else:
            self.__dict__["_optimizer"] = type(optimizer)(**optimizer._arguments())
        self._plain = type(optimizer)
        self._cuts = Cuts(self._comm.size), Cuts(self._comm.size)
        self._shapes = {}, {}                   # (shape, order, dtype) of whole parameters
        self._gradients = self._parameters = None
        if started:
            self.load_state_dict(state)

    def _refuse(self, optimizer):
        if isinstance(optimizer, Wrapper):
            name = type(optimizer).__name__
            raise TypeError(f"ShardedOptimizer wraps an optimizer, and {name} around it: "
                            f"{name}(ShardedOptimizer(opt))")
        if isinstance(optimizer, Along):
            raise TypeError(f"{optimizer._title()} needs whole matrices, which shards split; "
                            "DataParallel has whole ones on each rank")
        if optimizer.measures and not isinstance(optimizer, Measured):
            raise TypeError(f"{optimizer._title()} needs whole parameters, which shards split: use DataParallel")

    def ready(self, params: Any, rows: float = 1.0) -> Any:
        """Gradients wait for the step: the function does nothing."""
        return lambda key, grad: None

    # A step

    def _taken(self, leaves, extra, transaction):
        if self._comm.size == 1:
            return self._inner()._take(leaves, extra, transaction)
        ranks, error, digest, rows = self._met(), None, NOTHING, self._taken_rows()
        home, engine, stepped = not leaves.by_key, self._inner(), {}
        engine.__dict__["_ranks"] = ranks
        try:
            stepped = self._arranged(leaves, home)
            digest = self._agreement.digest(engine, leaves, extra, self._values(leaves))
        except Exception as found:              # whatever it is, the others are told
            error = found
        told = self._meet(STEP, digest, extra, rows, error)
        self._compared = tuple(leaves.params)
        engine.__dict__["_whole"] = leaves.params
        weights = told[:, 0]
        pieces = self._scattered(leaves, stepped, rows / total(weights) if (weights != weights[0]).any() else None)
        engine.__dict__["_own"] = {key: self._cuts[home].piece(key, ranks.rank) for key in stepped}
        mine = self._parameters.views[ranks.rank]
        for key in stepped:
            mine[key][...] = stepped[key][self._cuts[home].piece(key, ranks.rank)]
        if not clip(engine, pieces, {key: leaves.by_key for key in stepped}, ranks, extra):
            engine._skip()
            transaction.without_step()
            return False
        grads = {key: pieces.get(key) for key in leaves.params}
        params = {key: mine[key] if key in mine else leaves.params[key] for key in leaves.params}
        taken = engine._take(Leaves(leaves.by_key, params, grads, leaves.given), _with_mean(told, extra), Transaction())
        if not taken:
            transaction.without_step()
            return False
        self._gathered(self._parameters)
        copies = Copies([(flat_p[self._cuts[home].piece(key, rank)], views[key])
                         for rank, views in enumerate(self._parameters.views) for key, flat_p in stepped.items()])
        written = [copies] if leaves.write_back is None else [copies, leaves.write_back]
        transaction.ended[:] = [*transaction.first, *written, *transaction.after, *transaction.ended]
        transaction.first.clear()
        transaction.after.clear()
        transaction.without_step()
        return True

    def _arranged(self, leaves, home):
        """The parameters that are stepped, as they lie in memory; room for them and their gradients."""
        thawed = self._thawed(leaves)
        stepped = {}
        for key, p in thawed.params.items():
            grad = leaves.grads[key]
            if grad is None:
                continue
            if isinstance(grad, Rows):
                raise TypeError(f"the gradient of {key!r} is Rows, which shards split: use DataParallel")
            checked_gradient(grad, p, key)
            if not p.flags.writeable:
                raise ValueError(f"parameter {key!r} is read-only")
            known = self._shapes[home].get(key)
            if known is not None and known != (p.shape, order_of(p), p.dtype):
                raise ValueError(f"parameter {key!r} is {p.dtype} of shape {p.shape} and order {order_of(p)} now, its "
                                 f"state that of {known[2]}, {known[0]} and {known[1]}; opt.forget({key!r}) drops it")
            stepped[key] = flat(p, key)
        self._cuts[home].add({key: p.size for key, p in stepped.items()})
        wanted = [(key, leaves.params[key].dtype, p.size) for key, p in stepped.items()], home
        if self._gradients is None or wanted != self._wanted:
            cuts = self._cuts[home]
            dtypes = {key: p.dtype for key, p in stepped.items()}
            self._gradients = Exchange(cuts, {key: np.dtype(np.float64 if dtype.itemsize == 8 else np.float32)
                                              for key, dtype in dtypes.items()})
            part = self._gradients.counts[self.rank]
            room = np.zeros(max(self.ranks * part, self._gradients.buffer.size), np.uint8)
            self._received = room[:self.ranks * part].reshape(self.ranks, part)
            self._parameters = Exchange(cuts, dtypes, room)     # what is received has been added by then
            self._wanted = wanted
        for key, p in stepped.items():
            self._shapes[home][key] = leaves.params[key].shape, order_of(leaves.params[key]), p.dtype
        return stepped

    def _scattered(self, leaves, stepped, share):
        """The mean gradient of this rank's pieces."""
        ranks, sent = self._met(), self._gradients
        with np.errstate(all="ignore"):
            for key in stepped:
                grad, p = np.asarray(leaves.grads[key]), leaves.params[key]
                if order_of(grad) != order_of(p) or not (grad.flags.c_contiguous or grad.flags.f_contiguous):
                    grad = np.asarray(grad, order=order_of(p))
                lying = grad.reshape(-1, order=order_of(p))
                places = self._cuts[not leaves.by_key].places[key]
                for views, low, high in zip(sent.views, places, places[1:]):
                    if high > low:
                        np.copyto(views[key], lying[low:high], casting="unsafe")
                        if share is not None:
                            views[key] *= views[key].dtype.type(share)
        ranks.wait([ranks.scatter_parts(sent.buffer, sent.counts, self._received)], STEP)
        mine, own = {}, sent.part(ranks.rank)
        begin = 0
        for dtype in (np.float64, np.float32):
            keys = [key for key in sent.views[ranks.rank] if sent.views[ranks.rank][key].dtype == dtype]
            end = begin + sum(sent.views[ranks.rank][key].nbytes for key in keys)
            if end > begin:
                summed = own[begin:end].view(dtype)
                added(self._received[:, begin:end].view(dtype), summed)
                if share is None:
                    with np.errstate(all="ignore"):
                        np.true_divide(summed, dtype(ranks.size), out=summed)
            mine.update({key: sent.views[ranks.rank][key] for key in keys})
            begin = end
        return mine

    def _gathered(self, exchange):
        """Every rank's part of it, from each."""
        ranks = self._met()
        mine = exchange.part(ranks.rank).copy()
        ranks.wait([ranks.gather_parts(mine, exchange.buffer, exchange.counts)], STEP)

    def average(self, params: Any, grads: Any, rows: float = 1.0) -> Any:
        raise TypeError("no rank of a ShardedOptimizer has the mean of all gradients: DataParallel's do")

    def ascend(self, params: Any, grads: Any) -> None:
        raise AttributeError("a ShardedOptimizer does not ascend: SAM(ShardedOptimizer(opt)) does")

    # Where parameters are evaluated, and gradients taken

    def evaluation_point(self, params: Any) -> Any:
        """As the optimizer's. For all ranks, where the rule has such a point."""
        return self._point(params, "evaluation_point", self._inner()._evaluated is not None)

    def gradient_point(self, params: Any) -> Any:
        """As the optimizer's. For all ranks, where the rule has such a point."""
        return self._point(params, "gradient_point", type(self._inner()).gradient_point is not Optimizer.gradient_point)

    def _point(self, params, name, elsewhere):
        if self._comm.size == 1 or not elsewhere:
            return getattr(self._inner(), name)(params)
        self._met().agree(f"{name} of a ShardedOptimizer, which is for all ranks")
        leaves = leaves_of(params, params, self._paths, None)
        home = not leaves.by_key
        found = {key: p for key, p in leaves.params.items() if key in self._cuts[home].places}
        if found:
            exchange = Exchange(self._cuts[home], {key: p.dtype for key, p in found.items()})
            self._inner().__dict__["_whole"] = leaves.params
            pieces = {key: flat(p, key)[self._cuts[home].piece(key, self.rank)] for key, p in found.items()}
            given = pieces if leaves.by_key else [pieces[key] for key in sorted(pieces)]
            moved = getattr(self._inner(), name)(given)
            for key, piece in (moved.items() if leaves.by_key else zip(sorted(pieces), moved)):
                exchange.views[self.rank][key][...] = piece
            self._gathered(exchange)
            for key, p in found.items():
                whole = np.empty(p.size, p.dtype)
                for rank, views in enumerate(exchange.views):
                    whole[self._cuts[home].piece(key, rank)] = views[key]
                found[key] = whole.reshape(p.shape, order=order_of(p))
        return each(params, lambda key, p: found.get(key, p))

    # State

    def _state(self):
        engine = self._inner()
        state = state_of(engine)
        if self._comm.size == 1:
            return state
        self._met().agree("state_dict of a ShardedOptimizer, which is for all ranks")
        for home, what in enumerate(("by_key", "by_position")):
            state[what] = {key: self._whole_entry(home, key, entry) for key, entry in state[what].items()}
        return state

    def _whole_entry(self, home, key, entry):
        shape, order, dtype = self._shapes[home][key]
        slots = {}
        for name, value in entry["slots"].items():
            if isinstance(value, dict):
                slots[name] = {part: self._joined_pieces(numbers) for part, numbers in value.items()}
            else:
                slots[name] = self._joined_pieces(value).reshape(shape, order=order)
        return {**entry, "shape": shape, "order": order, "slots": slots}

    def _joined_pieces(self, mine):
        ranks = self._met()
        counts = ranks.gathered(np.array([mine.size]), "a state")[:, 0]
        return np.concatenate(ranks.gathered_parts(mine.reshape(-1), counts, "a state"))

    def _checked(self, state):
        if self._comm.size == 1:
            return self._inner()._fitting(state)
        engine = self._inner()
        twin = self._plain(**engine._arguments())
        checked(twin, state)()                  # raises StateError where it is no such state; twin is dropped
        state = state_of(twin)
        cuts, shapes, pieces = (Cuts(self.ranks), Cuts(self.ranks)), ({}, {}), {}
        for home, what in enumerate(("by_key", "by_position")):
            cuts[home].add({key: int(np.prod(entry["shape"])) for key, entry in state[what].items()})
            shapes[home].update({key: (entry["shape"], entry["order"], _dtype(entry))
                                 for key, entry in state[what].items()})
            pieces[what] = {key: self._piece_of(entry, cuts[home].piece(key, self.rank))
                            for key, entry in state[what].items()}
        put = engine._fitting({**state, **pieces})

        def put_all():
            put()
            self.__dict__.update(_cuts=cuts, _shapes=shapes, _gradients=None, _agreement=Agreement(), _compared=None)

        return put_all

    def _piece_of(self, entry, piece):
        slots = {}
        n = piece.stop - piece.start
        for name, value in entry["slots"].items():
            if isinstance(value, dict):
                codes, scales = self._inner()._stored_sizes(n)
                first = piece.start // 256
                slots[name] = {"codes": value["codes"][piece.start:piece.start + codes].copy()}
                if "scales" in value:
                    slots[name]["scales"] = value["scales"][first:first + scales].copy()
            else:
                slots[name] = value.reshape(-1, order=entry["order"])[piece].copy()
        return {**entry, "shape": (n,), "order": "C", "slots": slots}

    def _dropping(self, key):
        found = []
        for cuts, shapes in zip(self._cuts, self._shapes):
            if key in cuts.places:
                found += [partial(cuts.places.pop, key), partial(shapes.pop, key, None)]
        return [*found, partial(self.__dict__.update, _gradients=None)] if found else found


def _dtype(entry):
    if entry["dtype"] == "bfloat16":
        import ml_dtypes
        return np.dtype(ml_dtypes.bfloat16)
    return np.dtype(entry["dtype"])
