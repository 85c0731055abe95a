"""What errors say about calls that would be silently something else: how it came about, and how to go on."""


def changed_dtype(key, before, now):
    """Of a parameter that was stepped with another dtype. The dtypes may be names."""
    before, now = str(before), str(now)
    forget = f"opt.forget({key!r}) lets it begin anew"
    if now == "float64" and before != now:
        return (f"parameter {key!r} had dtype {before}, now {now}: W = W - 0.1*g makes a new array, a float64 one where "
                f"g or the factor is a float64 array or NumPy number. Write in place, W -= 0.1*g, or convert it back, "
                f"W.astype({_written(before)}); {forget} in float64")
    return f"parameter {key!r} had dtype {before}, now {now}; {forget}"


def changed_shape(key, before, now):
    """Of a parameter that was stepped with another shape."""
    return f"parameter {key!r} had shape {before}, now {now}; opt.forget({key!r}) lets it begin anew"


def another_part(key):
    """Of a parameter that was one part of an array and is another now: a row of a matrix, and another row."""
    return (f"parameter {key!r} was one part of an array and is another part of it now, and its state is that of the "
            "first: step the whole array with a gradient for all of it, zeros where there is none, or give each part a "
            "key of its own, as in step({'row 1': E[1]}, {'row 1': g}), or an optimizer of its own")


def named_parameter(name):
    """Of update(w, g, "W1"), as other libraries have it."""
    return (f"update takes no name of a parameter: step({{{name!r}: w}}, {{{name!r}: g}}) changes w in place and keeps "
            f"its state under {name!r}")


def mixed(call, first, second):
    """Of two arguments of different structure; call is "update" or "step"."""
    single = "gradients as arrays or numbers" if call == "update" else "one array each"
    return (f"{call} takes parameters and gradients as two mappings or as two sequences, or {single}, not "
            f"{type(first).__name__} and {type(second).__name__}")


def alone(call, first):
    """Of one mapping or sequence where two are wanted."""
    return (f"{call} takes parameters and gradients, two mappings or two sequences of one structure, or gradients as single "
            f"arrays or numbers; it got one {type(first).__name__} alone")


def no_array(value):
    """Of step(x, g) where x cannot be changed in place."""
    return (f"step changes an array in place, and a {type(value).__name__} is none: put numbers into a mapping or list, "
            "step({'x': x}, {'x': g}), which gets the new value")


def _written(dtype):
    return f"np.{dtype}" if dtype != "bfloat16" else f"ml_dtypes.{dtype}"
