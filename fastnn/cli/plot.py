"""The command ``fastnn plot``: activations and losses with their derivatives, optimizers' paths, or schedules."""
import numpy as np

import fastnn
from fastnn.hyperparameters import REQUIRED
from fastnn.losses import Elementwise
from fastnn.registry import folded, hint, listed
from fastnn.schedules import catalogue

from .catalog import CATALOGUES, resolve
from .errors import as_user_error, require
from .experiment import build_optimizer
from .families import named
from .files import OutputFolder

__all__ = ["run"]

# What has no default hyperparameters.
EXAMPLES = {
    "threshold": {"threshold": 1.0, "value": -1.0},
    "maxout": {"n_prev": 1, "n": 1, "k": 3},
}
START, STEPS = (-7.0, 2.0), 30      # as in "Deep Learning from Scratch", chapter 6
# The rates among which each optimizer's own is found: 1, 1.5, 2, 3, 5, 7 times powers of ten.
RATES = [round(digit * 10.0**power, 6) for power in range(-4, 2) for digit in (1, 1.5, 2, 3, 5, 7)]
LASTING, IMPROVING = 1100, 200      # steps of a schedule that are drawn; those for which a metric improves


def run(options):
    """Draw the picture that was asked for and return the exit status."""
    require("matplotlib")
    drawn = trajectories if options.trajectories else schedules if options.schedules else activations
    folder, name = options.out
    name = name or f"{drawn.__name__}.png"
    draw = drawn(options.names)
    target = OutputFolder(folder, [name]).write(name, draw)
    print(f"wrote {target}")
    return 0


def activations(names):
    """A function that draws the activations and losses `names`, or all activations, to a file."""
    with as_user_error():
        samples, kinds = {}, set()
        for name in names or fastnn.activations():
            of_loss = name not in CATALOGUES["activations"] and name in CATALOGUES["losses"]
            name, note, function = loss_sample(name) if of_loss else sample(name)
            samples[name] = note, function
            kinds.add("losses" if of_loss else "activations")
    from .figures.shapes import draw_shapes
    return lambda file: draw_shapes(file, samples, " and ".join(sorted(kinds)).capitalize())


def sample(name):
    """(name, note, function) of one activation; the function gives f, f' and, where there is one, f'' at abscissas (n,)."""
    name = resolve("activations", name)
    registered = CATALOGUES["activations"].registered(name)
    act = fastnn.get_act(name, **(without_defaults(name) if registered else EXAMPLES.get(name, {})))
    if name == "maxout" and not registered:
        act.w, act.b = np.array([[-0.8, 0.2, 1.0]]), np.array([-1.5, 0.5, -1.0])
        return name, "the largest of 3 lines", lambda x: layer_values(act, x)
    if act.kind == "gated":
        return name, "the gate, a = 1", lambda x: gate_values(act, x)
    if act.kind == "concatenated":
        return name, "the first of its two outputs", lambda x: first_output(act, x)
    if act.kind == "random":
        act.training = False
        if "axis" in act.hyperparameters:
            return name, "without noise, one of 3 coordinates, the others 0", lambda x: first_coordinate(act, x)
        return name, f"r = {(act.lower + act.upper) / 2:g}, the mean", lambda x: values_with_slope(act, x)
    if act.kind == "learnable":
        note = ", ".join(f"{key} = {value[0]:g}" for key, value in act.params.items())
        return name, f"{note} at first", lambda x: values_with_slope(act, x)
    if act.kind == "rows":
        return name, "one of 3 coordinates, the others 0", lambda x: coordinate_values(act, x)
    note = ", ".join(f"{key.strip('_')} = {getattr(act, key):g}" for key in act.hyperparameters)
    return name, note, lambda x: (act.forward(x), act.backward(x), act.d2y(x))


def loss_sample(name):
    """(name, note, function) of one elementwise loss; the function gives it and its derivative at predictions (n,)."""
    name = resolve("losses", name)
    err = fastnn.get_err(name, **without_defaults(name, "losses"))
    if not isinstance(err, Elementwise):
        raise ValueError(f"{name} is a loss of whole rows: there is no curve to draw")
    note = ", ".join(["t = 1", *(f"{key.strip('_')} = {getattr(err, key)}" for key in err.hyperparameters)])

    def function(y):
        with np.errstate(all="ignore"):
            return err.value_and_grad(y, np.ones_like(y))
    return name, note, function


def without_defaults(name, catalogue="activations"):
    """A number for each hyperparameter of a registered activation or loss that has no default."""
    cls = CATALOGUES[catalogue][name]
    found = {key: getattr(cls, key) for key in cls.hyperparameters}
    return {key: each.example() for key, each in found.items() if each.default is REQUIRED}


def coordinate_values(act, x):
    """The first coordinate of act(x, 0, 0) and its derivatives with respect to x."""
    rows = np.zeros((len(x), 3))
    rows[:, 0] = x
    return [values[:, 0] for values in (act.forward(rows), act.backward(rows), act.d2y(rows))]


def gate_values(unit, x):
    """a f(x) for a = 1, and its derivative in x."""
    one = np.ones_like(x)
    return unit.forward(one, gate=x), unit.backward(one, grad=one, gate=x)[1]


def first_output(act, x):
    """The first of the outputs that each x has, and its derivative."""
    column = x[:, np.newaxis]
    y = act.forward(column)
    grad = np.zeros_like(y)
    grad[:, 0] = 1
    return y[:, 0], act.backward(column, grad=grad)[:, 0]


def first_coordinate(act, x):
    """The first coordinate of act(x, 0, 0) and its derivative in x."""
    rows, grad = np.zeros((2, len(x), 3))
    rows[:, 0], grad[:, 0] = x, 1
    return act.forward(rows)[:, 0], act.backward(rows, grad=grad)[:, 0]


def values_with_slope(act, x):
    return act.forward(x), act.backward(x, grad=np.ones_like(x))


def layer_values(layer, x):
    """A layer of one input and one output."""
    column = x[:, np.newaxis]
    y = layer.forward(column)
    return [values[:, 0] for values in (y, layer.backward(np.ones_like(y)), layer.d2y(column))]


def trajectories(names):
    """A function that draws the paths of the optimizers `names`, or all, to a file."""
    with as_user_error():
        chosen = named(names or fastnn.optimizers())
    paths = [(name, *best_path(name)) for name in chosen]
    from .figures.paths import draw_paths
    note = (f"{STEPS} steps from ({START[0]:g}, {START[1]:g}); "
            "each optimizer at the learning rate that keeps f lowest on average")
    return lambda file: draw_paths(file, paths, valley, note)


def valley(x, y):
    return x**2 / 20 + y**2


def slope(point):
    return point * (1 / 10, 2.0)


def best_path(name):
    """(lr, points) of the rate whose path has the lowest mean of f."""
    with np.errstate(all="ignore"):     # the highest rates lead far away
        paths = [(lr, path(name, lr)) for lr in RATES]
        return min(paths, key=lambda found: np.nan_to_num(valley(*found[1].T).mean(), nan=np.inf))


def path(name, lr):
    """The points (STEPS + 1, 2) that the optimizer passes; fewer, the last one infinite, if it runs away."""
    opt = build_optimizer(name, lr)
    point, points = np.array(START), [START]
    for _ in range(STEPS):
        ahead = opt.gradient_point({"point": point})["point"]
        opt.update({"point": point}, {"point": slope(ahead)}, f=valley(*point))
        points.append(tuple(point))
        if not np.isfinite(valley(*point)):
            points[-1] = (np.inf, np.inf)
            break
    return np.array(points)


def schedules(names):
    """A function that draws the schedules `names`, or all, to a file."""
    with as_user_error():
        samples = {name: course(name) for name in map(schedule_name, names or catalogue)}
    from .figures.schedules import draw_schedules
    return lambda file: draw_schedules(file, samples, "the value at step t, made with the arguments above it")


def schedule_name(name):
    """The name as the catalogue spells it."""
    for known in catalogue:
        if folded(known) == folded(name):
            return known
    raise ValueError(f"Unknown schedule: {name!r}{hint(name, catalogue) or listed(catalogue)}")


def course(name):
    """(note, values) of one schedule's example; what observes a metric is shown one that soon stays as it is."""
    schedule = catalogue[name].example()
    note = repr(schedule).partition("(")[2][:-1]
    if name == "join":
        note = f"[{', '.join(type(part).__name__ for part in schedule.schedules)}], {list(schedule.boundaries)}"
    observe = getattr(schedule, "observe", lambda metric: None)
    if hasattr(schedule, "observe"):
        note += f"; the metric falls until t = {IMPROVING}"
    values = []
    for t in range(1, LASTING + 1):
        values.append(schedule(t))
        observe(max(IMPROVING - t, 0))
    return note, values
