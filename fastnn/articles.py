"""Article A, "Localization and Loss Function": a program written after it runs by this import line alone.

The article is a catalogue of activations, optimizers and losses, each with its formula and a listing in NumPy; fastnn's
names and calls (`get_act`, `get_opt`, `get_err`, an `update` that returns deltas) are its. What documentation and
messages call article A is this one, and like="article" its arithmetic.

    from fastnn.articles import get_act, get_opt, get_err

These are fastnn's own functions with like="article". Where the article's code is wrong, fastnn is right;
docs/imports.md has the table.
"""
from typing import Any

from . import get_act as _get_act, get_err as _get_err, get_opt as _get_opt

__all__ = ["get_act", "get_err", "get_opt"]


def get_act(name: str, *args: Any, **kwds: Any) -> Any:
    """The activation that the article has by that name, with its defaults: fastnn.get_act(name, like="article")."""
    return _get_act(name, *args, like=_article(kwds), **kwds)


def get_opt(name: str, *args: Any, **kwds: Any) -> Any:
    """The optimizer that the article has by that name: fastnn.get_opt(name, like="article").

    Its arithmetic in double precision has the article's bits, but for Nadam, Eve, AdaBound and AMSBound, which round in
    another order, and SMORMS3, whose code is wrong.
    """
    return _get_opt(name, *args, like=_article(kwds), **kwds)


def get_err(name: str, *args: Any, **kwds: Any) -> Any:
    """The error function that the article has by that name: fastnn.get_err(name, like="article")."""
    return _get_err(name, *args, like=_article(kwds), **kwds)


def _article(kwds):
    if "like" in kwds:
        raise TypeError("like: functions of fastnn.articles are like='article' by themselves; those of fastnn take it")
    return "article"
