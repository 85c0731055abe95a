"""What errors say about calls that would be silently something else: how it came about, and how to go on."""
ONE_KEY_EACH = ("step the whole array with a gradient for all of it, zeros where there is none, or give each part a "
                "key of its own, as in step({'row 1': E[1]}, {'row 1': g}), or an optimizer of its own")

# what is said of arguments of a step that other libraries have, or one rule alone
STEP_ARGUMENTS = {
    "loss": " (rules that read the loss take f=)", "value": " (rules that read the loss take f=)",
    "f": " (Eve, PolyakSGD and MoMo read the loss)", "hessian": " (Sophia reads it)", "lr": " (opt.lr = 0.01 sets it)",
    "closure": " (it takes gradients: step(params, grads))"}


def changed_dtype(key, before, now):
    """Of a parameter that was stepped with another dtype. The dtypes may be names."""
    before, now = str(before), str(now)
    if now == "float64" and before != now:
        return (f"parameter {key!r} had dtype {before}, now {now}: W = W - 0.1*g makes a new array, a float64 one "
                f"where g or the factor is a float64 array or NumPy number. Write in place, W -= 0.1*g, or convert it back, "
                f"W.astype({_written(before)}). To go on in float64, {_forget(key)}")
    return f"parameter {key!r} had dtype {before}, now {now}; {_forget(key)}"


def changed_shape(key, before, now):
    """Of a parameter that was stepped with another shape."""
    return f"parameter {key!r} had shape {before}, now {now}; {_forget(key)}"


def another_part(key):
    """Of a parameter that was one part of an array and is another now: a row of a matrix, and another row."""
    return (f"parameter {key!r} was one part of an array and is another part of it now, and its state is that of the "
            f"first: {ONE_KEY_EACH}")


def another_part_of_another_shape(key, before, now):
    """The same, where the parts have different shapes: the last batch of rows that is shorter than the others."""
    return (f"parameter {key!r} was a part of an array, of shape {before}, and is another part of it now, of shape "
            f"{now}, and its state is that of the first: {ONE_KEY_EACH}")


def named_parameter(name, call="update"):
    """Of update(w, g, "W1") or step(w, g, name="W1"), as other libraries have it; call is "update" or "step"."""
    return (f"{call} takes no name of a parameter: step({{{name!r}: w}}, {{{name!r}: g}}) changes w in place and keeps "
            f"its state under {name!r}")


def mixed(call, first, second):
    """Of two arguments of different structure; call is "update" or "step"."""
    single = "gradients as arrays or numbers" if call == "update" else "one array each"
    return (f"{call} takes parameters and gradients as two mappings or as two sequences, or {single}, not "
            f"{type(first).__name__} and {type(second).__name__}")


def gradients_missing():
    """Of update(params), a mapping alone."""
    return "update was given one mapping, the gradients are missing: update(params, grads)"


def one_sequence():
    """Of update([a, b]): parameters without gradients, or the gradients of article A's dialect in a list."""
    return ("update was given one sequence: parameters and gradients are two sequences, update(params, grads); two "
            "gradients are two arguments, dw, db = update(grad_w, grad_b)")


def not_lazy(title, key):
    """Of Rows as a gradient, where the rule has no lazy form."""
    return (f"{title} has no lazy form: its step moves, or measures, every row of a parameter, so that Rows cannot be the gradient "
            f"of {key!r}. Give it a whole array, zeros where there is none, or take another optimizer for this one")


def number_alone():
    """Of step(x, g) where x is a number."""
    return ("a number cannot be changed in place: step(params, {'x': g}) changes it in the dict params = {'x': x}, and "
            "x += opt.update(g) takes a step with a number")


def _forget(key):
    return f"opt.forget({key!r}) drops its state: the next step is then its first"


def _written(dtype):
    return f"np.{dtype}" if dtype != "bfloat16" else f"ml_dtypes.{dtype}"
