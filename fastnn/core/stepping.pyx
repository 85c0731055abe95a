# cython: boundscheck=False, wraparound=False, initializedcheck=False
# (with `binding`, off in tools/translation.py, a method that is called on an object of another class crashes)
"""How parameters are stepped: a whole set of parameters is validated, then an optimizer rule passes over all of it.

Nothing is written before everything has been checked and allocated. A `Plan` is a checked call. Between a check and the
pass code of the user's may run - __array__, __eq__, __index__ - and do anything to any array, so `Plan.recheck` checks
all of them again; after it nothing can fail. The pass itself is in passes.pxd. A step holds its optimizer's lock
(gates.pyx). What wrappers have written with it is a transaction's (transactions.pyx).
"""
import numpy as np

cimport cython
cimport numpy as cnp
from cpython.dict cimport PyDict_GetItemWithError
from cpython.object cimport PyObject
from libc.limits cimport LLONG_MAX
from libc.stdint cimport uint32_t, uintptr_t
from libc.stdlib cimport calloc, free, qsort, realloc

from fastnn.core.arrays cimport OTHER, as_array, kind_of, result_dtype, share_memory
from fastnn.core.clipping cimport Reduced, around, wanted
from fastnn.core.cohorts cimport Cohort
from fastnn.core.locks cimport Lock
from fastnn.core.layouts cimport Layout
from fastnn.core.measuring cimport Measured, Products
from fastnn.core.passes cimport MOST_CONSTANTS, MOST_SLOTS, MOST_STORED_SLOTS, Pass, Task, step_blocks
from fastnn.core.records cimport (Record, Storage, begin_as, checked_gradient, checked_parameter, conforming, fits, has_shape,
                                  lies_as, new_record, shape_of, usable, whole_of)
from fastnn.core.reductions cimport Numbers, norms_of
from fastnn.core.spans cimport Span, by_address, clear_of, overlaps_itself, span_of
from fastnn.core.sparse cimport Merged, Rows, check_width, have_width, no_row
from fastnn.core.stored cimport STORED_BLOCK, load_half, store_half
from fastnn.core.threads cimport share_out, threads_for
from fastnn.core.transactions cimport Part, Transaction

from fastnn.core.levels import rules
from fastnn.core.records import CHANGED

cnp.import_array()

# the group of parameters that are not stepped
FROZEN = "frozen"

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


cdef class Plan(Part):
    """A checked call: parameters (or deltas to be written), gradients and state, side by side."""

    cdef readonly list records
    cdef readonly list cohorts
    cdef readonly list cohort_of            # each record
    cdef list groups                        # of each record
    cdef readonly list keys
    cdef list targets                       # contiguous: a parameter or a copy of it
    cdef list grads
    cdef list parameters                    # that deltas are for, or None
    cdef list copied_back                   # (parameter, its copy, its record) where the layout asked for one
    cdef dict home                          # where new records go once the call has succeeded
    cdef bint by_key                        # or by position
    cdef bint add
    cdef bint sparse                        # whether a gradient is Rows
    cdef bint whole                         # whether keys are those of the call, none left out, none a path
    cdef bint skipped                       # because a norm was not finite
    cdef bint listed                        # whether keys are the positions in a list, all of them
    cdef object write_back                  # puts plain numbers back where they came from, or None
    cdef Layout layout                      # of the last step, where it still holds
    cdef Measured measured                  # what is found out about whole tensors, while `_measure` runs, else None
    cdef readonly bint written              # once or more
    cdef dict new_home                      # the records that there will be, if there are new ones
    cdef object filled                      # (slot, the array that it is filled with before the pass)
    cdef bint late                          # whether gradients are what they are when the plan is written
    cdef list refills                       # (copy of a late gradient, the gradient, its record)
    cdef Transaction transaction            # that the step is part of, or None
    cdef Stepper owner                      # None between steps: it has the plan

    def __cinit__(self, Stepper owner, bint by_key, bint add):
        owner.needs_storage()
        self.owner = owner
        self.home = owner.by_key if by_key else owner.by_position
        self.by_key, self.add = by_key, add
        self.keys, self.records, self.groups, self.targets, self.grads = [], [], [], [], []
        self.copied_back, self.refills, self.filled = [], [], ()

    cdef void enter(self, object key, cnp.ndarray target, cnp.ndarray grad, object group) except *:
        cdef PyObject *known = PyDict_GetItemWithError(self.home, key)
        cdef Record record
        cdef cnp.ndarray copy
        if known == NULL:
            record = new_record(target, self.owner.storage, key)
            if self.add:
                begin_as(record, target)
        else:
            record = self.owner.continued(<Record>known, target, key, self.add)
        self.groups.append(group)
        if not lies_as(target, record):
            if overlaps_itself(target):
                raise ValueError(f"elements of parameter {key!r} share memory")
            copy = conforming(target, record, record.dtype)
            self.copied_back.append((target, copy, record))
            target = copy
        if not usable(grad, record):
            copy = conforming(grad, record, record.computed)
            if self.late:
                self.refills.append((copy, grad, record))
            grad = copy
        self.keys.append(key)
        self.records.append(record)
        self.targets.append(target)
        self.grads.append(grad)

    cdef void enter_rows(self, object key, cnp.ndarray target, Rows grad, object group) except *:
        cdef PyObject *known = PyDict_GetItemWithError(self.home, key)
        cdef Record record
        self.owner.must_be_lazy(key)
        check_width(grad, target, key)
        if not (cnp.PyArray_CHKFLAGS(target, cnp.NPY_ARRAY_C_CONTIGUOUS | cnp.NPY_ARRAY_ALIGNED)
                and cnp.PyArray_ISNOTSWAPPED(target)):
            raise ValueError(f"parameter {key!r} must be contiguous, row after row, and native to be stepped by Rows: "
                             "make it so with np.ascontiguousarray(p)")
        if known == NULL:
            record = new_record(target, self.owner.storage, key, True)
        else:
            record = self.owner.continued(<Record>known, target, key, True)
        if record.fortran:
            raise ValueError(f"the state of {key!r} lies column after column, as the parameter did when it was first "
                             f"stepped: Rows cannot go on with it; opt.forget({key!r}) drops it")
        self.sparse = True
        self.groups.append(group)
        self.keys.append(key)
        self.records.append(record)
        self.targets.append(target)
        self.grads.append(Merged.__new__(Merged, grad))

    cdef void free_gradients(self, const Span *spans, Py_ssize_t count) except *:
        """Copy gradients that lie in the memory of a parameter, and merge Rows."""
        cdef Py_ssize_t i, bad
        cdef cnp.ndarray grad
        cdef Merged merged
        cdef Rows rows
        for i in range(count):
            if isinstance(self.grads[i], Merged):
                merged = <Merged>self.grads[i]
                rows = merged.source
                if not have_width(rows, (<Record>self.records[i]).ndim, (<Record>self.records[i]).dims):
                    raise ValueError(CHANGED)
                bad = merged.take(rows, <Record>self.records[i], not clear_of(spans, count, rows.numbers))
                if bad >= 0:
                    raise ValueError(no_row(rows.indices.flat[bad], (<Record>self.records[i]).dims[0], self.keys[i]))
                continue
            grad = <cnp.ndarray>self.grads[i]
            if not clear_of(spans, count, grad):
                self.grads[i] = conforming(grad, <Record>self.records[i], grad.dtype)

    cdef void assemble(self) except *:
        """Put parameters of one group and age into one cohort; each into its own where constants are made of sums."""
        cdef dict known = {}
        cdef Py_ssize_t i
        cdef Cohort before
        cdef Cohort cohort = None
        self.cohort_of = []
        for i in range(len(self.records)):
            before = (<Record>self.records[i]).cohort
            if self.owner.measures:
                cohort = Cohort(self.groups[i], before.t, before.scalars)
                known[i] = cohort
            elif cohort is None or not (before.t == cohort.t and self.groups[i] is cohort.group
                                      and before.scalars is cohort.scalars):
                same = self.groups[i], before.t, before.scalars
                cohort = known.get(same)
                if cohort is None:
                    cohort = known[same] = Cohort(*same)
            self.cohort_of.append(cohort)
        self.cohorts = list(known.values())

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

    cdef void arrange(self) except *:
        if not self.add and self.parameters is None:
            self.must_have_parameters()
        if self.sparse:
            self.must_go_by_rows()
        self.new_home = None if self.written else self.home_after()
        if self.write_back is not None and not self.write_back.unchanged():     # Python's code
            raise ValueError(CHANGED)
        if self.layout is None:                 # here, for what is allocated may set garbage collection off
            self.layout = Layout(self.keys, self.records, self.cohort_of, self.targets, self.grads, self.parameters)

    cdef void recheck(self) except *:
        """Check everything once more. If no other code runs in between, `write` cannot fail."""
        if not self.layout.unchanged():
            raise ValueError(CHANGED)
        for parameter, _, record in self.copied_back:
            if not fits(<cnp.ndarray>parameter, <Record>record):
                raise ValueError(CHANGED)
        for _, grad, record in self.refills:
            if not has_shape(<cnp.ndarray>grad, <Record>record) or kind_of(<cnp.ndarray>grad) == OTHER:
                raise ValueError(CHANGED)

    cdef void must_have_parameters(self) except *:
        cdef Cohort cohort
        for cohort in self.cohorts:
            if cohort.needs_parameter:
                raise TypeError("weight decay, l2, l1, adaptive clipping and rules that read the parameter need it: "
                                "give w= (and b=), or change parameters in place with step(params, grads)")

    cdef void must_go_by_rows(self) except *:
        """Raise for what is done around a rule and needs the whole tensor."""
        cdef Py_ssize_t i
        cdef Cohort cohort
        cdef bint rows
        for i in range(len(self.cohort_of)):
            cohort = <Cohort>self.cohort_of[i]
            if cohort.clip_adaptive == 0 and not cohort.centralize:
                continue
            rows = isinstance(self.grads[i], Merged) if self.layout is None else self.layout.tasks[i].rows != NULL
            if rows:
                raise TypeError(f"{'clip_adaptive' if cohort.clip_adaptive != 0 else 'centralize'} needs the whole "
                                f"gradient, which Rows do not have: the gradient of {self.keys[i]!r}. A group without "
                                "it, or clip_value, clip_norm or clip_global_norm, can be had with Rows")

    def run(self, double clip_global_norm=0, filled=(), undo=None):
        """Step everything and keep the new records and counts; False, and nothing has changed, if a norm that clips is
        not finite.

        The cohorts have been prepared. clip_global_norm: 0 for none. `filled` lists (slot, the array that it is first
        filled with), of one shape and dtype. `undo`, a compiled function, is called where False is returned. All
        in one call of compiled code, so that no signal's handler can raise half way.
        """
        cdef Transaction transaction = self.transaction
        self.skipped, self.filled = False, filled
        self.arrange()
        if transaction is None:
            return self.taken(clip_global_norm, undo, False)
        transaction.arrange()
        if not transaction.casts:
            return self.taken(clip_global_norm, undo, False)
        with np.errstate(all="ignore"):
            return self.taken(clip_global_norm, undo, False)

    cdef bint taken(self, double clip_global_norm, undo, bint checked) except -1:
        """checked: whether everything has been checked, and no other code has run since."""
        cdef Transaction transaction = self.transaction
        cdef Reduced reduced = None
        cdef Measured measured = None           # until all is written
        if not checked:
            if transaction is not None:
                transaction.recheck()
            self.recheck()
        if clip_global_norm or wanted(self.cohorts):
            reduced = Reduced()
            if not reduced.clip(self.layout, clip_global_norm):
                return self.skip(undo)
        if self.owner.measures:
            self.measured = measured = Measured(self.layout)
            try:
                found = (<object>self.owner)._measure(self)
            finally:
                self.measured = None
            if not found:
                if transaction is not None:
                    transaction.recheck()
                return self.skip(undo)
        if reduced is not None or measured is not None:
            self.recheck()                      # other code, or other threads, may have run
            if transaction is not None:
                transaction.recheck()
        if transaction is not None:
            transaction.begin()
        self.write()
        if transaction is not None:
            transaction.complete()
        if self.write_back is not None:
            self.write_back()                   # here, where no signal's handler can come before it
        return True

    cdef bint skip(self, undo) except -1:
        self.skipped = True
        if undo is not None:
            undo()
        if self.transaction is not None:
            self.transaction.end()
        return False

    cdef Measured measuring(self):
        """What an optimizer's `_measure` asks; looks at everything."""
        if self.measured is None:
            raise RuntimeError("only a step that is being taken can be measured")
        self.recheck()
        return self.measured

    def dots(self, Products wanted not None):
        """Inner products over each tensor, as a tuple for each record: see fastnn/core/measuring.pyx."""
        return self.measuring().dots(wanted)

    def gradient(self, Py_ssize_t i):
        """The gradient of record i as its rule sees it - scaled, clipped, decayed, centred - as a new array of the
        parameter's shape and order, float64 for float64 parameters and else float32."""
        return self.measuring().gradient(self.place(i))

    def replace_gradient(self, Py_ssize_t i, array):
        """Step record i with this array, of the kind that `gradient` gives, as its rule's g: nothing more is done to it.
        It must overlap nothing else."""
        self.measuring().replace(self.place(i), array)

    def fill(self, cnp.ndarray slot not None, cnp.ndarray values not None):
        """Let the step begin by writing values into a slot of one of its records: arrays of one shape and dtype."""
        if not (cnp.PyArray_SAMESHAPE(slot, values) and slot.descr is values.descr):
            raise ValueError(f"{values.dtype} of shape {shape_of(values)} for a slot of {slot.dtype} and {shape_of(slot)}")
        self.filled = [*self.filled, (slot, values)]

    cdef Py_ssize_t place(self, Py_ssize_t i) except -1:
        if not 0 <= i < len(self.records):
            raise IndexError(f"there are {len(self.records)} records")
        return i

    def norm(self):
        """The norm of all gradients together; rows that are named more than once are summed. Looks at everything."""
        cdef Numbers *numbers
        cdef Task *task
        cdef Py_ssize_t i
        cdef double total = 0
        self.arrange()
        self.recheck()
        numbers = <Numbers *>calloc(self.layout.count + 1, sizeof(Numbers))
        if numbers == NULL:
            raise MemoryError
        try:
            for i in range(self.layout.count):
                task = &self.layout.tasks[i]
                numbers[i].data, numbers[i].n, numbers[i].kind = task.grad, task.n, task.grad_kind
            norms_of(numbers, self.layout.count, NULL, &total)
        finally:
            free(numbers)
        return total

    cdef void write(self) except *:
        cdef Pass call
        cdef Py_ssize_t i
        cdef int threads
        cdef Layout layout = self.layout
        cdef Record record
        cdef Cohort cohort
        call.add = self.add
        call.slots = layout.slots
        call.tasks = layout.tasks
        call.around = &around
        call.formats = NULL if self.owner.storage.name is None else self.owner.storage.formats
        call.grain = self.owner.storage.grain
        for copy, grad, _ in self.refills:
            cnp.PyArray_CopyInto(<cnp.ndarray>copy, <cnp.ndarray>grad)
        for slot, values in self.filled:
            cnp.PyArray_CopyInto(<cnp.ndarray?>slot, <cnp.ndarray?>values)
        call.count = self.owner.passes
        self.owner.passes += 1
        call.load_halves, call.store_halves = load_halves, store_halves
        if layout.elements <= FEW:
            step_blocks(&call, 0, layout.tasks[layout.count].first_block)
        else:
            threads = threads_for(layout.elements)
            with nogil:
                share_out(step_blocks, &call, layout.tasks[layout.count].first_block, 1, threads)
        if self.new_home is not None:
            self.targets = self.grads = None        # the layout is kept, the arrays are not
            for parameter, copy, _ in self.copied_back:
                cnp.PyArray_CopyInto(<cnp.ndarray>parameter, <cnp.ndarray>copy)     # np.copyto begins in Python
            with cython.critical_section(self.owner):                               # others may ask for t
                for i in range(layout.count):
                    record = <Record>self.records[i]
                    record.cohort, record.used, record.grouped = <Cohort>self.cohort_of[i], True, True
                if self.by_key:
                    self.owner.by_key = self.new_home
                else:
                    self.owner.by_position = self.new_home
        for cohort in self.cohorts:
            cohort.done()
        self.new_home, self.filled, self.written = None, (), True
        if self.add and self.whole and self.write_back is None and not (self.copied_back or self.refills):
            self.owner.last = self


cdef class Stepper(Lock):
    """State by key (mappings) and by position (sequences), and the plans made from calls."""

    cdef dict by_key
    cdef dict by_position
    cdef Storage storage                    # None until `_slots`
    cdef uint32_t passes                    # so far, for random rounding
    cdef Span *spans                        # of the parameters of the last plan that was found free of overlaps
    cdef Py_ssize_t span_count
    cdef Plan last                          # the last plan that changed parameters in place, if it may serve again
    cdef bint measures                      # whether constants are made of sums over whole tensors, by `_measure`
    cdef object ready                       # the version of hyperparameters for which `prepare_again` serves
    cdef bint by_time                       # whether its constants depend on t
    cdef double clip_global_norm
    cdef bint stale                         # whether a group has been changed since it was made

    def __cinit__(self, *args, **kwds):
        self.by_key, self.by_position = {}, {}
        self.spans = NULL
        self.span_count = 0

    def __dealloc__(self):
        free(self.spans)

    cdef void release(self) noexcept:
        if self.last is not None:
            self.last.layout.release()
            self.last.owner = self.last.transaction = None
        Lock.release(self)

    def _step_mapping(self, params, grads, dict extra):
        """Step parameters by key, in place."""
        self.acquire()
        try:
            if extra or not self.step_again(True, params, grads):
                self.advance(self.plan_mapping(params, grads), extra)
        finally:
            self.release()

    def _step_sequence(self, params, grads, dict extra):
        """Step parameters by position, in place; params and grads are lists or tuples."""
        self.acquire()
        try:
            if extra or not self.step_again(False, params, grads):
                self.advance(self.plan_sequence(params, grads), extra)
        finally:
            self.release()

    def _step_leaves(self, leaves, dict extra, Transaction transaction):
        """Step leaves of parameters, dicts of arrays and of gradients, as part of a transaction. Whether the step was
        taken: not if a norm was not finite, or if there was nothing to step."""
        cdef Plan plan
        self.acquire()
        try:
            plan = self.plan_leaves(leaves.by_key, leaves.params, leaves.grads, leaves.write_back, False)
            if not plan.records:
                transaction.without_step()
                return False
            plan.transaction = transaction
            self.advance(plan, extra)
            return not plan.skipped
        finally:
            self.release()

    def _planned(self, bint by_key, dict params, dict grads, bint late=False):
        """Such a step, to be written as part of another one's transaction; if `late` with the gradients as they are
        then: arrays of floating-point numbers of the parameters' precision or a lower one.

        Between them lies no other use: whoever has the optimizer's lock calls this.
        """
        cdef Plan plan = self.plan_leaves(by_key, params, grads, None, late)
        plan.owner = self
        if not self.prepare_again(plan):
            (<object>self)._prepare(plan, {})
        return plan

    def _run_planned(self, Plan plan, Transaction transaction):
        """Take a step of `_planned` with a transaction of its own."""
        plan.transaction = transaction
        plan.run()

    cdef Plan plan_leaves(self, bint by_key, dict params, dict grads, object write_back, bint late):
        cdef Layout layout = self.kept(by_key)
        cdef Plan plan
        cdef bint held
        if layout is not None and write_back is None:
            layout.release()                    # what a plan of the same use holds that was given up
            with cython.critical_section(params, grads):
                held = layout.holds_mapping(params, grads, self.spans)
            if held and layout.merge(self.spans):
                return self.last
        self.forget_plan()                      # the spans are about to change
        plan = self.plan(by_key, list(params.keys()), list(params.values()), list(map(grads.__getitem__, params)),
                         write_back, late)
        plan.listed = plan.keys == list(range(len(plan.keys)))
        return plan

    def _step_deltas(self, list grads, dict extra):
        """The deltas of a step, new arrays, by position."""
        cdef list deltas = []
        cdef Plan plan
        self.acquire()
        try:
            plan = self.plan_deltas((<object>self)._gradients(grads, extra), deltas,
                                    (<object>self)._parameters(grads, extra))
            self.advance(plan, extra)
            if plan.skipped:
                for delta in deltas:
                    delta[...] = 0
        finally:
            self.release()
        return deltas

    cdef void advance(self, Plan plan, dict extra) except *:
        if not plan.records:
            return
        plan.owner = self
        if extra or not self.prepare_again(plan):
            (<object>self)._advance(plan, extra)
        elif not plan.run(self.clip_global_norm):
            (<object>self)._skip()

    cdef bint step_again(self, bint by_key, params, grads) except -1:
        """Take the last step once more; False, and nothing has changed, where the call has to be planned.

        Constants come before the arrays are checked: they are Python's code. None runs from there until all is
        written, so that one look is enough.
        """
        cdef Plan plan = self.last
        if self.kept(by_key) is None or plan.layout.sparse or not self.prepare_again(plan):
            return False
        if not self.holds(by_key, params, grads):
            return False
        plan.owner, plan.skipped, plan.filled = self, False, ()
        if not plan.taken(self.clip_global_norm, None, not plan.layout.asked):
            (<object>self)._skip()
        return True

    cdef bint prepare_again(self, Plan plan) except -1:
        """Prepare the next step of a plan whose cohorts have all that does not depend on t; False if they have not."""
        cdef Cohort cohort
        cdef object constants
        cdef tuple scalars = ()
        cdef dict own
        cdef bint advanced
        if self.ready is None:
            return False
        for cohort in plan.cohorts:
            if cohort.version is not self.ready or cohort.t == LLONG_MAX:
                return False
        own = (<object>self).__dict__
        if self.ready is not own.get("_version") and not self.renumber(plan, own):
            return False
        constants = (<object>self).constants if self.by_time else None
        advanced = bool(self.storage.scalars)
        for cohort in plan.cohorts:
            if advanced:
                scalars = (<object>self).advanced(cohort.numbers, cohort.t + 1, cohort.scalars, {})
            if self.by_time:
                cohort.put_constants(constants(cohort.numbers, cohort.t + 1, *scalars) if advanced
                                     else constants(cohort.numbers, cohort.t + 1))
            cohort.next_t, cohort.next_scalars = cohort.t + 1, scalars
        return True

    cdef bint renumber(self, Plan plan, dict own) except -1:
        """Give the cohorts a number that has been set since they were prepared; False where it takes more than that:
        for options, which go around the rule, as decay does by the rate, for groups, and after more than one change."""
        cdef Cohort cohort
        cdef object before, version, numbers
        cdef object change = own.get("_last_change")
        if change is None or own["_known"][2]:
            return False
        before, version, values = change
        if before is not self.ready or version is not own.get("_version"):
            return False
        for name in values:
            if name in (<object>self).options:
                return False
        for cohort in plan.cohorts:
            if cohort.group is not None:
                return False
        for cohort in plan.cohorts:
            numbers = type(cohort.numbers)()
            numbers.__dict__.update(cohort.numbers.__dict__)
            numbers.__dict__.update(values)
            if not self.by_time:
                cohort.put_constants((<object>self).constants(numbers))
            cohort.numbers, cohort.version = numbers, version
        self.ready = version
        return True

    def _ready(self, version, bint by_time, double clip_global_norm):
        """For hyperparameters of this version, cohorts that have been prepared once need nothing more than the next
        step's constants, or keep those that they have unless `by_time`."""
        self.ready, self.by_time, self.clip_global_norm = version, by_time, clip_global_norm

    def _slots(self, initial, scalars=(), name=None, stored=(), bint measures=False):
        """First values of the slots, None for one that begins as the parameter, and of what is kept of a parameter
        besides; or reduced-precision slots: the dtype's name and one of rules.STORED for each. `measures`: whether a
        step asks `_measure` for its constants."""
        cdef Storage storage = Storage(tuple(initial), tuple(scalars), name, tuple(stored))
        self.acquire()
        try:
            self.replace({}, {}, 0, {})         # whoever is initialised once more begins anew
            self.storage, self.measures = storage, measures
        finally:
            self.release()

    cdef int must_be_lazy(self, object key) except -1:
        """Raise where no rows can be stepped alone."""
        if not (<object>self).lazy:
            raise TypeError((<object>self)._not_lazy(key))
        if self.storage.name is not None:
            raise TypeError(f"state_dtype={self.storage.name!r} is kept in blocks, which rows do not fit: with Rows as "
                            f"the gradient of {key!r} it must be 'float32'")
        return 0

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
    def t(self):
        """Steps taken so far, of the parameter that has taken the most."""
        cdef Record record
        cdef long long most = 0
        with cython.critical_section(self):     # a step may be under way in another thread
            for records in (self.by_key, self.by_position):
                for record in (<dict>records).values():
                    most = max(most, record.cohort.t)
        return most

    def forget(self, key):
        """Drop the state and the count of steps of one parameter: its next step is its first.

        key is that of a mapping, the path in nested ones, or the position in a sequence. Raises KeyError for a key of
        which there is no state.
        """
        self.acquire()
        try:
            self.drop(key)
        finally:
            self.release()

    cdef void drop(self, object key) except *:
        by_key, by_position = dict(self.by_key), dict(self.by_position)
        if by_key.pop(key, None) is None and by_position.pop(key, None) is None:
            raise KeyError(f"there is no state of {key!r}")
        self.replace(by_key, by_position, self.passes, {})

    def _regrouped(self):
        """Groups have been changed: the next step looks at all parameters again."""
        self.stale = True

    def _newest(self):
        """The scalars of the record that has taken the most steps; None if there is none."""
        cdef Record record
        cdef Record newest = None
        for records in (self.by_key, self.by_position):
            for record in (<dict>records).values():
                if newest is None or record.cohort.t > newest.cohort.t:
                    newest = record
        return None if newest is None else newest.cohort.scalars

    @property
    def _passes(self):
        """How many steps have been taken, for random rounding."""
        return self.passes

    def _stored_sizes(self, n):
        """(codes, scales) of a reduced-precision slot, for a parameter of n elements."""
        self.needs_storage()
        padded = -(-n // self.storage.grain) * self.storage.grain
        return padded, -(-padded // STORED_BLOCK)

    def _restored(self, key, cnp.ndarray like, slots, scales, long long t, tuple scalars):
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
        record.cohort = Cohort(None, t, scalars)
        return record

    def _restore(self, dict by_key, dict by_position, uint32_t passes, dict done, list functions):
        """Put restored records in place of all that there are, set attributes, and call functions.

        These are compiled ones that cannot fail: no signal's handler comes in between.
        """
        self.acquire()
        try:
            self.replace(by_key, by_position, passes, done)
            for function in functions:
                function()
        finally:
            self.release()

    cdef void replace(self, dict by_key, dict by_position, uint32_t passes, dict done) except *:
        self.forget_plan()
        with cython.critical_section(self):
            self.by_key, self.by_position, self.passes, self.span_count = by_key, by_position, passes, 0
        (<object>self).__dict__.update(done)

    cdef Plan plan(self, bint by_key, list keys, list params, list grads, object write_back=None,
                   bint late=False):
        cdef Plan plan = Plan.__new__(Plan, self, by_key, True)
        cdef Py_ssize_t i
        cdef cnp.ndarray p
        cdef object group = None
        cdef list stepped = []
        cdef list groups = (<object>self)._groups_of(plan.home, keys, params)
        plan.late = late
        for i in range(len(keys)):
            if groups is not None:
                group = groups[i]
                if group is FROZEN:
                    continue
            if grads[i] is None:
                continue
            p = checked_parameter(params[i], keys[i])
            if isinstance(grads[i], Rows):
                plan.enter_rows(keys[i], p, <Rows>grads[i], group)
            else:
                plan.enter(keys[i], p, checked_gradient(grads[i], p, keys[i]), group)
            stepped.append(p)
        if not self.in_place(plan, stepped):
            self.keep_apart(plan, stepped)
        plan.free_gradients(self.spans, len(stepped))
        plan.assemble()
        plan.write_back = write_back
        plan.whole = len(stepped) == len(keys)
        return plan

    cdef Record continued(self, Record record, cnp.ndarray target, object key, bint in_place):
        """The record to go on with. Raises ValueError for a parameter that is not the one that it belongs to."""
        cdef Record new
        cdef bint stateless = not self.storage.initial and not self.storage.scalars and record.others is None
        if has_shape(target, record) and record.kind == kind_of(target):
            if in_place and not stateless and self.moved(record, target):
                raise ValueError((<object>self)._another_part(key))
            return record
        if not stateless:
            if in_place and self.is_part(record, target):
                raise ValueError((<object>self)._part_of_another_shape(key, record.shape, shape_of(target)))
            if not has_shape(target, record):
                raise ValueError((<object>self)._changed_shape(key, record.shape, shape_of(target)))
            dtype = np.asarray(target).dtype.newbyteorder("=")
            raise ValueError((<object>self)._changed_dtype(key, record.dtype, dtype))
        new = new_record(target, self.storage, key)
        new.cohort = Cohort(None, record.cohort.t, ())
        return new

    cdef bint moved(self, Record record, cnp.ndarray target):
        """Whether this is another part of the array of which the parameter was a part at its last step."""
        cdef Span place
        if record.whole.low == NULL:
            return False
        place = span_of(target, -1)
        if place.low == record.place.low and place.high == record.place.high:
            return False
        return self.is_part(record, target)

    cdef bint is_part(self, Record record, cnp.ndarray target):
        """Whether this is a view of the array of which the parameter was a part, or which it was."""
        cdef Span whole = whole_of(target)
        cdef Span known = record.place if record.whole.low == NULL else record.whole
        return whole.low != NULL and whole.low == known.low and whole.high == known.high

    cdef bint in_place(self, Plan plan, list params) noexcept:
        """Whether all parameters lie where they lay at the last step, and are the same ones: then they are apart."""
        cdef Py_ssize_t i
        cdef Span span
        cdef const Span *last
        cdef Record record
        if len(params) != self.span_count:
            return False
        for i in range(self.span_count):
            last = &self.spans[i]
            record = <Record>plan.records[last.index]
            span = span_of(<cnp.ndarray>params[last.index], -1)
            if not (record.used and record.place.low == last.low == span.low
                    and record.place.high == last.high == span.high):
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
            record.whole = whole_of(<cnp.ndarray>params[i])
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
        if (self.last is None or self.stale or self.last.by_key != by_key
                or self.span_count != self.last.layout.count):
            return None
        return self.last.layout

    cdef bint holds(self, bint by_key, params, grads) except -1:
        """Whether a call is the last one again: arrays that lie where they lay. The layout then holds them."""
        cdef Layout layout = self.kept(by_key)
        cdef bint held
        if layout is None:
            return False
        layout.release()                        # what was held in vain before
        if by_key:
            if type(params) is not dict or type(grads) is not dict:
                return False
            with cython.critical_section(params, grads):
                held = layout.holds_mapping(params, grads, self.spans)
        else:
            if not (self.last.listed and (type(params) is list or type(params) is tuple)
                    and (type(grads) is list or type(grads) is tuple)):
                return False
            with cython.critical_section(params, grads):
                held = layout.holds_sequence(params, grads, self.spans)
        return held and layout.merge(self.spans)

    cdef Plan plan_mapping(self, params, grads):
        cdef list keys, values
        cdef list gradients = None
        if self.holds(True, params, grads):
            return self.last
        self.forget_plan()                      # the spans are about to change
        try:
            if type(params) is dict and type(grads) is dict:
                keys, values = list((<dict>params).keys()), list((<dict>params).values())
            else:
                items = (<object>self)._checked_items(params)
                keys, values = [key for key, _ in items], [value for _, value in items]
                if len(set(keys)) < len(keys):
                    raise ValueError("params lists a key twice")
            if all_arrays(values):
                gradients = list(map(grads.__getitem__, keys))      # no comprehension: see elementwise.pyx
        except KeyError as error:
            missing = ", ".join(map(repr, error.args[:1])) or "?"      # a user's mapping may raise it bare
            raise KeyError(f"no gradient for parameter {missing}") from None
        if gradients is None:
            return self.plan_nested(params, grads)
        return self.plan(True, keys, values, gradients)

    cdef Plan plan_sequence(self, params, grads):
        cdef list values, gradients
        cdef Plan plan
        if self.holds(False, params, grads):
            return self.last
        self.forget_plan()                      # the spans are about to change
        values, gradients = list(params), list(grads)
        if len(values) != len(gradients):
            raise ValueError(f"{len(values)} parameters, but {len(gradients)} gradients")
        if not all_arrays(values):
            return self.plan_nested(params, grads)
        plan = self.plan(False, list(range(len(values))), values, gradients)
        plan.listed = True
        return plan

    cdef Plan plan_nested(self, params, grads):
        """Parameters in mappings and sequences of each other, or plain numbers: by the paths to them."""
        cdef list keys, values, gradients
        cdef Plan plan
        keys, values, gradients, write_back, by_key = (<object>self)._flattened(params, grads)
        plan = self.plan(by_key, keys, values, gradients, write_back)
        plan.whole = False
        return plan

    cdef void forget_plan(self) noexcept:
        cdef Plan last = self.last
        self.last, self.stale = None, False
        if last is not None:
            last.layout.release()

    cdef Plan plan_deltas(self, list grads, list deltas, list parameters):
        """The deltas are written to new arrays, which are put into the list. parameters: what they are for, or None."""
        cdef Plan plan = Plan.__new__(Plan, self, False, False)
        cdef cnp.ndarray g, p
        cdef Record record
        cdef list keys = list(range(len(grads)))
        cdef list groups
        self.forget_plan()                      # its cohorts' counts
        if parameters is not None:
            plan.parameters = []
        groups = (<object>self)._groups_of(plan.home, keys, grads if parameters is None else parameters)
        for position, grad in enumerate(grads):
            if isinstance(grad, Rows):
                raise TypeError("Rows are a gradient of a parameter that is changed in place: step(params, grads), "
                                "where the dialect that returns deltas has whole arrays")
            g = <cnp.ndarray>grad if cnp.PyArray_CheckExact(grad) else as_array(grad, f"gradient {position}")
            try:
                dtype = result_dtype(g)
            except TypeError as error:
                raise TypeError(f"gradient {position}: {error}") from None
            if dtype.itemsize < 4:
                dtype = np.dtype(np.float32)            # rounded once, when it is added to a parameter
            delta = np.empty_like(g, dtype=dtype, subok=False)
            deltas.append(delta)
            if groups is not None and groups[position] is FROZEN:
                delta[...] = 0
                continue
            plan.enter(position, delta, g, None if groups is None else groups[position])
            if parameters is not None:
                p = as_array(parameters[position], f"parameter {position}")
                if kind_of(p) == OTHER:
                    result_dtype(p)
                if shape_of(p) != shape_of(g):
                    raise ValueError(f"parameter {position} has shape {shape_of(p)}, its gradient {shape_of(g)}")
                record = <Record>plan.records[len(plan.records) - 1]
                p = conforming(p, record, dtype)
                plan.parameters.append(p)
                if not record.used:
                    begin_as(record, p)
        plan.assemble()
        return plan


cdef bint all_arrays(list values) noexcept:
    for value in values:
        if not cnp.PyArray_Check(value):
            return False
    return True
