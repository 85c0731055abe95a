"""Rows of a library's dialect: functions with its signature, which say what is meant in words of the catalogue."""
from collections.abc import Mapping
from functools import partial
from inspect import Parameter, signature

from ..activations import _registry as activations
from ..groups import Group
from ..losses import _registry as losses
from ..losses.base import Loss
from ..optimizers import _registry as optimizers
from ..optimizers.base import Optimizer
from ..registry import hint


class Rule(Optimizer):
    """An optimizer with a library's own arithmetic, under its words. Subclasses have `name` and `like` in their body."""

    given = {}                  # the arguments that chose it among those of its name

    def _shown_values(self):
        return [*super()._shown_values(), *(f"{name}={value!r}" for name, value in self.given.items())]

    def __repr__(self):
        """Options whose name means something else in the library stand behind it: within, they would be read as that."""
        entry = optimizers.dialect(self.like)[self.name]
        apart = [name for name in Optimizer.options
                 if not self._is_default_option(name) and not entry.means(name, self.__dict__[name])]
        shown = super().__repr__()
        if not apart:
            return shown
        said = [f", {name}={self.__dict__[name]!r}" for name in apart]
        for text in said:
            shown = shown.replace(text, "", 1)
        return f"<{shown} with {''.join(said)[2:]}>"

    def _is_default_option(self, name):
        value, default = self.__dict__[name], getattr(type(self), name).default
        return value is default or value == default


class Dialect:
    """What the rows of a library share.

    Parameters
    ----------
    like : str
        As in ``get_opt(name, like=...)``.
    lacks : dict
        name -> "" or a sentence: arguments that the library has and fastnn does not. None, False and what the library
        has as default are accepted.
    shared : function, optional
        With the arguments that all its optimizers have besides their own; returns the options that they mean.
    """

    def __init__(self, like, lacks, shared=None):
        self.like, self.lacks, self.shared = like, lacks, shared
        self.opt = partial(self._row, optimizers)
        self.act = partial(self._row, activations)
        self.err = partial(self._row, losses)

    def _row(self, registry, *names):
        """Decorates a function that returns (a name in the catalogue or a class, its arguments), as the row of names."""
        def entered(function):
            shared = self.shared if registry is optimizers else None
            registry.dialect(self.like).add(names[0], Row(function, names[0], registry, self, shared), names[1:])
            return function
        return entered

    def same(self, registry, names):
        """Enter what is the catalogue's own and has no arguments in the library: name there -> name in the library."""
        for name, theirs in names.items():
            self._row(registry, *theirs.split())(without_arguments(name))


class Row:
    """What a library has by a name: called with its arguments, makes what it is here.

    Everything that the catalogue's optimizers take besides the hyperparameters of their rules, and a loss's `reduction`, are
    taken, too; where the library has an argument of that name, its meaning wins.
    """

    def __init__(self, function, name, registry, dialect, shared):
        self.function, self.name, self.registry, self.dialect, self.shared = function, name, registry, dialect, shared
        self.like, self.__doc__ = dialect.like, function.__doc__
        own = list(signature(function).parameters.values())
        if shared is not None:
            known = {parameter.name for parameter in own}
            own += [each.replace(kind=Parameter.KEYWORD_ONLY) for each in signature(shared).parameters.values()
                    if each.name not in known]
        self.parameters = {parameter.name: parameter for parameter in own}
        self.options = ()
        if registry is optimizers:
            self.options = tuple(name for name in (*Optimizer.options, "state_dtype") if name not in self.parameters)
        elif registry is losses:
            self.options = tuple(name for name in Loss.options if name not in self.parameters)
        shown = Loss if registry is losses else Optimizer
        self._whole = signature(function).replace(parameters=own)
        self.__signature__ = signature(function).replace(
            parameters=[*(each for each in own if each.name not in dialect.lacks),
                        *(shown.__signature__.parameters[name] for name in self.options if name != "state_dtype")])

    def __call__(self, *args, **kwds):
        if args and self.registry is optimizers and (
                isinstance(args[0], (Mapping, list, tuple)) or getattr(args[0], "ndim", 0)):
            raise TypeError(f"{self} takes no parameters at construction: pass them to each step, "
                            "opt.step(params, grads)")
        options = {name: kwds.pop(name) for name in (*self.options, "groups") if name in kwds}
        if unknown := [name for name in kwds if name not in self.parameters]:
            near = hint(unknown[0], (*self.__signature__.parameters, *self.options))
            raise TypeError(f"{self} has no argument {unknown[0]!r}{near}")
        try:
            given = self._whole.bind(*args, **kwds)
        except TypeError as error:
            raise TypeError(f"{self}: {error}") from None
        given.apply_defaults()
        cls, values = self._meant(given.arguments)
        if both := [name for name in options if name in values and not self._is_default(cls, name, values[name])]:
            raise TypeError(f"{self}: {both[0]} is given twice, by an argument of {self.dialect.like} and by name")
        if groups := options.get("groups"):
            options["groups"] = [self._group(one, given.arguments, cls, values) if isinstance(one, Group) else one
                                 for one in groups] if isinstance(groups, (list, tuple)) else groups
        return cls(**{**values, **options})

    def _meant(self, given):
        """(the class, its arguments) of what the library's arguments mean."""
        for name, said in self.dialect.lacks.items():
            value = given.get(name)
            if not (value is None or value is False or self._is_own_default(name, value)):
                raise TypeError(f"{self}: fastnn has no {name}{said and f': {said}'}")
        own = signature(self.function).parameters
        around = {} if self.shared is None else self.shared(**{
            name: given[name] for name in signature(self.shared).parameters if name not in own})
        try:
            cls, values = self.function(**{name: given[name] for name in own})
        except (TypeError, ValueError) as error:
            raise type(error)(f"{self}: {error}") from None
        return self.registry.catalogued(cls) if isinstance(cls, str) else cls, {**around, **values}

    def means(self, name, value):
        """Whether a word, an option of fastnn's, is that option in the library, too."""
        if name not in self.parameters:
            return True
        given = {key: each.default for key, each in self.parameters.items()}
        return self._meant({**given, name: value})[1].get(name) == value

    def _is_own_default(self, name, value):
        default = self.parameters[name].default
        return type(value) is type(default) and value == default

    @staticmethod
    def _is_default(cls, name, value):
        return same(value, cls.__signature__.parameters[name].default)

    def _group(self, one, given, cls, values):
        """The group with its values in words of the catalogue, where they are the library's."""
        own = {name: value for name, value in one.values().items() if name in self.parameters}
        if not own:
            return one
        other, meant = self._meant({**given, **own})
        if other is not cls:
            raise TypeError(f"{self}, {one!r}: {', '.join(own)} would change the rule")
        changed = {name: value for name, value in meant.items() if name not in values or not same(value, values[name])}
        rest = {name: value for name, value in one.values().items() if name not in own}
        return Group(one.which, one.freeze, {**rest, **changed})

    def __str__(self):
        maker = {id(optimizers): "get_opt", id(activations): "get_act", id(losses): "get_err"}[id(self.registry)]
        return f"{maker}({self.name!r}, like={self.like!r})"


def without_arguments(name):
    def row():
        return name, {}
    return row


def same(one, other):
    return one is other or not callable(one) and not callable(other) and one == other


def pair(value, name):
    """The two elements of a value. Raises TypeError."""
    try:
        first, second = value
    except (TypeError, ValueError):
        raise TypeError(f"{name} must be a pair, not {value!r:.80}") from None
    return first, second


def is_zero(value):
    """Whether an argument is absent: None, or a number that is 0. A schedule is none."""
    return value is None or not callable(value) and value == 0
