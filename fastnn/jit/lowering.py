"""From a kernel's source to machine code, by numba. Imported for the first kernel that is not on disk."""
import re

import numpy as np
from llvmlite import binding as llvm
from numba import cfunc, types
from numba.extending import intrinsic

from . import vecmath
from .compiler import target_machine
from .errors import FormulaError, at_line

_POINTERS = re.compile(r"\b(load|store)_(\w+)\(")
_FUNCTIONS = re.compile(r"\bf_(\w+)\(")


@intrinsic
def select(context, condition, a, b):
    """a if condition else b, without a branch."""
    def generate(context, builder, signature, values):
        return builder.select(*values)
    return a(types.boolean, a, a), generate


def _memory(name, names):
    """Functions that read and write the array `name`: LLVM is told that it does not overlap the others."""
    def keep_apart(builder, instruction):
        module = builder.module
        domain = module.add_metadata(["fastnn"])
        scopes = {each: module.add_metadata([each, domain]) for each in names}
        instruction.set_metadata("alias.scope", module.add_metadata([scopes[name]]))
        instruction.set_metadata("noalias", module.add_metadata([scopes[each] for each in names if each != name]))

    @intrinsic
    def load(context, pointer, i):
        def generate(context, builder, signature, values):
            value = builder.load(builder.gep(values[0], [values[1]], inbounds=True))
            keep_apart(builder, value)
            return value
        return pointer.dtype(pointer, types.intp), generate

    @intrinsic
    def store(context, pointer, i, value):
        def generate(context, builder, signature, values):
            keep_apart(builder, builder.store(values[2], builder.gep(values[0], [values[1]], inbounds=True)))
            return context.get_dummy_value()
        return types.void(pointer, types.intp, pointer.dtype), generate

    return load, store


def _namespace(source, real):
    names = sorted({name for _, name in _POINTERS.findall(source)})
    space = {"real": real, "select": select}
    for name in names:
        space[f"load_{name}"], space[f"store_{name}"] = _memory(name, names)
    for name in set(_FUNCTIONS.findall(source)):
        space[f"f_{name}"] = getattr(vecmath, name)
    return space


def _type(text, real):
    if text.endswith("*"):
        return types.CPointer(_type(text[:-1], real))
    return real if text == "real" else getattr(types, text)


def llvm_module(kernel, arguments, dtype):
    """LLVM's optimised module of the kernel, which is its one function that can be seen from outside.

    Parameters
    ----------
    kernel : source.Kernel
    arguments : sequence of str
        "real" (the dtype), another of numba's types, or a pointer to one, as in "real*".
    dtype : str

    Raises FormulaError, with the formula's line, for what numba does not compile.
    """
    space = _namespace(kernel.source, np.dtype(dtype).type)
    with np.errstate(all="ignore"):             # constants beyond float32 are infinite
        exec(compile(kernel.source, "<kernel>", "exec"), space)
    signature = types.void(*(_type(text, getattr(types, dtype)) for text in arguments))
    try:
        compiled = cfunc(signature, error_model="numpy", forceinline=True)(space["kernel"])
    except Exception as error:
        line = getattr(getattr(error, "loc", None), "line", None)
        line = kernel.lines[line - 1] if line and line <= len(kernel.lines) else None
        raise FormulaError(at_line(line, f"numba cannot compile this: {str(error).strip().splitlines()[0]}")) from None
    module = llvm.parse_assembly(compiled.inspect_llvm())
    _only(module, compiled.native_name)
    return module


def _only(module, name):
    """Drop everything that the function `name` does not need, and call it `kernel`."""
    for value in (*module.functions, *module.global_variables):
        if not value.is_declaration and value.name != name:
            value.linkage = "internal"
    module.get_function(name).name = "kernel"
    passes = llvm.create_new_module_pass_manager()
    passes.add_always_inliner_pass()
    passes.add_global_dead_code_eliminate_pass()
    passes.add_strip_dead_prototype_pass()
    passes.run(module, llvm.create_pass_builder(target_machine(), llvm.create_pipeline_tuning_options(3)))
