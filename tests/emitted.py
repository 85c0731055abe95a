"""Loops around fastnn.jit's functions, compiled by LLVM alone: all of them in less time than numba needs for three."""
import ctypes
import functools

import llvmlite.binding as llvm
import numpy as np
from llvmlite import ir

from fastnn.jit.formulas import FORMULAS, emit
from fastnn.jit.functions import CHAINS, FUNCTIONS

ROWS = FUNCTIONS | {row.name: row for row in CHAINS.values()}

REAL = {"float32": ir.FloatType(), "float64": ir.DoubleType()}
COUNT = ir.IntType(64)


@functools.cache
def target():
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    return llvm.Target.from_default_triple().create_target_machine(
        cpu=llvm.get_host_cpu_name(), features=llvm.get_host_cpu_features().flatten(), opt=3, jit=True)


@functools.cache
def host_has_fma():
    return bool(llvm.get_host_cpu_features().get("fma")) or target().triple.startswith(("aarch64", "arm64"))


def add_loop(module, name, dtype, fma, form):
    """void name_form(const T *x, const T *y, T *out, int64 n). "any" is a near loop and, if need be, a complete one."""
    real = REAL[dtype]
    kind = ir.FunctionType(ir.VoidType(), [real.as_pointer()]*3 + [COUNT])
    function = ir.Function(module, kind, f"{name}_{form}")
    *pointers, n = function.args
    for p in pointers:
        p.add_attribute("noalias")
    whole = ir.IntType(32 if dtype == "float32" else 64)
    start = function.append_basic_block("start")

    def loop(before, form, after):
        """One pass; whether an argument was beyond reach is handed to `after`, where that is asked for."""
        block = function.append_basic_block(form)
        ir.IRBuilder(before).branch(block)
        builder = ir.IRBuilder(block)
        i, far = builder.phi(COUNT), builder.phi(whole)
        i.add_incoming(COUNT(0), before)
        far.add_incoming(whole(0), before)
        values = [builder.load(builder.gep(p, [i])) for p in pointers[:ROWS[name].arity]]
        builder.store(emit(builder, name, values, fma, form), builder.gep(pointers[2], [i]))
        found = far
        if after is not None:
            found = builder.or_(far, emit(builder, name, values, fma, "beyond"))
        following = builder.add(i, COUNT(1), flags=["nsw"])
        i.add_incoming(following, block)
        far.add_incoming(found, block)
        end = function.append_basic_block()
        builder.cbranch(builder.icmp_signed("<", following, n), block, end)
        builder.position_at_end(end)
        if after is None:
            builder.ret_void()
        else:
            again, done = function.append_basic_block(), function.append_basic_block()
            builder.cbranch(builder.icmp_signed("<", found, whole(0)), again, done)
            ir.IRBuilder(done).ret_void()
            loop(again, after, None)

    if form == "any":
        loop(start, "near", "complete")
    else:
        loop(start, form, None)


def optimised(loops, dtype, fma):
    """An LLVM module with loops (name, form)."""
    module = ir.Module("loops")
    module.triple, module.data_layout = target().triple, str(target().target_data)
    for name, form in loops:
        add_loop(module, name, dtype, fma, form)
    parsed = llvm.parse_assembly(str(module))
    parsed.verify()
    options = llvm.create_pipeline_tuning_options(speed_level=3)
    options.loop_vectorization = True
    builder = llvm.create_pass_builder(target(), options)
    builder.getModulePassManager().run(parsed, builder)
    return parsed


@functools.cache
def assembly(name, form, dtype, fma):
    return target().emit_assembly(optimised([(name, form)], dtype, fma))


def forms(name):
    return ("any", "near", "complete") if FORMULAS[name].near else ("complete",)


@functools.cache
def compiled(dtype, fma):
    """{(name, form): function of arrays}, and what keeps their code alive."""
    loops = [(name, form) for name in ROWS for form in forms(name)]
    engine = llvm.create_mcjit_compiler(optimised(loops, dtype, fma), target())
    engine.finalize_object()
    prototype = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p]*3, ctypes.c_int64)

    def of_arrays(name, form):
        loop = prototype(engine.get_function_address(f"{name}_{form}"))

        def function(*arguments):
            arguments = [np.ascontiguousarray(a, dtype) for a in arguments]
            out = np.empty_like(arguments[0])
            loop(arguments[0].ctypes.data, arguments[-1].ctypes.data, out.ctypes.data, out.size)
            return out
        return function
    return {key: of_arrays(*key) for key in loops}, engine


def evaluate(name, dtype, fma, *arguments, form=None):
    return compiled(dtype, fma)[0][name, form or forms(name)[0]](*arguments)
