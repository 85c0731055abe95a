"""What a checkpoint keeps of a schedule, and the schedule that it stands for."""
from collections.abc import Callable
from functools import partial
from typing import Any

from .scheduling import LAMBDA, catalogue, catalogued, function_name, is_schedule

DEEPEST = 50                    # joins in each other


def to_state(schedule: Callable[[int], Any]) -> dict[str, Any]:
    """What a checkpoint keeps of a schedule: a dict of strings, numbers, None, lists and dicts; nothing is shared.

    {"schedule": its name, "arguments": {name: value}}, for `reduce_on_plateau` with "observed" besides; of any other
    function {"function": its name}, of a lambda with its file and line. A join has the states of its parts. Raises
    TypeError for what is no schedule.
    """
    if not is_schedule(schedule):
        raise TypeError(f"not a schedule: {schedule!r:.80}")
    if not catalogued(schedule):
        return {"function": function_name(schedule)}
    state = {"schedule": type(schedule).__name__,
             "arguments": {name: plain(value) for name, value in schedule.arguments().items()}}
    if hasattr(schedule, "_observed"):
        state["observed"] = dict(schedule._observed)
    return state


def plain(value):
    if isinstance(value, tuple):
        return [plain(item) for item in value]
    return to_state(value) if callable(value) else value


def from_state(state: Any, current: Any = None) -> Callable[[int], Any]:
    """The schedule that `to_state` described.

    Parameters
    ----------
    state : dict
    current : the schedule, or whatever stands in its place, in the object that loads
        Where it is equal, it is what is returned. Of a function a state has no more than the name: it must be there, at
        the same place, under the same name; a lambda in the same line of a file of the same name. A `reduce_on_plateau`
        that is there is filled and returned, arguments and all, so that callers of its `observe` have the right one.

    Raises ValueError for a state that is damaged, incomplete or names another function; nothing has been changed then.
    """
    schedule, fill = checked_state(state, current)
    fill()
    return schedule


def checked_state(state: Any, current: Any = None) -> tuple[Callable[[int], Any], Callable[[], None]]:
    """(schedule, fill) as `from_state`, for those who check more before they change anything: `fill()` cannot fail."""
    schedule, changes = checked_changes(state, current)

    def fill():
        for change in changes:
            change()
    return schedule, fill


def checked_changes(state, current):
    """The same, with a list of functions in the place of `fill`: compiled ones, in which no signal is heard."""
    changes = []
    return rebuilt(state, current, changes, 0), changes


def rebuilt(state, current, changes, depth):
    if depth > DEEPEST:
        raise ValueError(f"a schedule's state is nested more than {DEEPEST} deep")
    if not isinstance(state, dict):
        raise ValueError(f"a schedule's state must be a dict, not {state!r:.80}")
    if state.keys() == {"function"}:
        found = function_name(current) if is_schedule(current) and not catalogued(current) else None
        if not isinstance(state["function"], str) or found != state["function"]:
            there = f"{found!r:.160}" if found else "there is none"
            raise ValueError(f"the schedule must be the function {state['function']!r:.160} as in the state; {there}"
                             f"{unnamed(state)}")
        return current
    name = state.get("schedule")
    if not isinstance(name, str) or name not in catalogue:
        raise ValueError(f"the state names a schedule {name!r:.80}, which is unknown")
    cls = catalogue[name]
    observed = {"observed"} if hasattr(cls, "_checked_observed") else set()
    exactly(state, {"schedule", "arguments"} | observed, f"{name}'s state")
    exactly(state["arguments"], set(cls.__signature__.parameters), f"{name}'s arguments")
    there = current.arguments() if type(current) is cls else {}
    arguments = {key: rebuilt_argument(value, there.get(key), changes, depth)
                 for key, value in state["arguments"].items()}
    try:
        schedule = cls(**arguments)
        if "observed" in state:
            exactly(state["observed"], set(schedule._observed), f"what {name} has observed")
            schedule.__dict__["_observed"] = schedule._checked_observed(state["observed"])
    except TypeError as error:
        raise ValueError(str(error)) from None
    if type(current) is not cls:
        return schedule
    if "observed" in state:
        changes.append(partial(current.__dict__.update, schedule.__dict__))
        return current
    return current if schedule == current else schedule


def unnamed(stored):
    """What is said where functions in plain data are not those that are there; "" where all of them have names."""
    return ": a lambda is known by its place, use a named function (def)" if LAMBDA in repr(stored) else ""


def rebuilt_argument(value, there, changes, depth):
    if isinstance(value, list):
        parts = there if isinstance(there, tuple) and len(there) == len(value) else [None]*len(value)
        return tuple(rebuilt_argument(item, part, changes, depth) for item, part in zip(value, parts))
    return rebuilt(value, there, changes, depth + 1) if isinstance(value, dict) else value


def exactly(value, keys, where):
    if not isinstance(value, dict):
        raise ValueError(f"{where} must be a dict, not {value!r:.80}")
    for key in sorted(keys - value.keys()):
        raise ValueError(f"{where} must have {key!r}")
    for key in value.keys() - keys:
        raise ValueError(f"{where} must not have {key!r:.80}")
