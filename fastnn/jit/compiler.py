"""From a kernel to an address: compiled by LLVM, or found on disk, and linked into this process."""
import os
import threading
from functools import cache
from importlib.util import find_spec
from itertools import count

from . import disk
from .errors import FormulaError

# what the code may call from outside: of the C library, what LLVM makes of an instruction or of one of its functions
EXTERNAL = {name + suffix for name in ("fmod", "floor", "ceil", "trunc", "rint", "nearbyint", "fma") for suffix in ("", "f")}

_lock = threading.Lock()
_numbers = count()          # of libraries: a name is used up even where linking fails
_linked = {}                # key -> LLVM's library: machine code stays for as long as this process


def require_llvm():
    """Raises ImportError where llvmlite is not installed."""
    if find_spec("llvmlite") is None:
        raise ImportError("formulas are compiled by LLVM, which needs llvmlite: pip install 'fastnn[jit]'")


def compile_kernel(kernel, dtype):
    """The address of a kernel for "float32" or "float64".

    Raises FormulaError for what cannot be compiled.
    """
    with _lock:
        key = disk.key(kernel.text(), dtype, *_processor(), _llvm_version())
        if key not in _linked:
            _linked[key] = _stored(key) or _new(kernel, dtype, key)
        return _linked[key]["kernel"]


def _stored(key):
    code = disk.load(key)
    if code is None:
        return None
    try:
        return _link(code)
    except RuntimeError:        # what it calls is not in this process, or it is no object file: compiled again
        return None


def _new(kernel, dtype, key):
    try:
        code = target_machine().emit_object(optimised(kernel, dtype))
        linked = _link(code)
    except RuntimeError as error:
        raise FormulaError(f"LLVM cannot compile this formula: {error}") from None
    disk.store(key, code)
    return linked


def optimised(kernel, dtype):
    """LLVM's module of a kernel, optimised for this processor."""
    from llvmlite import binding as llvm

    from .lowering import written
    module = llvm.parse_assembly(written(kernel, dtype, has_fma()))
    for value in (*module.functions, *module.global_variables):
        if not value.is_declaration and value.name != "kernel":
            value.linkage = "internal"
    options = llvm.create_pipeline_tuning_options(speed_level=3)
    options.loop_vectorization = options.slp_vectorization = True
    builder = llvm.create_pass_builder(target_machine(), options)
    builder.getModulePassManager().run(module, builder)
    return module


def _link(code):
    from llvmlite import binding as llvm
    return (llvm.JITLibraryBuilder().add_object_img(code).add_current_process().export_symbol("kernel")
            .link(_jit(), f"fastnn-{next(_numbers)}"))


@cache
def _jit():
    from llvmlite import binding as llvm
    return llvm.create_lljit_compiler(target_machine())


@cache
def _processor():
    """The platform, and what to compile for: this processor and its features, or the level that FASTNN_ISA forces."""
    from llvmlite import binding as llvm
    forced = os.environ.get("FASTNN_ISA", "")
    if forced.startswith("x86-64"):
        return llvm.get_process_triple(), forced, ""
    try:
        features = llvm.get_host_cpu_features().flatten()
    except RuntimeError:        # not known on this platform
        features = ""
    return llvm.get_process_triple(), llvm.get_host_cpu_name(), features


def processor_name():
    """What is compiled for, as LLVM calls it."""
    return _processor()[1]


def has_fma():
    triple, name, features = _processor()
    return ("+fma" in features.split(",") or name in ("x86-64-v3", "x86-64-v4")
            or triple.startswith(("aarch64", "arm64")))


def _llvm_version():
    import llvmlite
    return llvmlite.__version__


@cache
def target_machine():
    """LLVM's for this processor."""
    from llvmlite import binding as llvm
    try:
        llvm.initialize()
    except RuntimeError:        # newer ones need no such call
        pass
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    triple, name, features = _processor()
    return llvm.Target.from_triple(triple).create_target_machine(name, features, opt=3, codemodel="jitdefault", jit=True)
