"""Sharpness-aware minimization."""
from functools import partial
from math import isfinite
from operator import is_
from typing import Any

import numpy as np

from ...core.transactions import Displaced, Transaction, places
from ...hyperparameters import Hyperparameter
from ..sgd import NAG
from .base import Wrapper
from .engines import Sum
from .leaves import leaves_of

MOST = 1e37                     # of the factor of a gradient, for float32's sake


class SAM(Wrapper):
    """The gradient of a step is that at p + rho g/||g||.  Foret et al. 2021, arXiv 2010.01412, equations 2 and 3.

        sam.ascend(params, grads)               # in place, to p + rho g/||g||; ||g|| is one norm of all gradients
        sam.step(params, gradients(params))     # back to p, bit for bit, and a step of the optimizer

    `fastnn.nn.Trainer` does both by itself. The first gradients may be changed or dropped after `ascend`. Where they
    are all 0, the parameters stay; where their norm is NaN or infinite, too, and the step that follows is skipped: it
    counts in `skipped`, and there is a RuntimeWarning. Between the two calls everything but step and `restore` raises
    RuntimeError; a SAM that is deleted there leaves the parameters moved. With `maximize` it descends. Parameters are
    arrays: plain numbers are refused.

    Parameters
    ----------
    optimizer : optimizer or wrapper
    rho : float
        At least 0, in units of the parameters.
    """

    rho = Hyperparameter(0.05, at_least=0)

    def __init__(self, optimizer: Any, rho: float = 0.05):
        super().__init__(optimizer, rho=rho)
        self._engine = Sum()
        self._displaced = Displaced()
        self._moved = None                      # by key, while they are away
        self._skips = False                     # whether the next step does
        self._rooms = [{}, {}]

    def _refuse(self, optimizer):
        if isinstance(optimizer._innermost, NAG):
            raise TypeError("SAM cannot wrap NAG: both take the gradient at a point of their own; "
                            'get_opt("Nesterov") takes it at the parameters')
        if optimizer._ascending() is not None:
            raise TypeError("SAM cannot wrap SAM: give the one inside another rho")

    def ascend(self, params: Any, grads: Any) -> None:
        """Move parameters in place to where the gradients are to be evaluated. They have the forms that `step` takes.

        Raises what a step raises, and RuntimeError where a step or `restore` has not followed the last one; nothing has
        been changed then.
        """
        self._alone(self._engine._alone, self._ascend, params, grads)
        if self._skips:
            self._innermost._skip()

    def _ascend(self, params, grads):
        self._must_be_at_home("ascend")
        leaves = leaves_of(params, grads, self._paths, self._keys)
        if leaves.write_back is not None:
            raise TypeError("SAM moves arrays in place: make plain numbers among the parameters arrays, np.array(x)")
        if leaves.keys is not None and leaves.keys is not self._keys:
            self._keys = leaves.keys
        inner = self._innermost
        leaves = inner._moving(leaves)
        if self._engine.maximize != inner.maximize:
            self._engine.maximize = inner.maximize
        transaction, moved = Transaction(), dict(leaves.params)
        leaving = [self._displaced, partial(self.__dict__.update, _moved=moved)]
        if not moved:
            self._displaced.depart([])
            transaction.ended.extend(leaving)
            transaction.without_step()
            return
        plan = self._engine._planned(leaves.by_key, leaves.params, leaves.grads)        # checks everything
        length = plan.norm()
        if not isfinite(length):
            self._skips = True
            return
        factor = self.rho / length if length else 0.0
        self._engine.lr = factor if factor < MOST else 0.0
        self._engine._prepare(plan, {})
        self._displaced.depart(places(moved, self._rooms[not leaves.by_key]))
        transaction.first.extend(leaving)
        self._engine._run_planned(plan, transaction)

    def _must_be_at_home(self, what):
        if self._displaced.away or self._skips:
            raise RuntimeError(f"SAM: {what} between ascend and step: step(params, grads) with the gradients at the "
                               "parameters as they are now, or restore(params), comes first")

    def restore(self, params: Any = None) -> None:
        """Move parameters back to where they were before `ascend`, bit for bit: the step is given up.

        params are those that were moved. Where none are away, nothing happens. Raises ValueError for others.
        """
        self._alone(self._restore_all, params)

    def _restore_all(self, params):
        if params is not None and self._displaced.away:
            self._must_be_those(leaves_of(params, params, self._paths, None))
        self._displaced.back()
        self._moved, self._skips = None, False

    def _must_be_those(self, leaves):
        found = map(leaves.params.get, self._moved)
        if all(map(is_, found, self._moved.values())):
            return
        for key, p in self._moved.items():
            if not _same(leaves.params.get(key), p):
                raise ValueError(f"parameter {key!r} is not the one that ascend moved")

    def _taken(self, leaves, extra, transaction):
        if self._skips:
            transaction.ended.append(partial(self.__dict__.update, _skips=False))
            transaction.without_step()
            return False
        if not self._displaced.away:
            raise RuntimeError("SAM.step comes after ascend: sam.ascend(params, grads), then "
                               "sam.step(params, grads) with the gradients at the moved parameters")
        self._must_be_those(leaves)
        transaction.ended.extend([self._displaced.arrive, partial(self.__dict__.update, _moved=None)])
        return self._displaced.at_home(self._inner()._take, leaves, extra, transaction)

    def _ascending(self):
        return self

    def _dropping(self, key):
        self._must_be_at_home("forget")
        return []

    def _kept(self):
        self._must_be_at_home("a state or a copy is asked for")
        return {}

    def _restored(self, state):
        self._must_be_at_home("a state is put in")
        return {"_rooms": [{}, {}]}, []


def _same(one, other):
    """Whether two arrays lie in the same memory, element by element."""
    if not isinstance(one, np.ndarray):
        return False
    one, other = np.asarray(one), np.asarray(other)         # whatever a subclass says of itself
    return ((one.dtype, one.shape, one.strides, one.ctypes.data)
            == (other.dtype, other.shape, other.strides, other.ctypes.data))
