# cython: boundscheck=False, wraparound=False, initializedcheck=False
"""Gradients of some rows of a parameter, and how rows that are named more than once become one.

The distinct rows are found by a hash table with open addressing, in the order in which they come first. Their values
are summed in the order given, in the precision of the step; where no row comes twice they are used as they lie.
"""
import numpy as np

cimport cython
cimport numpy as cnp
from libc.stdint cimport uint64_t, uintptr_t
from libc.stdlib cimport free, malloc
from libc.string cimport memset

from fastnn.core.arrays cimport (DOUBLE, FLOAT16, OTHER, SINGLE, Kind, as_array, contiguous, fill, kind_of,
                                 result_dtype)
from fastnn.core.fpstate cimport fastnn_fp_enter, fastnn_fp_leave, fastnn_fp_state
from fastnn.core.passes cimport BLOCK
from fastnn.core.records cimport dims_of, ndim_of
from fastnn.core.stored cimport load_half
from fastnn.core.vecmath cimport real

from fastnn.core.levels import rules

cnp.import_array()

cdef extern from "numpy/arrayobject.h":
    void clear_flags "PyArray_CLEARFLAGS"(cnp.ndarray a, int flags)

cdef extern from *:
    """
    #define fastnn_view_of(a) PyArray_View((PyArrayObject *)(a), NULL, NULL)
    """
    object view_of "fastnn_view_of"(object a)

cdef enum:
    FEW = 8192              # elements that are merged before it would pay to let another thread run
    LEAST = 1 << 20         # bytes that are kept, however few the next step needs

ctypedef fused number:
    float
    double

cdef load_half load_halves[2]
for place, name in enumerate(("float16", "bfloat16")):
    load_halves[place] = <load_half><uintptr_t>rules.HALVES[name][0]


@cython.final
cdef class Rows:
    """Rows(indices, values): a gradient that is zero but for some rows of a parameter, those of an embedding table.

    A step with it reads and writes these rows of parameter and state alone: the lazy form of its rule. What it costs
    follows the rows that are named, not the table.

    Parameters
    ----------
    indices : integer or array_like of integers
        Of any shape S; along the parameter's first axis, from 0. A row may be named more than once: its values are
        summed in the order given, in the dtype that the step is computed in.
    values : array_like of real numbers
        Of shape S + parameter.shape[1:]. They may be used where they lie: they are to stay as they are until the step.

    Attributes
    ----------
    indices, values : ndarray
        Read-only.

    len() is how many rows are named, counted as often as they are. Raises TypeError for indices that are not integers
    and values that are not real numbers; ValueError for indices that are negative or NaN, and for values whose shape
    does not begin with S. Whether they fit a parameter is seen in the step, before anything is changed.
    """

    def __cinit__(self, indices=None, values=None):
        if indices is None or values is None:
            raise TypeError("Rows(indices, values) needs both, the rows and a value for each")
        cdef Py_ssize_t i
        cdef const Py_ssize_t *index
        cdef int axis
        self.index = checked_indices(indices)
        index = <const Py_ssize_t *>cnp.PyArray_DATA(self.index)
        for i in range(cnp.PyArray_SIZE(self.index)):
            if index[i] < 0:
                raise ValueError(f"indices of rows count from 0: {index[i]} is negative")
        self.numbers = checked_values(values)
        self.kind = kind_of(self.numbers)
        if cnp.PyArray_NDIM(self.index) > cnp.PyArray_NDIM(self.numbers):
            raise ValueError(self.misfit())
        for axis in range(cnp.PyArray_NDIM(self.index)):
            if cnp.PyArray_DIM(self.index, axis) != cnp.PyArray_DIM(self.numbers, axis):
                raise ValueError(self.misfit())

    cdef str misfit(self):
        shape, wanted = (<object>self.numbers).shape, (<object>self.index).shape
        return f"the shape of values, {shape}, must begin with that of indices, {wanted}: a row for each index"

    @property
    def indices(self):
        """The rows, as they were given."""
        return view_of(self.index)

    @property
    def values(self):
        """A row for each index."""
        return view_of(self.numbers)

    def __len__(self):
        return cnp.PyArray_SIZE(self.index)

    def _fit(self, p, key):
        """Raises ValueError unless they are rows of p, an array; key is for the error."""
        cdef Py_ssize_t i
        cdef const Py_ssize_t *index = <const Py_ssize_t *>cnp.PyArray_DATA(self.index)
        cdef cnp.ndarray a = np.asarray(p)
        check_width(self, a, key)
        for i in range(cnp.PyArray_SIZE(self.index)):
            if index[i] >= cnp.PyArray_DIM(a, 0):
                raise ValueError(no_row(index[i], cnp.PyArray_DIM(a, 0), key))

    def __repr__(self):
        return f"Rows({self.indices!r}, {self.values!r})"

    def __reduce__(self):
        return Rows, (np.array(self.index), np.array(self.numbers))


cdef cnp.ndarray checked_indices(object indices):
    """A contiguous copy."""
    cdef cnp.ndarray given
    if contiguous(indices, cnp.NPY_INTP, 0):
        return unreachable(cnp.PyArray_NewCopy(<cnp.ndarray>indices, cnp.NPY_CORDER))
    given = as_array(indices, "the array of indices")
    if contiguous(given, cnp.NPY_INTP, 0):      # a list of integers
        return unreachable(cnp.PyArray_NewCopy(given, cnp.NPY_CORDER))
    kind = given.dtype.kind
    if not cnp.PyArray_SIZE(given) and isinstance(indices, (list, tuple)):
        kind = "i"                              # an empty list
    if kind == "b":
        raise TypeError("indices of rows must be integers, not a mask of booleans: np.flatnonzero(mask) has them")
    if kind not in "iu":
        if kind == "f" and np.isnan(given).any():
            raise ValueError(f"indices of rows must be integers; there is NaN among these, of {given.dtype}")
        raise TypeError(f"indices of rows must be integers, not {given.dtype}")
    if given.dtype.itemsize >= np.dtype(np.intp).itemsize and given.size and given.max() > np.iinfo(np.intp).max:
        raise ValueError(f"there is no row {given.max()}")
    if given.size and given.min() < 0:
        raise ValueError(f"indices of rows count from 0: {given.min()} is negative")
    return unreachable(np.array(given, np.intp, order="C", copy=True, subok=False))


cdef cnp.ndarray checked_values(object values):
    """A view, or a copy where they cannot be read as they are."""
    cdef cnp.ndarray given = as_array(values, "the array of values")
    cdef bint usable = kind_of(given) != OTHER
    if not usable:
        try:
            dtype = result_dtype(given)
        except TypeError as error:
            raise TypeError(f"the values of rows: {error}") from None
    if usable and cnp.PyArray_ISNOTSWAPPED(given) and cnp.PyArray_CHKFLAGS(
            given, cnp.NPY_ARRAY_C_CONTIGUOUS | cnp.NPY_ARRAY_ALIGNED):
        return unreachable(given)
    if usable:
        dtype = given.dtype.newbyteorder("=")
    own = np.empty((<object>given).shape, dtype)
    fill(own, given)
    return unreachable(own)


cdef cnp.ndarray unreachable(object a):
    """A view that is never handed out: those of it have a itself as their base."""
    cdef cnp.ndarray view = <cnp.ndarray>view_of(a)
    clear_flags(view, cnp.NPY_ARRAY_WRITEABLE)
    return view


cdef bint have_width(Rows rows, int ndim, const cnp.npy_intp *dims) noexcept:
    cdef int before = cnp.PyArray_NDIM(rows.index)
    cdef int axis
    if ndim < 1 or cnp.PyArray_NDIM(rows.numbers) != before + ndim - 1:
        return False
    for axis in range(1, ndim):
        if cnp.PyArray_DIM(rows.numbers, before + axis - 1) != dims[axis]:
            return False
    return True


cdef void check_width(Rows rows, cnp.ndarray p, object key) except *:
    cdef tuple shape
    if have_width(rows, ndim_of(<const void *>p), dims_of(<const void *>p)):
        return
    if ndim_of(<const void *>p) == 0:
        raise ValueError(f"parameter {key!r} has no axis, and so no rows: give its gradient as a number")
    shape = np.asarray(p).shape
    raise ValueError(f"the gradient of {key!r}: values of shape {rows.values.shape} for rows with indices of shape "
                     f"{rows.indices.shape}, where the parameter, {shape}, needs "
                     f"{rows.indices.shape + shape[1:]}")


cdef str no_row(Py_ssize_t row, Py_ssize_t rows, object key):
    return f"the gradient of {key!r} names row {row}, but the parameter has {rows} rows, from 0 on"


@cython.final
cdef class Merged:
    """Rows as a step takes them: each once."""

    def __cinit__(self, Rows source=None):
        self.source = source

    def __dealloc__(self):
        free(self.integers)
        free(self.room)

    cdef Py_ssize_t take(self, Rows rows, Record record, bint own) except -2:
        cdef Py_ssize_t given = cnp.PyArray_SIZE(rows.index)
        cdef Py_ssize_t bad = -1
        cdef const Py_ssize_t *index = <const Py_ssize_t *>cnp.PyArray_DATA(rows.index)
        cdef Py_ssize_t size = sizeof(double) if record.kind == DOUBLE else sizeof(float)
        cdef Py_ssize_t places = 1
        cdef Py_ssize_t total
        cdef int axis
        self.source = rows
        self.values = cnp.PyArray_BYTES(rows.numbers)
        self.kind = rows.kind
        self.width = 1
        for axis in range(1, record.ndim):
            self.width *= record.dims[axis]
        while places < 2 * given:
            places *= 2
        self.integers = <Py_ssize_t *>grown(self.integers, &self.integers_there,
                                            (2 * given + places) * <Py_ssize_t>sizeof(Py_ssize_t))
        self.rows = self.integers
        total = cnp.PyArray_SIZE(rows.numbers)
        if total <= FEW:
            bad = find(self, index, given, places, record.dims[0])
        else:
            with nogil:
                bad = find(self, index, given, places, record.dims[0])
        if bad >= 0 or not own and self.count == given and (
                self.kind == record.kind or self.kind != DOUBLE and record.kind != DOUBLE):
            return bad
        self.room = <char *>grown(self.room, &self.room_there, self.count * self.width * size)
        if total <= FEW:
            add(self, given, record.kind == DOUBLE)
        else:
            with nogil:
                add(self, given, record.kind == DOUBLE)
        self.values, self.kind = self.room, DOUBLE if record.kind == DOUBLE else SINGLE
        return -1


cdef void *grown(void *memory, Py_ssize_t *there, Py_ssize_t size) except NULL:
    """Memory of so many bytes or more; what was in it is lost."""
    if memory != NULL and size <= there[0] and (there[0] <= LEAST or there[0] // 8 <= size):
        return memory
    memory_again = malloc(max(size, 64))
    if memory_again == NULL:
        raise MemoryError
    free(memory)
    there[0] = max(size, 64)
    return memory_again


cdef Py_ssize_t find(Merged merged, const Py_ssize_t *index, Py_ssize_t given, Py_ssize_t places,
                     Py_ssize_t limit) noexcept nogil:
    """The distinct rows, and behind them for each index its row's place among them. The position of the first index
    that is out of range, or -1."""
    cdef Py_ssize_t *rows = merged.rows
    cdef Py_ssize_t *place = rows + given
    cdef Py_ssize_t *table = place + given          # where a row is, plus one
    cdef Py_ssize_t i, row, count
    cdef Py_ssize_t last = -1
    cdef bint rising = True
    cdef int shift = 64
    cdef uint64_t at
    for i in range(given):
        row = index[i]
        if not 0 <= row < limit:
            return i
        rising &= row > last
        last = rows[i] = row
        place[i] = i
    merged.count = given
    if rising:
        return -1
    while places >> (64 - shift) > 1:
        shift -= 1
    memset(table, 0, places * sizeof(Py_ssize_t))
    count = 0
    for i in range(given):
        row = rows[i]
        at = <uint64_t>row * <uint64_t>0x9E3779B97F4A7C15 >> shift
        while table[at] and rows[table[at] - 1] != row:
            at = at + 1 & <uint64_t>places - 1
        if not table[at]:
            rows[count] = row
            count += 1
            table[at] = count
        place[i] = table[at] - 1
    merged.count = count
    return -1


cdef inline void put(const number *x, real *out, Py_ssize_t n, bint more) noexcept nogil:
    cdef Py_ssize_t i
    if more:
        for i in range(n):
            out[i] = out[i] + <real>x[i]
    else:
        for i in range(n):
            out[i] = <real>x[i]


cdef inline void put_row(const char *values, Kind kind, Py_ssize_t start, real *out, Py_ssize_t n,
                         bint more) noexcept nogil:
    cdef float[BLOCK] room
    cdef Py_ssize_t done = 0
    cdef Py_ssize_t here
    if kind == SINGLE:
        put(<const float *>values + start, out, n, more)
    elif kind == DOUBLE:
        put(<const double *>values + start, out, n, more)
    else:
        while done < n:
            here = min(n - done, <Py_ssize_t>BLOCK)
            load_halves[kind - FLOAT16](values + 2 * (start + done), room, here)
            put(<const float *>room, out + done, here, more)
            done += here


cdef void add(Merged merged, Py_ssize_t given, bint double_) noexcept nogil:
    """The sum of each row's values."""
    cdef fastnn_fp_state state = fastnn_fp_enter(0)
    cdef const Py_ssize_t *place = merged.rows + given
    cdef Py_ssize_t width = merged.width
    cdef Py_ssize_t seen = 0
    cdef Py_ssize_t i, to
    cdef bint more
    for i in range(given):
        to = place[i]
        more = to < seen                            # places are given in the order in which rows come first
        seen += not more
        if double_:
            put_row(merged.values, merged.kind, i * width, <double *>merged.room + to * width, width, more)
        else:
            put_row(merged.values, merged.kind, i * width, <float *>merged.room + to * width, width, more)
    fastnn_fp_leave(state)
