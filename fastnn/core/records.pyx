# cython: boundscheck=False, wraparound=False, initializedcheck=False
"""The state of one parameter, and what arrays have to be to be stepped with it."""
import numpy as np

cimport cython
cimport numpy as cnp
from libc.stdint cimport uintptr_t

from fastnn.core.arrays cimport DOUBLE, OTHER, as_array, fill, kind_of, refuse_masked, result_dtype
from fastnn.core.cohorts cimport Cohort
from fastnn.core.loops cimport BLOCK_STEP
from fastnn.core.spans cimport Span, span_of
from fastnn.core.passes cimport LONG, MOST_SLOTS, MOST_STORED_SLOTS, Format
from fastnn.core.stored cimport STORED_BLOCK, load_state, store_any_state

cnp.import_array()

cdef enum:
    PAGE = 4096             # bytes
    MANY = 1 << 22          # elements whose memory is touched before the step: a signal may still end that, and it takes longer

CHANGED = "a parameter, gradient or state was changed from outside while the step was being prepared"

cdef class Storage:
    """What a stepper keeps for each element: first values of the slots, or their reduced-precision formats."""

    def __cinit__(self, tuple initial, tuple scalars, str name=None, tuple stored=()):
        cdef int i
        self.initial, self.scalars, self.name, self.grain = initial, scalars, name, BLOCK_STEP
        if len(initial) > MOST_SLOTS or len(stored) > MOST_STORED_SLOTS:
            raise ValueError("too many slots")
        if name is None:
            return
        self.dtype = np.dtype(np.uint8 if name == "int8" else np.uint16)
        if name == "int8":
            self.grain = 2 * BLOCK_STEP     # a word holds four elements
        for i in range(len(stored)):
            self.formats[i].load = <load_state><uintptr_t>stored[i][0]
            self.formats[i].store = <store_any_state><uintptr_t>stored[i][1]
            self.formats[i].itemsize = self.dtype.itemsize


cdef class Record:
    """The state of one parameter: an array a slot, in the order in which the parameter's elements lie in memory."""

    @property
    def t(self):
        """How many steps have been taken with it."""
        return self.cohort.t

    @property
    def group(self):
        """The parameter's group, None: none, or not yet known."""
        return self.cohort.group

    @property
    def scalars(self):
        """What the rule keeps besides the slots."""
        return self.cohort.scalars

    @property
    def order(self):
        """"F" if the slots lie in Fortran's order, else "C"."""
        return "F" if self.fortran else "C"

    def slot(self, int index):
        """A slot as an array of the parameter's shape; writing to it changes the state.

        Of reduced-precision state: its decoded values, a new float32 array that cannot be written to.
        """
        if self.storage.name is None:
            flat = (<object>self.slots)[index, :self.n]
        else:
            flat = self.loaded(index)
            flat.flags.writeable = False
        return flat.reshape(self.shape, order="F" if self.fortran else "C")

    cdef object loaded(self, int index):
        cdef cnp.ndarray codes = (<object>self.slots)[index]
        cdef cnp.ndarray scales = (<object>self.scales)[index]
        cdef cnp.ndarray out = np.empty((<object>self.slots).shape[1], np.float32)
        cdef Format *format = &self.storage.formats[index]
        cdef Py_ssize_t start
        cdef Py_ssize_t padded = cnp.PyArray_DIM(out, 0)
        for start in range(0, padded, STORED_BLOCK):
            format.load(cnp.PyArray_BYTES(codes) + start * format.itemsize,
                        <const float *>cnp.PyArray_BYTES(scales) + start // STORED_BLOCK,
                        <float *>cnp.PyArray_BYTES(out) + start, min(padded - start, <Py_ssize_t>STORED_BLOCK))
        return (<object>out)[:self.n]


cdef Record new_record(cnp.ndarray like, Storage storage, object key, bint lazy=False):
    cdef Record record = Record.__new__(Record)
    cdef Py_ssize_t i
    cdef object plain = np.asarray(like)            # whatever a subclass says of itself
    record.kind = kind_of(like)
    if record.kind == OTHER:                        # its gradient's __array__ or its key's __hash__ did that
        raise ValueError(CHANGED)
    if storage.name is not None and record.kind == DOUBLE:
        raise TypeError(f"state_dtype={storage.name!r} is for parameters of up to 32 bits; {key!r} is float64")
    record.shape = plain.shape
    record.ndim = cnp.PyArray_NDIM(like)
    for i in range(record.ndim):
        record.dims[i] = cnp.PyArray_DIM(like, <int>i)
    record.dtype = plain.dtype.newbyteorder("=")
    record.computed = np.dtype(np.float64 if record.kind == DOUBLE else np.float32)
    record.storage = storage
    record.cohort = Cohort(None, 0, storage.scalars)
    record.fortran = (cnp.PyArray_CHKFLAGS(like, cnp.NPY_ARRAY_F_CONTIGUOUS)
                      and not cnp.PyArray_CHKFLAGS(like, cnp.NPY_ARRAY_C_CONTIGUOUS))
    record.layout = cnp.NPY_ARRAY_F_CONTIGUOUS if record.fortran else cnp.NPY_ARRAY_C_CONTIGUOUS
    record.n = cnp.PyArray_SIZE(like)
    record.padded = (record.n + storage.grain - 1) // storage.grain * storage.grain
    record.slots = zeros_beside(like, len(storage.initial), record.padded, storage.dtype or record.computed)
    if storage.name is not None:
        record.scales = np.zeros((len(storage.initial), (record.padded + STORED_BLOCK - 1) // STORED_BLOCK), np.float32)
    for i in range(len(storage.initial)):
        if record.padded > MANY and not lazy or storage.initial[i]:
            fill((<object>record.slots)[i], np.broadcast_to(np.array(storage.initial[i] or 0, record.slots.dtype),
                                                            record.padded))
    return record


cdef int begin_as(Record record, cnp.ndarray p) except -1:
    cdef int i
    for i in range(len(record.storage.initial)):
        if record.storage.initial[i] is None:
            fill(record.slot(i), p)
    return 0


@cython.final
cdef class Room:
    """Memory that cannot be resized."""

    cdef cnp.ndarray numbers


cdef cnp.ndarray zeros_beside(cnp.ndarray like, int count, Py_ssize_t padded, dtype):
    """(count, padded) zeros. Many begin at the same place in a cache line as `like`, for both to be loaded by whole lines
    (`step_lines` of passes.pxd), and a quarter of a page behind: a processor takes a load for one of what has just been
    stored at that place in another page, and waits."""
    cdef Room room
    cdef cnp.ndarray found
    cdef cnp.npy_intp dims[2]
    cdef uintptr_t ahead
    cdef uintptr_t size = dtype.itemsize
    if padded < LONG or dtype.kind != "f":
        return np.zeros((count, padded), dtype)
    room = Room.__new__(Room)
    room.numbers = np.zeros(count * padded * size + PAGE, np.uint8)
    ahead = <uintptr_t>cnp.PyArray_BYTES(like) + PAGE // 4 - <uintptr_t>cnp.PyArray_BYTES(room.numbers)
    ahead = ahead % PAGE // size * size                 # `like` may be unaligned
    dims[0], dims[1] = count, padded
    found = cnp.PyArray_SimpleNewFromData(2, dims, dtype.num, cnp.PyArray_BYTES(room.numbers) + ahead)
    cnp.set_array_base(found, room)
    return found


cdef cnp.ndarray conforming(cnp.ndarray a, Record record, object dtype):
    cdef cnp.ndarray copy = np.empty(record.shape, dtype, "F" if record.fortran else "C")
    fill(copy, a)
    return copy


cdef Span whole_of(cnp.ndarray a):
    cdef cnp.ndarray base = a
    cdef object below = cnp.get_array_base(a)
    cdef Span nothing
    while isinstance(below, np.ndarray):
        base = <cnp.ndarray>below
        below = cnp.get_array_base(base)
    if base is a:
        nothing.low = nothing.high = nothing.reach = NULL
        nothing.index = -1
        return nothing
    return span_of(base, -1)


cdef cnp.ndarray checked_parameter(object value, object key):
    if not cnp.PyArray_Check(value):
        raise TypeError(f"parameter {key!r} must be a NumPy array, not {type(value).__name__}")
    cdef cnp.ndarray p = <cnp.ndarray>value
    if not cnp.PyArray_CheckExact(value):
        refuse_masked(value, f"parameter {key!r}")
    if kind_of(p) == OTHER:
        raise TypeError(f"parameter {key!r} must be float32, float64, float16 or bfloat16, not {p.descr}")
    if not cnp.PyArray_CHKFLAGS(p, cnp.NPY_ARRAY_WRITEABLE):
        raise ValueError(f"parameter {key!r} is read-only")
    return p


cdef object shape_of(cnp.ndarray a):
    """A tuple, whatever a subclass says of itself."""
    return np.asarray(a).shape


cdef cnp.ndarray checked_gradient(object value, cnp.ndarray p, object key):
    cdef cnp.ndarray g = (<cnp.ndarray>value if cnp.PyArray_CheckExact(value)
                          else as_array(value, f"the gradient of {key!r}"))
    if kind_of(g) == OTHER:
        try:
            result_dtype(g)
        except TypeError as error:
            raise TypeError(f"the gradient of {key!r}: {error}") from None
    if not cnp.PyArray_SAMESHAPE(g, p):
        raise ValueError(f"the gradient of {key!r} has shape {shape_of(g)}, the parameter {shape_of(p)}")
    return g


def room_for(value, key):
    """A new array of a parameter's shape and order, in the dtype that it is computed in. Raises as a step does."""
    cdef cnp.ndarray p = checked_parameter(value, key)
    cdef bint fortran = (cnp.PyArray_CHKFLAGS(p, cnp.NPY_ARRAY_F_CONTIGUOUS)
                         and not cnp.PyArray_CHKFLAGS(p, cnp.NPY_ARRAY_C_CONTIGUOUS))
    return np.empty(shape_of(p), np.float64 if kind_of(p) == DOUBLE else np.float32, "F" if fortran else "C")


def has_room(value, key, cnp.ndarray room):
    """Whether an array of `room_for` is still what a parameter wants, as (shape, dtype). Raises as a step does."""
    cdef cnp.ndarray p = checked_parameter(value, key)
    return (bool(cnp.PyArray_SAMESHAPE(p, room)),
            (kind_of(p) == DOUBLE) == (cnp.PyArray_TYPE(room) == cnp.NPY_DOUBLE))
