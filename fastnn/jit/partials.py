"""The derivatives of a formula of several elements, in each: the others are held, as hyperparameters are.

So everything that is known of formulas of one element - the chain rule, joints, checks - holds for each of them, with
several values of the others.
"""
from . import disk, graph
from .algebra import div, mul, rebuilt
from .entries import Underivable
from .errors import FormulaError
from .points import apart, others


def derivatives(name, value, elements, wanted, hyperparameters, declared, given=None, line=None):
    """The derivatives of a graph, derived, or `given` and checked.

    Parameters
    ----------
    name : str
        Of the formula, for messages.
    value : Node
    elements, wanted : sequence of str
        All, and those in which derivatives are.
    hyperparameters, declared : mapping
        Their defaults and what they may be; `declared` may have elements, too.
    given : sequence of Node, optional
    line : (file, number), optional
        Where they are given.

    Raises
    ------
    FormulaError
        For a wrong one that was given, and for a formula that cannot be checked.
    Underivable
        Where the chain rule finds none.
    """
    key = _key(value, elements, wanted, hyperparameters, declared, given)
    text = disk.load(key)
    if text:
        return graph.undumped(text.decode())
    found = [_derivative(name, value, elements, element, hyperparameters, declared, given and given[i], line)
             for i, element in enumerate(wanted)]
    disk.store(key, graph.dumped(found).encode())
    return found


def _key(value, elements, wanted, hyperparameters, declared, given):
    return disk.key("partial derivatives", graph.dumped([value, *(given or ())]), repr(bool(given)),
                    repr(list(elements)), repr(list(wanted)), repr(hyperparameters),
                    *(f"{name} {one.above} {one.at_least} {one.below} {one.integer}" for name, one in declared.items()))


def _derivative(name, value, elements, element, hyperparameters, declared, given, line):
    from .checks import Underived, check_derivatives
    from .derivatives import derived
    from .joints import Joints
    from .mending import mended
    value, given = held(value, elements, element), given and held(given, elements, element)
    rests = [rest for one, rest in apart(elements, declared) if one == element]
    first, *more = [{**rest, **hyperparameters} for rest in rests]
    more += [{**rest, **values} for values in others(hyperparameters, declared) for rest in rests[:2]]
    try:
        chained = given or derived(value, element)
    except FormulaError as error:
        raise Underivable(error) from None
    joints = Joints(value, first, more=[given] if given else (), element=element, settings=more)
    found = given or mended(chained, 1, joints)
    try:
        check_derivatives(f"{name} in {element}", value, found, None, first, (line, None), element=element, joints=joints,
                          given=(1,) if given else (), more=more)
    except Underived as error:
        raise Underivable(error) from None
    return released(found, elements, element)


def held(root, elements, element):
    """The graph with all other elements as parameters."""
    return graph.replaced([root], {graph.element(other): graph.parameter(other)
                                   for other in elements if other != element})[0]


def released(root, elements, element):
    """The graph with those as elements again. What had been divided once a call is divided where it stands: 1/t may
    overflow where x/t does not."""
    leaves = {graph.parameter(other): graph.element(other) for other in elements if other != element}
    return rebuilt(graph.replaced([root], leaves)[0], _divided)


def _divided(current):
    if current.op != "mul":
        return current
    for one, other in (current.args, current.args[::-1]):
        if one.op == "div" and one.args[0].uniform and not one.uniform:
            return div(mul(one.args[0], other), one.args[1])
    return current
