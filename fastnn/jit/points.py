"""Where formulas are evaluated before they are registered: numbers, and values of the hyperparameters."""

FACTORS = (0.75, 1.5)               # of the other values
BESIDE = (0.3137, 1.0, 0.0, -0.7071, 2.236, -5.43)      # what others are while one element is examined: 0 and 1 for targets


def points(count):
    """Numbers of both signs between 1e-3 and 30, none of them round."""
    return [1.0131e-3*29371.3**(i/(count - 1))*(-1)**i for i in range(count)]


def others(hyperparameters, declared):
    """Other values of the hyperparameters, as far as their ranges allow."""
    for factor in FACTORS:
        found = {}
        for key, value in hyperparameters.items():
            other = value*factor or factor
            found[key] = other if key not in declared or allows(declared[key], other) else value
        if found != hyperparameters:
            yield found


def allows(hyperparameter, value):
    """Whether a Hyperparameter's range has a number."""
    inside = hyperparameter.above < value < hyperparameter.below and value >= hyperparameter.at_least
    return inside and (not hyperparameter.integer or value == int(value))


def apart(elements, declared=()):
    """Each element, with what the others are meanwhile: pairs of its name and a dict. `declared`: the ranges of some."""
    for element in elements:
        rest = [other for other in elements if other != element]
        for i in range(len(BESIDE) if rest else 1):
            values = {other: BESIDE[(i + 2*j) % len(BESIDE)] for j, other in enumerate(rest)}
            yield element, {other: declared[other].example() if other in declared and not allows(declared[other], x) else x
                            for other, x in values.items()}
