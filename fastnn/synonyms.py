"""Other libraries' words for hyperparameters: which are understood, and what is said of those that are not."""
from typing import Any

from .registry import folded, hint, nearest

RATE = object()
SYNONYMS = {
    "lr": (RATE,), "learning_rate": (RATE,), "stepsize": (RATE,), "step_size": (RATE,), "epsilon": ("eps",),
    "beta_1": ("beta1",), "b1": ("beta1",), "beta_2": ("beta2",), "b2": ("beta2",), "betas": ("beta1", "beta2"),
    "decay_rate": ("rho",)}
NESTEROV = {"beta1": "mu", "beta2": "nu"}       # Dozat's letters, in rules that have both

# Words that are too ambiguous to be taken for one another, but worth naming. The first line is of learning rates.
RELATED = (
    ("alpha", "eta", "rate", "learn_rate", "initial_lr", "base_lr"),
    ("momentum", "mu", "beta1", "beta"),
    ("rho", "decay_rate", "smoothing", "smoothing_constant", "discounting_factor", "nu", "beta2"),
    ("alpha", "negative_slope", "slope"),
    ("axis", "dim"), ("epsilon", "eps"), ("temperature", "tau", "T"), ("reduction", "reduce", "size_average"),
    ("class_weight", "weight", "pos_weight"), ("ignore_label", "ignore_index", "ignore_class"),
    ("clip_global_norm", "global_clipnorm", "clip_by_global_norm"), ("clip_norm", "clip_by_norm"),
    ("max_norm", "max_grad_norm", "clip_global_norm", "clip_norm"), ("clip_value", "clip", "gradient_clip"),
    ("weight_decay", "wd"), ("grad_scale", "rescale_grad", "loss_scale"))
# Words of which a sentence is said; {} is the decay of an average of squares.
ELSEWHERE = {
    "decay": "optax's decay is {}; parameters decay by weight_decay, the learning rate by a schedule",
    "alpha": "PyTorch's alpha is {}; the learning rate is {rate}",
    "gamma": "a learning rate decays by a schedule: fastnn.schedules",
    "lr_decay": "a learning rate decays by a schedule: fastnn.schedules",
    "momentum": 'get_opt("SGD", momentum=0.9) has it',
    "dampening": 'get_opt("SGD", momentum=0.9, dampening=0.1) has it',
    "nesterov": 'get_opt("SGD", momentum=0.9, nesterov=True) has it',
    "use_nesterov": 'get_opt("SGD", momentum=0.9, nesterov=True) has it',
    "amsgrad": 'get_opt("AMSGrad") is that',
    "centered": 'get_opt("RMSprop", centered=True) has it; centralize takes the mean out of gradients',
    "centred": 'get_opt("RMSprop", centered=True) has it; centralize takes the mean out of gradients',
    "freeze": 'a group freezes parameters: groups=[group("b*", freeze=True)]',
    "warmup": "a learning rate warms up in a schedule: schedules.cosine(1e-3, 10_000, warmup=500)",
    "zero_grad": "gradients are given to each step, none are kept",
    "apply_gradients": "step(params, grads) takes two lists or two dicts",
    "iter": "the number of steps is opt.t", "iterations": "the number of steps is opt.t"}
# What other libraries have, and nothing here is like.
UNLIKE = ("eps", "foreach", "fused", "capturable", "differentiable", "use_ema", "ema_momentum", "beta3", "tau", "delta",
          "step", "steps", "minimize", "weights")
MISSPELLED = 0.8              # of words that the class lacks
LIKENESS = 0.6                  # from here on one word is taken for another, misspelled: "eps" is no "step_size"
KNOWN = frozenset((*SYNONYMS, *ELSEWHERE, *UNLIKE)).union(*RELATED)


class Synonym:
    """An attribute that stands for another hyperparameter, or for several as a tuple."""

    def __init__(self, *names):
        self.names = names
        self.__doc__ = f"The same as {' and '.join(names)}."

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        if instance is None:
            return self
        if len(self.names) == 1:
            return getattr(instance, self.names[0])
        return tuple(getattr(instance, name) for name in self.names)

    def __set__(self, instance: Any, value: Any) -> None:
        cls = type(instance)
        values = dict(zip(self.names, parts(self.names, value)))
        instance._set({name: getattr(cls, name).checked(part) for name, part in values.items()})


def parts(names, value):
    """The values of these names: `value` itself for one, its elements for several. Raises TypeError."""
    if len(names) == 1:
        return (value,)
    try:
        found = tuple(value)
    except TypeError:
        found = ()
    if len(found) != len(names) or isinstance(value, (str, bytes)):
        several = "a pair" if len(names) == 2 else f"a sequence of {len(names)}"
        raise TypeError(f"{several} ({', '.join(names)}) is expected, not {value!r}")
    return found


def synonyms_of(cls):
    """Word -> names, for a class with its hyperparameters, options and learning rate."""
    own = (*cls.hyperparameters, *cls.options)
    here = {RATE: cls._rate_name}
    if {"mu", "nu"} <= set(own):
        here |= NESTEROV
    words = SYNONYMS | {word: (word,) for word in NESTEROV}
    if {"eta", "base_lr"} <= set(own):
        words |= {"final_lr": ("eta",)}         # AdaBound's authors' word for it
    words |= cls.words
    found = {word: tuple(here.get(name, name) for name in names) for word, names in words.items()}
    return {word: names for word, names in found.items() if word not in own and set(names) <= set(own)}


def meaning(cls, word):
    """The class's own names for a word, as a tuple; empty where it has none."""
    if word in cls.hyperparameters or word in cls.options:
        return (word,)
    return cls._synonyms.get(word, ())


def canonical(cls, given, title, of_group=False):
    """Values by the class's own names. Raises TypeError for an unknown name, and for two words that mean the same."""
    found, words = {}, {}
    for word, value in given.items():
        names = meaning(cls, word)
        if not names:
            raise TypeError(unknown(cls, word, title, of_group))
        for name in names:
            if name in words:
                first, second = sorted((words[name], word), key=lambda spelled: spelled == name)
                is_both = f"is {' and '.join(meaning(cls, first))}" if second == name else f"and {second} are {name}"
                raise TypeError(f"{title}: {first} {is_both}, give one of them")
            words[name] = word
        found.update(zip(names, parts(names, value)))
    return found


def unknown(cls, word, title, of_group=False, noun="hyperparameter"):
    """What is said of a name that the class does not have, or that a group of such an optimizer does not have."""
    if of_group and word in cls._other_arguments:
        return f"{title}: {word} is the optimizer's, not a group's"
    return f"{title} has no {noun} {word!r}{advice(cls, word)}"


def advice(cls, word):
    """In parentheses, what may have been meant by a name that the class does not have.

    Of words that mean something else, which the class lacks, none that is merely spelled alike.
    """
    if word in cls.hints:
        return f" ({cls.hints[word]})"
    own = (*cls.hyperparameters, *cls.options)
    for names in (own, cls._other_arguments, cls._synonyms):
        if same := [name for name in names if folded(name) == folded(word)]:
            return f" (did you mean {same[0]}?)"
    near = [name for names in RELATED[1:] if word in names for name in names if name in own]
    if text := _elsewhere(cls, word, own, near):
        return f" ({text})"
    if word in RELATED[0] and cls._rate_name in own:
        near = [cls._rate_name]
    if near:
        return f" (did you mean {' or '.join(near)}?)"
    if word.lower() in KNOWN:
        return ""
    return (hint(word, (*own, *cls._other_arguments), LIKENESS) or hint(word, cls._synonyms, LIKENESS)
            or _misspelled(cls, word, own))


def _misspelled(cls, word, own):
    """The same as _elsewhere, of a word that is nearly one of those."""
    meant = next(iter(nearest(word, ELSEWHERE, MISSPELLED)), None)
    text = _elsewhere(cls, meant, own, ()) if meant else ""
    return f" (did you mean {meant}? {text})" if text else ""


def _elsewhere(cls, word, own, near):
    """A sentence about a word that means something of its own in optimizers, or ""."""
    if word not in ELSEWHERE or cls._rate_name is None or word == "momentum" and near:
        return ""
    averages = [name for name in ("rho", "decay_rate") if name in own]
    if word in ("alpha", "decay") and not averages:
        return "" if word == "alpha" else ELSEWHERE[word].partition("; ")[2]
    return ELSEWHERE[word].format(*averages, rate=cls._rate_name)
