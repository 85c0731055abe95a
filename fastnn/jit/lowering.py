"""From kernels to LLVM's language. Imported for the first kernel that is not on disk.

What LLVM needs to vectorise a loop: its body is straight-line code, its arrays are said not to overlap, and the number of
elements is a multiple of BLOCK_STEP, since the engine pads the last ones.
"""
import re
import struct

import numpy as np
from llvmlite import ir

from . import graph
from .formulas import BESIDE, FORMULAS, emit
from .functions import CHAINS
from .kernels import STATE

BLOCK_STEP = 16             # as in fastnn/core/loops.pxd
BLOCK = 256                 # elements that are computed again if an argument was out of a function's reach
NEAR = {name for name, formula in FORMULAS.items() if formula.near}         # which call a function out of reach

# A polynomial waits for each of its steps. With so many vectors in work at once a loop with functions takes 0.6 to 0.9
# times as long; LLVM by itself does so with short loops alone. Not that square roots gained from it.
INTERLEAVED = 4
LIGHT = {"sqrt", "fabs", "floor", "ceil", "trunc", "rint", "copysign", "minimum", "maximum"}
_LOOP = "fastnn loop"       # in place of what llvmlite cannot write: what is said about a loop begins with itself
_NAMED = re.compile(rf'^(!\d+) = !{{ !"{_LOOP} \d+"', re.MULTILINE)

_SIZE, _INT32, _INT64 = ir.IntType(8*struct.calcsize("n")), ir.IntType(32), ir.IntType(64)
_INSTRUCTIONS = {"add": "fadd", "sub": "fsub", "mul": "fmul", "div": "fdiv", "neg": "fneg", "and": "and_", "or": "or_",
                 "not": "not_", "select": "select"}
_COMPARISONS = {"lt": "<", "le": "<=", "eq": "=="}


def written(kernel, dtype, fused):
    """A kernel in LLVM's language: a module with the function `kernel`.

    Parameters
    ----------
    kernel : kernels.Kernel
    dtype : str
        "float32" or "float64".
    fused : bool
        Whether the machine has fused multiply-add. Only the functions of formulas.py use it: formulas are not contracted.
    """
    module = ir.Module("fastnn")
    real = ir.FloatType() if dtype == "float32" else ir.DoubleType()
    types = {"real*": real.as_pointer(), "real**": real.as_pointer().as_pointer(), "real": real, "int32": _INT32,
             "size": _SIZE}
    signature = ir.FunctionType(ir.VoidType(), [types[each] for each in kernel.arguments.values()])
    function = ir.Function(module, signature, "kernel")
    given = dict(zip(kernel.arguments, function.args))
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    arrays = {name: given[name] for name, kind in kernel.arguments.items()
              if kind == "real*" and name != kernel.parameters}
    arrays |= {slot: _element(builder, given[STATE], i) for i, slot in enumerate(kernel.slots)}
    arrays |= {name: builder.gep(given[whole], [ir.Constant(_SIZE, first)], inbounds=True)
               for name, (whole, first) in kernel.parts.items()}
    arguments = {graph.argument(name): given[name] for name, kind in kernel.arguments.items() if kind == "real"}
    standing = {node: (kernel.parameters, i) for i, node in enumerate(kernel.hoisted)}
    n = builder.and_(given["n"], ir.Constant(_SIZE, -BLOCK_STEP))
    end = function.append_basic_block("end")
    ir.IRBuilder(end).ret_void()
    blocks = {value: function.append_basic_block(f"case_{value}") for value in kernel.loops}
    choice = builder.switch(_case(builder, kernel.case, given), [*blocks.values()][-1])
    for value, loop in kernel.loops.items():
        choice.add_case(ir.Constant(_INT32, value), blocks[value])
        builder = ir.IRBuilder(blocks[value])
        uniform = dict(arguments)
        for node, (pointer, i) in (standing if loop.numbers is None else loop.numbers).items():
            number = _element(builder, given[pointer], i)
            uniform[node] = builder.fcmp_unordered("!=", number, ir.Constant(real, 0)) if node.is_condition else number
        _Pass(loop, real, fused, arrays, uniform).write(builder, n, end)
    return _NAMED.sub(r"\1 = distinct !{ \1", str(module))


def _case(builder, case, given):
    """The number of the loop: an argument, or "one + 2 other"."""
    one, *other = case.split(" + 2 ")
    found = given[one]
    for name in other:
        found = builder.add(found, builder.shl(given[name], ir.Constant(_INT32, 1)))
    return found


def _element(builder, pointer, i):
    return builder.load(builder.gep(pointer, [ir.Constant(_SIZE, i)], inbounds=True))


class _Pass:
    """Writes the code of one loop."""

    def __init__(self, loop, real, fused, arrays, uniform):
        self.loop, self.real, self.fused = loop, real, fused
        self.arrays, self.uniform = arrays, uniform
        groups = [[root] for root in loop.roots] if loop.apart else [loop.roots]
        self.groups = [(group, {*graph.in_order(*group, leaves=uniform)}) for group in groups]
        self.called = {node.op for _, nodes in self.groups for node in nodes}
        self.heavy = not self.called.intersection(FORMULAS) <= LIGHT
        self.whole = _INT32 if isinstance(real, ir.FloatType) else _INT64     # as wide as a lane

    def write(self, builder, n, end):
        """All n elements, then go to the block `end`."""
        in_place = set(self.loop.reads()).intersection(self.loop.writes)
        if self.called.isdisjoint(NEAR) or in_place:
            self.elements(builder, ir.Constant(_SIZE, 0), n, end)
        else:
            self.blocks(builder, n, end)

    def blocks(self, builder, n, end):
        """By blocks, with functions for arguments within reach; a block again if an argument was not."""
        function, zero = builder.function, ir.Constant(_SIZE, 0)
        block, done, again, following = (function.append_basic_block(name)
                                         for name in ("block", "done", "again", "following"))
        before = builder.block
        builder.cbranch(builder.icmp_signed("<", zero, n), block, end)

        builder = ir.IRBuilder(block)
        start = builder.phi(_SIZE)
        start.add_incoming(zero, before)
        stop = builder.add(start, ir.Constant(_SIZE, BLOCK))
        stop = builder.select(builder.icmp_signed("<", stop, n), stop, n)
        far = self.elements(builder, start, stop, done, near=True)

        builder = ir.IRBuilder(done)
        builder.cbranch(builder.icmp_signed("<", far, ir.Constant(self.whole, 0)), again, following)
        self.elements(ir.IRBuilder(again), start, stop, following)

        builder = ir.IRBuilder(following)
        start.add_incoming(stop, following)
        builder.cbranch(builder.icmp_signed("<", stop, n), block, end)

    def elements(self, builder, start, stop, end, near=False):
        """Elements start to stop; returns, if `near`, an integer below 0 if an argument was out of reach."""
        body, before = builder.function.append_basic_block("elements"), builder.block
        builder.cbranch(builder.icmp_signed("<", start, stop), body, end) if not near else builder.branch(body)
        builder = ir.IRBuilder(body)
        i = builder.phi(_SIZE)
        i.add_incoming(start, before)
        far = builder.phi(self.whole) if near else None
        if near:
            far.add_incoming(ir.Constant(self.whole, 0), before)
        values = {graph.element(name): self.apart(name, builder.load(self.place(builder, name, i)))
                  for name in self.loop.reads()}
        found, beyond = {}, far
        for group, nodes in self.groups:
            computed, beyond = self.formula(builder, group, nodes, self.uniform | values, beyond)
            found |= {root: computed[root] for root in group}
        for root, name in zip(self.loop.roots, self.loop.writes):
            self.apart(name, builder.store(found[root], self.place(builder, name, i)))
        following = builder.add(i, ir.Constant(_SIZE, 1), flags=("nuw", "nsw"))
        i.add_incoming(following, builder.block)
        if near:
            far.add_incoming(beyond, builder.block)
        branch = builder.cbranch(builder.icmp_signed("<", following, stop), body, end)
        if self.heavy and (near or self.called.isdisjoint(NEAR)):
            module = builder.function.module
            name = f"{_LOOP} {len(module.metadata)}"
            count = ["llvm.loop.interleave.count", ir.Constant(_INT32, INTERLEAVED)]
            branch.set_metadata("llvm.loop", module.add_metadata([name, module.add_metadata(count)]))
        return beyond

    def place(self, builder, name, i):
        return builder.gep(self.arrays[name], [i], inbounds=True)

    def apart(self, name, instruction):
        """Say that memory of the array `name` is no other array's."""
        module = instruction.function.module
        domain = module.add_metadata(["arrays"])
        scopes = {each: module.add_metadata([each, domain]) for each in self.arrays}
        instruction.set_metadata("alias.scope", module.add_metadata([scopes.pop(name)]))
        if scopes:
            instruction.set_metadata("noalias", module.add_metadata([*scopes.values()]))
        return instruction

    def formula(self, builder, roots, nodes, known, far):
        """The values of all nodes below the roots, and what is known of the functions' reach after `far`."""
        found = {}
        for node in graph.in_order(*roots, leaves=known):
            if node in known:
                found[node] = known[node]
            elif node.op == "constant":
                found[node] = self.constant(node.args[0])
            elif chain := self.chain(node, known):          # what is computed for nothing, LLVM drops
                name, start = chain
                found[node] = emit(builder, name, [found[start]], self.fused)
            else:
                operands = [found[operand] for operand in node.args]
                if far is not None and node.op in NEAR:
                    far = builder.or_(far, emit(builder, node.op, operands, self.fused, "beyond"))
                found[node] = self.operation(builder, node, operands, far is not None, nodes)
        return found, far

    def constant(self, value):
        with np.errstate(over="ignore"):            # beyond float32 it is infinite
            return ir.Constant(self.real, float(np.float32(value)) if isinstance(self.real, ir.FloatType) else value)

    def chain(self, node, known):
        """The name of the function that computes a chain of calls, and the node that it starts from; or None."""
        for called, row in CHAINS.items():
            inner = node
            for op in called:
                if inner.op != op or inner in known:
                    break
                inner = inner.args[0]
            else:
                return row.name, inner
        return None

    def operation(self, builder, node, operands, near, nodes):
        op = node.op
        if op in FORMULAS:
            form = "near" if near and op in NEAR else "complete"
            beside = next((b for a, b in BESIDE if a == op and graph.node(b, *node.args) in nodes), None)
            return emit(builder, op, operands, self.fused, form, beside)
        if op in _COMPARISONS:
            return builder.fcmp_ordered(_COMPARISONS[op], *operands)
        if op == "ne":
            return builder.fcmp_unordered("!=", *operands)
        if op == "abs":
            return emit(builder, "fabs", operands, self.fused)
        return getattr(builder, _INSTRUCTIONS[op])(*operands)
