"""What every optimizer takes besides the hyperparameters of its rule: options by keyword, and groups of parameters."""
from collections.abc import Sequence
from typing import Any

from .groups import Group, bound
from .hyperparameters import Configurable, Flag, Option

CLIPS = ("clip_value", "clip_norm", "clip_global_norm", "clip_adaptive")


def weight(default=0.0):
    return Option(default, at_least=0)


def limit(shared=""):
    return Option(None, above=0, optional=True, shared=shared)


class Adjustable(Configurable):
    """An object with a learning rate, options and groups, whose numbers may be schedules.

    Attributes
    ----------
    groups : tuple of Group
        The groups given at construction, in order.
    """

    _scheduled = True
    _other_arguments = ("groups",)
    _groups = ()
    _resolved = None            # of groups.numbers_at

    weight_decay = weight()     # p -= lr weight_decay p, beside the rule's delta
    l2 = weight()               # g += l2 p
    l1 = weight()               # g += l1 sign(p)
    clip_value = limit()
    clip_norm = limit()
    clip_global_norm = limit("it is one norm over all parameters of a step")
    clip_adaptive = limit()
    maximize = Flag()
    grad_scale = Option(1.0)
    centralize = Flag()
    output_axis = Option(-1, at_least=-64, below=64, integer=True, scheduled=False)     # NumPy has 64 axes at most

    def __init__(self, *args: Any, groups: Sequence[Group] = (), **kwds: Any) -> None:
        self._groups = ()
        super().__init__(*args, **kwds)
        self._groups = bound(groups, self)

    @property
    def groups(self) -> tuple[Group, ...]:
        return self._groups

    def _check_together(self, values):
        if not values.keys().isdisjoint(CLIPS):
            values = {**self.__dict__, **values}
            self._check_clips(values, self._title())
            for group in self._groups:
                self._check_together_with(group, group.values(), values)

    def _check_together_with(self, group, own, values=None):
        """Raises ValueError where a group's own values do not go with one another, or with the optimizer's."""
        self._check_clips({**(self.__dict__ if values is None else values), **own}, repr(group))

    def _check_clips(self, values, title):
        given = [name for name in CLIPS if values.get(name) is not None]
        if len(given) > 1:
            raise ValueError(f"{title}: gradients are clipped by one of {' and '.join(given)}, set the others to None")

    def _shown_values(self):
        shown = super()._shown_values()
        return [*shown, f"groups={list(self._groups)!r}"] if self._groups else shown

    def _refused(self, name, done=None):
        if name == "groups":
            return (f"groups of {self._title()} cannot be {done}: they are given at construction, groups=[...]; their "
                    "values can be set, as in opt.groups[0].lr = 0.1")
        if name == "t":
            return ("t cannot be set: the number of steps is counted per parameter; update(..., t=t) takes another for "
                    "that step, and load_state_dict sets them all")
        if name in getattr(self, "slots", ()):
            return f"{name} is state of each parameter: see opt.state, opt.forget and opt.load_state_dict"
        return super()._refused(name, done)
