"""Kernels through numba: numba.cfunc around a call of the code that lowering.py writes. Imported for what is not on disk.

numba's part is the C function with the engine's signature, its processor and its passes. It is not asked to infer the types
of the formula: a graph has none to infer, and that took three times as long as all the rest.
"""
import re

from llvmlite import binding as llvm
from llvmlite import ir
from numba import cfunc, types
from numba.core.errors import NumbaError
from numba.extending import intrinsic

from .errors import FormulaError
from .lowering import written

_DEFINED = re.compile(r"^(define .*)\n\{", re.MULTILINE)


def compiled(kernel, dtype, name, fused, processor=None):
    """numba's CFunc of a kernel; the code of the loops is the function `name` in its module.

    Parameters
    ----------
    kernel : kernels.Kernel
    dtype : str
        "float32" or "float64".
    name : str
        Unique in this process, unless the code is the same.
    fused : bool
        Whether the processor has fused multiply-add.
    processor : str, optional
        LLVM's name for what to compile for, if not for the one at hand.

    Raises FormulaError for what LLVM cannot compile.
    """
    real = types.float32 if dtype == "float32" else types.float64
    pointer = types.CPointer(real)
    kinds = {"real*": pointer, "real**": types.CPointer(pointer), "real": real, "int32": types.int32, "size": types.intp}
    arguments = [kinds[kind] for kind in kernel.arguments.values()]

    def typed():
        return types.void(*arguments), lambda *given: _call(*given, written(kernel, dtype, fused), name, processor)

    entry = _entry(", ".join(kernel.arguments), typed)
    try:
        return cfunc(types.void(*arguments), error_model="numpy")(entry)
    except (NumbaError, RuntimeError) as error:
        raise FormulaError(f"LLVM cannot compile this formula: {error}") from None


def _entry(names, typed):
    """A function of arguments of these names that calls what `typed` gives the type and the code of.

    Written as text, since numba takes functions whose arguments are fixed, and kinds of kernels differ in theirs.
    """
    space = {"typed": typed}
    exec(f"def loops(context, {names}):\n    return typed()\ndef entry({names}):\n    loops({names})\n", space)
    space["loops"] = intrinsic(space["loops"])
    return space["entry"]


def _call(context, builder, signature, arguments, code, name, processor):
    """Add the code to numba's module, and call it."""
    context.active_code_library.add_llvm_module(_module(code, name, processor))
    kind = ir.FunctionType(ir.VoidType(), [argument.type for argument in arguments])
    builder.call(ir.Function(builder.module, kind, name), arguments)
    return context.get_dummy_value()


def _module(code, name, processor):
    if processor:           # functions may have one of their own, as long as they stay apart
        code = _DEFINED.sub(rf'\1 noinline "target-cpu"="{processor}" "target-features"=""\n{{', code)
    module = llvm.parse_assembly(code)
    for value in (*module.functions, *module.global_variables):
        if value.name == "kernel":
            value.name = name
        elif not value.is_declaration:
            value.linkage = "internal"
    return module


def optimised(found):
    """The optimised module of what `compiled` returns."""
    return found._library._final_module


def object_file(found):
    """The machine code of what `compiled` returns, as an object file's bytes."""
    return found._library.serialize_using_object_code()[2][0]
