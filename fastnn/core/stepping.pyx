# cython: boundscheck=False, wraparound=False, initializedcheck=False
# cython: binding=False, embedsignature.format=clinic
# (with binding, Cython's default, a method that is called on an object of another class crashes)
"""How parameters are stepped: a whole set of parameters is validated, then an optimizer rule passes over all of it.

Nothing is written before everything has been checked and allocated. A `Plan` is a checked call. Between a check and the
pass code of the user's may run - __array__, __eq__, __index__ - and do anything to any array, so `Plan.ready` looks at
all of them again; after it nothing can fail. The pass itself is in passes.pxd. A step has its optimizer to itself:
`Stepper.enter` refuses everything else.
"""
import sys
import threading

import numpy as np

cimport cython
cimport numpy as cnp
from cpython.dict cimport PyDict_GetItemWithError
from cpython.object cimport PyObject
from cpython.pythread cimport PyThread_get_thread_ident
from libc.stdint cimport uint32_t, uintptr_t
from libc.stdlib cimport free, qsort, realloc

from fastnn.core.arrays cimport result_dtype, share_memory
from fastnn.core.layouts cimport Layout
from fastnn.core.passes cimport MOST_CONSTANTS, MOST_SLOTS, MOST_STORED_SLOTS, Pass, step_blocks
from fastnn.core.records cimport (Record, Storage, checked_gradient, checked_parameter, conforming, fits, has_shape,
                                  kind_of, lies_as, new_record, shape_of, usable)
from fastnn.core.spans cimport Span, by_address, clear_of, overlaps_itself, span_of
from fastnn.core.stored cimport STORED_BLOCK, load_half, store_half
from fastnn.core.threads cimport share_out, threads_for

from fastnn.core.levels import rules
from fastnn.core.records import CHANGED

cdef extern from "gate.h":
    ctypedef struct fastnn_gate:
        pass
    unsigned long fastnn_gate_enter(fastnn_gate *gate, unsigned long self) noexcept nogil
    void fastnn_gate_leave(fastnn_gate *gate) noexcept nogil

cnp.import_array()

# what a rule may have
LIMITS = {"constants": MOST_CONSTANTS, "slots": MOST_SLOTS, "stored slots": MOST_STORED_SLOTS}

cdef enum:
    FEW = 8192              # elements that are stepped before it would pay to let another thread run

cdef load_half load_halves[2]
cdef store_half store_halves[2]
for place, name in enumerate(("float16", "bfloat16")):
    load_halves[place] = <load_half><uintptr_t>rules.HALVES[name][0]
    store_halves[place] = <store_half><uintptr_t>rules.HALVES[name][1]


cdef class Stepper


cdef class Plan:
    """A checked call: parameters (or deltas to be written), gradients and state, side by side."""

    cdef readonly list records
    cdef list keys
    cdef list targets                       # contiguous: a parameter or a copy of it
    cdef list grads
    cdef list copied_back                   # (parameter, its copy, its record) where the layout asked for one
    cdef dict home                          # where new records go once the call has succeeded
    cdef bint by_key                        # or by position
    cdef bint add
    cdef Layout layout                      # of the last step, where it still holds
    cdef Stepper owner

    def __cinit__(self, Stepper owner, bint by_key, list keys, bint add):
        owner.needs_storage()
        self.owner = owner
        self.home = owner.by_key if by_key else owner.by_position
        self.keys = keys
        self.by_key, self.add = by_key, add
        self.records, self.targets, self.grads, self.copied_back = [], [], [], []

    cdef void enter(self, object key, cnp.ndarray target, cnp.ndarray grad) except *:
        cdef PyObject *known = PyDict_GetItemWithError(self.home, key)
        cdef Record record
        cdef cnp.ndarray copy
        if known == NULL:
            record = new_record(target, self.owner.storage, key)
        else:
            record = <Record>known
            if not has_shape(target, record):
                raise ValueError(f"parameter {key!r} had shape {record.shape}, now {shape_of(target)}")
            if record.kind != kind_of(target):
                raise ValueError(f"parameter {key!r} had dtype {record.dtype}, now {target.descr}")
        if not lies_as(target, record):
            if overlaps_itself(target):
                raise ValueError(f"elements of parameter {key!r} share memory")
            copy = conforming(target, record, record.dtype)
            self.copied_back.append((target, copy, record))
            target = copy
        if not usable(grad, record):
            grad = conforming(grad, record, record.computed)
        self.records.append(record)
        self.targets.append(target)
        self.grads.append(grad)

    cdef void free_gradients(self, const Span *spans, Py_ssize_t count) except *:
        """Copy gradients that lie in the memory of a parameter."""
        cdef Py_ssize_t i
        cdef cnp.ndarray grad
        for i in range(count):
            grad = <cnp.ndarray>self.grads[i]
            if not clear_of(spans, count, grad):
                self.grads[i] = conforming(grad, <Record>self.records[i], grad.dtype)

    cdef dict home_after(self):
        """The records that there will be. Made before the step: hashing a key may fail."""
        cdef Py_ssize_t i
        cdef dict home = self.home
        for i in range(len(self.records)):
            if not (<Record>self.records[i]).used:
                if home is self.home:
                    home = dict(home)
                home[self.keys[i]] = self.records[i]
        return home

    cdef Layout ready(self):
        """What to run over, after one more look at everything. If no other code runs in between, `run` cannot fail now."""
        cdef Layout layout = self.layout
        if layout is not None:
            if not layout.unchanged():
                raise ValueError(CHANGED)
            return layout
        layout = Layout(self.keys, self.records, self.targets, self.grads)
        for parameter, _, record in self.copied_back:
            if not fits(<cnp.ndarray>parameter, <Record>record):
                raise ValueError(CHANGED)
        return layout

    def run(self, tuple kernels, tuple constants, t, dict done=None, filled=()):
        """Step everything, keep the new records, and set the owner's t and the attributes `done`.

        `filled` lists (slot, the array that it is first filled with), of one shape and dtype.
        All in one call of compiled code, so that no signal's handler can raise half way.
        """
        cdef Pass call
        cdef Py_ssize_t i
        cdef int threads
        cdef dict home = None
        cdef dict attributes
        cdef bint known = self.layout is not None
        if len(constants) > MOST_CONSTANTS:
            raise ValueError("too many constants")
        call.fused = len(kernels) == 1
        if len(kernels) != 2 and not (call.fused and self.owner.storage.name is not None):
            raise ValueError("kernels for float and double, or a fused one for stored state")
        for i in range(len(kernels)):
            call.kernels[i] = kernels[i]
        call.add = self.add
        for i in range(len(constants)):
            call.double_constants[i] = constants[i]
            call.single_constants[i] = <float>call.double_constants[i]
        attributes = <dict>(<object>self.owner).__dict__
        if "t" not in attributes:
            attributes["t"] = self.owner.t              # there is room for it, then
        for name in done or ():
            attributes.setdefault(name, getattr(self.owner, name))
        if not known:
            home = self.home_after()
        self.layout = self.ready()
        call.slots = self.layout.slots
        call.tasks = self.layout.tasks
        call.formats = NULL if self.owner.storage.name is None else self.owner.storage.formats
        call.grain = self.owner.storage.grain
        for slot, values in filled:
            cnp.PyArray_CopyInto(<cnp.ndarray?>slot, <cnp.ndarray?>values)
        call.count = self.owner.passes
        self.owner.passes += 1
        call.load_halves, call.store_halves = load_halves, store_halves
        if self.layout.elements <= FEW:
            step_blocks(&call, 0, self.layout.tasks[self.layout.count].first_block)
        else:
            threads = threads_for(self.layout.elements)
            with nogil:
                share_out(step_blocks, &call, self.layout.tasks[self.layout.count].first_block, 1, threads)
        if not known:
            self.targets = self.grads = None        # the layout is kept, the arrays are not
            for parameter, copy, _ in self.copied_back:
                cnp.PyArray_CopyInto(<cnp.ndarray>parameter, <cnp.ndarray>copy)     # np.copyto begins in Python
            for i in range(len(self.records)):
                (<Record>self.records[i]).used = True
            if self.by_key:
                self.owner.by_key = home
            else:
                self.owner.by_position = home
        attributes["t"] = t
        if done is not None:
            attributes.update(done)


cdef class Stepper:
    """State by key (mappings) and by position (sequences), and the plans made from calls."""

    cdef dict by_key
    cdef dict by_position
    cdef Storage storage                    # None until `_slots`
    cdef uint32_t passes                    # so far, for random rounding
    cdef Span *spans                        # of the parameters of the last plan that was found free of overlaps
    cdef Py_ssize_t span_count
    cdef Plan last                          # the last plan that changed parameters in place, if it may serve again
    cdef fastnn_gate gate

    def __cinit__(self, *args, **kwds):
        self.by_key, self.by_position = {}, {}
        self.spans = NULL
        self.span_count = 0

    def __dealloc__(self):
        free(self.spans)

    cdef int enter(self) except -1:
        """Have the optimizer to oneself until `leave`.

        Compiled functions alone do that, in try and finally: between two of Python's instructions a signal's handler
        may raise.
        """
        cdef unsigned long me = PyThread_get_thread_ident()
        cdef unsigned long owner = fastnn_gate_enter(&self.gate, me)
        if owner and not lives(owner):
            owner = fastnn_gate_enter(&self.gate, me)           # the thread may have ended just now
        if owner:
            raise RuntimeError(f"this {type(self).__name__} {in_use(owner, me)}")
        return 0

    cdef void leave(self) noexcept:
        if self.last is not None:
            self.last.layout.release()
        fastnn_gate_leave(&self.gate)

    def _alone(self, function, *args):
        """function(*args) while nothing else uses the optimizer. Raises RuntimeError where something does already."""
        self.enter()
        try:
            return function(*args)
        finally:
            self.leave()

    def _step_mapping(self, params, grads, dict extra):
        """Step parameters by key, in place."""
        self.enter()
        try:
            self.advance(self.plan_mapping(params, grads), extra)
        finally:
            self.leave()

    def _step_sequence(self, params, grads, dict extra):
        """Step parameters by position, in place; params and grads are lists or tuples."""
        self.enter()
        try:
            self.advance(self.plan_sequence(params, grads), extra)
        finally:
            self.leave()

    def _step_deltas(self, list grads, dict extra):
        """The deltas of a step, new arrays, by position."""
        cdef list deltas = []
        self.enter()
        try:
            self.advance(self.plan_deltas((<object>self)._gradients(grads, extra), deltas), extra)
        finally:
            self.leave()
        return deltas

    cdef void advance(self, Plan plan, dict extra) except *:
        (<object>self)._advance(plan, extra)
        if plan.add and plan.layout is not None:
            self.last = plan

    def _slots(self, initial, name=None, stored=()):
        """Slots with their first values, or in fewer bits: the dtype's name and one of rules.STORED for each."""
        cdef Storage storage = Storage(tuple(initial), name, tuple(stored))
        self.enter()
        try:
            self.replace({}, {}, 0, {"t": 0})   # whoever is initialised once more begins anew
            self.storage = storage
        finally:
            self.leave()

    cdef int needs_storage(self) except -1:
        if self.storage is None:
            raise TypeError("this object has not been initialised: its class must call super().__init__()")
        return 0

    def _record(self, key):
        """The record of a key, or None."""
        return self.by_key.get(key)

    def _record_at(self, position):
        """The record of a position, or None."""
        return self.by_position.get(position)

    @property
    def _records(self):
        """(records by key, records by position): dicts that are not to be changed."""
        return self.by_key, self.by_position

    @property
    def _passes(self):
        """How many steps have been taken, for random rounding."""
        return self.passes

    def _stored_sizes(self, n):
        """(codes, scales) of a slot in fewer bits, for a parameter of n elements."""
        self.needs_storage()
        padded = -(-n // self.storage.grain) * self.storage.grain
        return padded, -(-padded // STORED_BLOCK)

    def _restored(self, key, cnp.ndarray like, slots, scales=None):
        """A record as steps with a parameter like this one would have left it.

        The slots are arrays of its shape, or all codes as one array with the scales as another.
        """
        cdef Record record
        self.needs_storage()
        record = new_record(like, self.storage, key)
        if self.storage.name is None:
            for i, values in enumerate(slots):
                record.slot(i)[...] = values
        else:
            (<object>record.slots)[...] = slots
            (<object>record.scales)[...] = scales
        record.used = True
        return record

    def _restore(self, dict by_key, dict by_position, uint32_t passes, dict done, recall):
        """Put restored records in place of all that there are, set attributes, and call `recall`."""
        self.enter()
        try:
            self.replace(by_key, by_position, passes, done)
            recall()
        finally:
            self.leave()

    cdef void replace(self, dict by_key, dict by_position, uint32_t passes, dict done) except *:
        self.forget()
        self.by_key, self.by_position, self.passes, self.span_count = by_key, by_position, passes, 0
        (<object>self).__dict__.update(done)

    cdef Plan plan(self, bint by_key, list keys, list params, list grads):
        cdef Plan plan = Plan.__new__(Plan, self, by_key, keys, True)
        cdef Py_ssize_t i
        cdef Py_ssize_t count = len(keys)
        cdef cnp.ndarray p
        for i in range(count):
            p = checked_parameter(params[i], keys[i])
            plan.enter(keys[i], p, checked_gradient(grads[i], p, keys[i]))
        if not self.in_place(plan, params):
            self.keep_apart(plan, params)
        plan.free_gradients(self.spans, count)
        return plan

    cdef bint in_place(self, Plan plan, list params) noexcept:
        """Whether all parameters lie where they lay at the last step, and are the same ones: then they are apart."""
        cdef Py_ssize_t i
        cdef Span span
        cdef Record record
        if len(params) != self.span_count:
            return False
        for i in range(self.span_count):
            record = <Record>plan.records[i]
            span = span_of(<cnp.ndarray>params[i], i)
            if not (record.used and record.place.index == i and record.place.low == span.low
                    and record.place.high == span.high):
                return False
        return True

    cdef void keep_apart(self, Plan plan, list params) except *:
        """Sort the parameters' spans; raise where two parameters share memory."""
        cdef Py_ssize_t count = len(params)
        cdef Py_ssize_t i, k
        cdef bint tangled = False
        cdef Record record
        cdef Span *spans = <Span *>realloc(self.spans, max(count, 1) * sizeof(Span))
        if spans == NULL:
            raise MemoryError
        self.spans = spans
        self.span_count = -1
        for i in range(count):
            spans[i] = span_of(<cnp.ndarray>params[i], i)
            record = <Record>plan.records[i]
            record.place = spans[i]
        qsort(spans, count, sizeof(Span), by_address)
        for i in range(count):
            spans[i].reach = spans[i].high
            if i and spans[i - 1].reach > spans[i].low:
                tangled = True              # interleaved views, at best: look again next time
                for k in range(i):
                    if spans[k].high > spans[i].low and share_memory(params[spans[k].index], params[spans[i].index]):
                        one, other = plan.keys[spans[k].index], plan.keys[spans[i].index]
                        raise ValueError(f"parameters {one!r} and {other!r} share memory")
                spans[i].reach = max(spans[i].high, spans[i - 1].reach)
        if not tangled:
            self.span_count = count

    cdef Layout kept(self, bint by_key):
        """The layout of the last step, if that went by key (or not) and parameters that lie as then are apart."""
        if (self.last is None or self.last.by_key != by_key or self.last.copied_back
                or self.span_count != self.last.layout.count):
            return None
        return self.last.layout

    cdef Plan plan_mapping(self, params, grads):
        cdef list keys, values, gradients
        cdef Layout layout
        cdef bint plain = type(params) is dict and type(grads) is dict
        if plain:
            layout = self.kept(True)
            if layout is not None:
                with cython.critical_section(params, grads):
                    if layout.holds_mapping(params, grads, self.spans):
                        return self.last
        self.forget()                           # the spans are about to change
        try:
            if plain:
                keys, values = list((<dict>params).keys()), list((<dict>params).values())
                gradients = list(map((<dict>grads).__getitem__, keys))     # no comprehension: see elementwise.pyx
            else:
                keys = list(params)
                if len(set(keys)) < len(keys):
                    raise ValueError("params lists a key twice")
                values, gradients = list(map(params.__getitem__, keys)), list(map(grads.__getitem__, keys))
        except KeyError as error:
            missing = ", ".join(map(repr, error.args[:1])) or "?"      # a user's mapping may raise it bare
            raise KeyError(f"no gradient for parameter {missing}") from None
        return self.plan(True, keys, values, gradients)

    cdef Plan plan_sequence(self, params, grads):
        cdef list values, gradients
        cdef Layout layout = self.kept(False)
        if (layout is not None and (type(params) is list or type(params) is tuple)
                and (type(grads) is list or type(grads) is tuple)):
            with cython.critical_section(params, grads):
                if layout.holds_sequence(params, grads, self.spans):
                    return self.last
        self.forget()                           # the spans are about to change
        values, gradients = list(params), list(grads)
        if len(values) != len(gradients):
            raise ValueError(f"{len(values)} parameters, but {len(gradients)} gradients")
        return self.plan(False, list(range(len(values))), values, gradients)

    cdef void forget(self) noexcept:
        cdef Plan last = self.last
        self.last = None
        if last is not None:
            last.layout.release()

    cdef Plan plan_deltas(self, list grads, list deltas):
        """The deltas are written to new arrays, which are put into the list."""
        cdef Plan plan = Plan.__new__(Plan, self, False, list(range(len(grads))), False)
        cdef cnp.ndarray g
        for position, grad in enumerate(grads):
            g = np.asarray(grad)
            dtype = result_dtype(g)
            if dtype.itemsize < 4:
                dtype = np.dtype(np.float32)            # rounded once, when it is added to a parameter
            delta = np.empty_like(g, dtype=dtype, subok=False)
            deltas.append(delta)
            plan.enter(position, delta, g)
        return plan


cdef bint lives(unsigned long thread) except -1:
    return thread in sys._current_frames()


cdef str in_use(unsigned long owner, unsigned long me):
    """Where an optimizer is in use."""
    if owner == me:
        return ("is in use further up in this thread: what a step calls - functions, mappings, handlers of signals - "
                "cannot use the optimizer itself")
    if not lives(owner):
        return ("was in use in another thread when this process was forked, and may be torn: make a new one, perhaps "
                "from a saved state")
    names = [thread.name for thread in threading.enumerate() if thread.ident == owner]
    return f"is in use in thread {names[0] if names else owner}: give each thread its own, or use a lock"
