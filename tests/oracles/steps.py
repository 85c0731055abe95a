"""One step of an optimizer over named parameters: what happens around the rules of `oracles.optimizers`, in float64.

    g <- (-1 if maximize) * grad_scale * g
    g <- clipped by value, by a tensor's norm, by the norm of all, or unit by unit (AGC)
    g <- g + l2*p + l1*sign(p)
    g <- g - its mean over all axes but output_axis, if centralize
    p <- p - lr*weight_decay*p + rule(g), or p + rule(g) of a rule that `decays` by itself

Each parameter has its own rule, state and number of the step t, from 1; a value that is a function is called with it.
"""
from dataclasses import dataclass, field, fields
from fnmatch import fnmatchcase
from functools import cache

import numpy as np

from .optimizers import normal_draws

OPTIONS = {"weight_decay": 0, "l2": 0, "l1": 0, "clip_value": None, "clip_norm": None, "clip_adaptive": None,
           "maximize": False, "grad_scale": 1, "centralize": False, "output_axis": -1}
SMALLEST_UNIT = 1e-3            # AGC takes no norm of a parameter for smaller


@dataclass
class Group:
    which: tuple                # patterns, or one function of (key, parameter)
    freeze: bool = False
    values: dict = field(default_factory=dict)

    def fits(self, key, p):
        if callable(self.which[0]):
            return self.which[0](key, p)
        name = "/".join(map(str, key)) if isinstance(key, tuple) else str(key)
        return any(fnmatchcase(name, pattern) for pattern in self.which)


def group(*which, freeze=False, **values):
    return Group(which, freeze, values)


@cache
def rate_of(rule):
    """The hyperparameter that lr stands for; None where the rule has none, and lr is a factor of its deltas."""
    return next((one.name for one in fields(rule) if one.name in ("lr", "eta", "alpha")), None)


def norm(*tensors):
    """Of all elements; in long doubles, whose squares neither overflow nor vanish."""
    with np.errstate(all="ignore"):
        return float(np.sqrt(sum((np.asarray(a, np.longdouble)**2).sum() for a in tensors)))


def unit_norms(a, output_axis):
    """The norm of all elements with the same index on output_axis, in a shape that broadcasts against a."""
    rows = np.asarray(a, np.longdouble)**2
    if np.squeeze(rows).ndim < 2:
        return np.sqrt(rows.sum()).astype(float)
    return np.sqrt(rows.sum(axis=all_but(output_axis, a.ndim), keepdims=True)).astype(float)


def all_but(axis, ndim):
    return tuple(i for i in range(ndim) if i != axis % ndim)


def shrunk(g, norms, limit):
    """g, but for what has a norm beyond the limit: that gets it."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(norms > limit, g*(limit/norms), g)


class Loop:
    def __init__(self, rule, groups=(), clip_global_norm=None, rng=None, **values):
        self.rule, self.groups, self.clip_global_norm, self.rng = rule, groups, clip_global_norm, rng
        self.values = values
        known = {"lr"} | OPTIONS.keys() | {one.name for one in fields(rule)}
        assert all(known >= given.keys() for given in (values, *(one.values for one in groups)))
        self.rules, self.counts, self.group_of = {}, {}, {}
        self.skipped = 0

    @property
    def t(self):
        return max(self.counts.values(), default=0)

    def step(self, params, grads, t=None, **extra):
        """Puts new arrays into `params`. False, and nothing has changed, where a norm is NaN or infinite."""
        groups = {key: self.find_group(key, p) for key, p in params.items()}
        live = [key for key in params if grads[key] is not None and not (groups[key] and groups[key].freeze)]
        counts = {key: self.counts.get(key, 0) + 1 if t is None else t for key in live}
        settings = {key: self.settings(groups[key], counts[key]) for key in live}
        p = {key: np.asarray(params[key], float) for key in live}
        g = {key: self.scaled(np.asarray(grads[key], float), settings[key]) for key in live}

        g, norms = self.clipped(g, p, settings, t or self.t + 1)
        if not np.isfinite(norms).all():
            self.skipped += 1
            return False
        self.group_of.update((key, groups[key]) for key in live)
        self.counts.update(counts)
        for key in live:
            self.told(self.rules.setdefault(key, self.rule()), settings[key])
        drawn = self.draws(live, p)
        if self.rule.decays:
            extra = {"weight_decay": None, **extra}
        if self.rule.joint:
            params.update(self.moved_together(live, p, g, settings, extra))
            return True
        for key in live:
            values = settings[key]
            read = {"p": p[key]} if self.rule.reads_p else {}
            if self.rule.decays:
                extra["weight_decay"] = values["weight_decay"]
            delta = self.delta(key, self.regularised(g[key], p[key], values), values, **read, **extra, **drawn[key])
            with np.errstate(invalid="ignore", over="ignore"):
                rate = self.decay_rate(key, values, g[key])*values["weight_decay"]
                params[key] = (p[key] - rate*p[key] if rate else p[key]) + delta
        return True

    def moved_together(self, live, p, g, settings, extra):
        """The parameters after a step of a rule that sees one tensor, for which all have the same values and age."""
        if not live:
            return {}
        values = settings[live[0]]
        assert all(settings[key][name] == values[name] for key in live for name in ("weight_decay", "lr"))
        whole, before = (np.concatenate([np.ravel(a[key]) for key in live]) for a in (
            {key: self.regularised(g[key], p[key], settings[key]) for key in live}, p))
        if self.rule.decays:
            extra["weight_decay"] = values["weight_decay"]
        read = {"p": before} if self.rule.reads_p else {}
        first = self.rules.setdefault("", self.rules[live[0]])
        self.rules[live[0]] = first
        self.told(first, values)
        after = before + self.delta(live[0], whole, values, **read, **extra)
        ends = np.cumsum([p[key].size for key in live])
        return {key: part.reshape(p[key].shape) for key, part in zip(live, np.split(after, ends[:-1]))}

    @staticmethod
    def told(rule, values):
        for one in fields(rule):
            setattr(rule, one.name, values[one.name])
        rule.output_axis = values["output_axis"]

    def find_group(self, key, p):
        if key in self.group_of:
            return self.group_of[key]
        return next((one for one in self.groups if one.fits(key, p)), None)

    def settings(self, group, t):
        """All hyperparameters and options of one parameter at its step t."""
        own = {one.name: one.default for one in fields(self.rule)}
        found = {"lr": 1} | OPTIONS
        for values in (own, self.values, group.values if group else {}):
            for name, value in values.items():
                name = (rate_of(self.rule) or name) if name == "lr" else name
                scheduled = callable(value) and not callable(own.get(name))
                found[name] = value(t) if scheduled else value
        return found

    def rate(self, values):
        return values[rate_of(self.rule) or "lr"]

    def decay_rate(self, key, values, g):
        if self.rule.decays:
            return 0
        own = self.rules[key].decay_rate(values, g, self.counts[key])
        return self.rate(values) if own is None else own

    @staticmethod
    def scaled(g, values):
        with np.errstate(invalid="ignore", over="ignore"):
            return (-1 if values["maximize"] else 1)*values["grad_scale"]*g

    def clipped(self, g, p, settings, t):
        """(the gradients, all norms that were needed)."""
        norms, out = [], {}
        if self.clip_global_norm is not None:
            limit = self.clip_global_norm(t) if callable(self.clip_global_norm) else self.clip_global_norm
            norms.append(norm(*g.values()))
            return {key: shrunk(one, norms[0], limit) for key, one in g.items()}, norms
        for key, one in g.items():
            values = settings[key]
            if values["clip_value"] is not None:
                one = np.clip(one, -values["clip_value"], values["clip_value"])
            elif values["clip_norm"] is not None:
                norms.append(norm(one))
                one = shrunk(one, norms[-1], values["clip_norm"])
            elif values["clip_adaptive"] is not None:
                size = np.maximum(unit_norms(p[key], values["output_axis"]), SMALLEST_UNIT)
                found = unit_norms(one, values["output_axis"])
                norms.extend(np.ravel(found))
                one = shrunk(one, found, values["clip_adaptive"]*size)
            out[key] = one
        return out, norms

    @staticmethod
    def regularised(g, p, values):
        if values["l2"]:
            g = g + values["l2"]*p
        if values["l1"]:
            g = g + values["l1"]*np.sign(p)
        if values["centralize"] and g.ndim > 1 and g.size:
            with np.errstate(invalid="ignore", over="ignore"):
                g = g - g.mean(axis=all_but(values["output_axis"], g.ndim), keepdims=True)
        return g

    def draws(self, live, p):
        """Noise, where rules take any."""
        tensors = [(self.rules[key], p[key].shape, self.counts[key]) for key in live]
        return dict(zip(live, normal_draws(self.rng, tensors)))

    def delta(self, key, g, values, **extra):
        delta = self.rules[key].delta(g, self.counts[key], **extra)
        return delta if rate_of(self.rule) else values["lr"]*delta
