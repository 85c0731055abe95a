"""What users pass as data, as arrays: by position, whatever its own [] means."""
from fastnn.core.arrays import as_array


def real_numbers(value, name):
    """What `np.asarray` makes of value: of lists, data frames, series and the like, of an array itself.

    Raises TypeError for what is no array of real numbers - sparse matrices, objects, strings, masked arrays -, and
    ValueError for rows of different lengths.
    """
    try:
        array = as_array(value, name)
    except ValueError as error:
        raise ValueError(f"{name} is no array: {error}") from None
    if array.dtype.kind in "biuf" or array.dtype.name == "bfloat16":
        return array
    if array.ndim == 0 and array.dtype.kind == "O":
        dense = "; toarray() makes one of it" if hasattr(value, "toarray") else ""
        raise TypeError(f"{name} must be an array, or what NumPy makes one of, not {type(value).__name__}{dense}")
    if array.dtype.kind == "O":
        raise TypeError(f"{name} must hold real numbers, not objects: astype(float) makes numbers of those that are some")
    raise TypeError(f"{name} must hold real numbers, not {array.dtype}")


def rows(value, name):
    """`real_numbers` with a first axis. Raises ValueError for a plain number, too."""
    array = real_numbers(value, name)
    if array.ndim == 0:
        raise ValueError(f"{name} must have rows, and is the number {array}")
    return array
