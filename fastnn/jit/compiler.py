"""From a kernel's source to an address: compiled by numba, or found on disk, and linked into this process by LLVM.

For a kernel on disk numba is not imported, llvmlite's binding is: 30 ms against 700.
"""
import os
import threading
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from . import disk
from .errors import FormulaError

# what the code calls from outside: of the C library, what LLVM has for functions of a number
_EXTERNAL = {name + suffix for name in ("fmod", "pow", "exp", "log", "sin", "cos", "tan", "floor", "ceil", "trunc",
                                        "rint", "nearbyint", "fma") for suffix in ("", "f")}

_lock = threading.Lock()
_linked = {}                # key -> LLVM's library: machine code stays for as long as this process


def require_numba():
    """Raises ImportError where numba is not installed."""
    if find_spec("numba") is None:
        raise ImportError("registering a formula needs numba: pip install 'fastnn[jit]'")


def compile_kernel(kernel, arguments, dtype):
    """The address of a kernel.

    Parameters
    ----------
    kernel : source.Kernel
    arguments : sequence of str
        The types of its arguments, as in lowering.py.
    dtype : str
        "float32" or "float64".

    Raises FormulaError, with the formula's line, for what cannot be compiled.
    """
    with _lock:
        key = disk.key(kernel.source, *arguments, dtype, *_target())
        if key not in _linked:
            _linked[key] = _stored(key) or _new(kernel, arguments, dtype, key)
        return _linked[key]["kernel"]


def _stored(key):
    code = disk.load(key)
    if code is None:
        return None
    try:
        return _link(code, key)
    except RuntimeError:        # calls what this process does not have: compiled again
        return None


def _new(kernel, arguments, dtype, key):
    code = machine_code(kernel, arguments, dtype)
    try:
        linked = _link(code, key)
    except RuntimeError as error:
        raise FormulaError(f"LLVM cannot link this formula: {error}") from None
    disk.store(key, code)
    return linked


def machine_code(kernel, arguments, dtype):
    """The kernel as an object file's bytes."""
    from .lowering import llvm_module
    module = llvm_module(kernel, arguments, dtype)
    foreign = [value.name for value in module.functions
               if value.is_declaration and not value.name.startswith("llvm.") and value.name not in _EXTERNAL]
    if foreign:
        raise FormulaError(f"this formula needs {', '.join(foreign)}, which a kernel cannot call")
    return target_machine().emit_object(module)


def _link(code, key):
    from llvmlite import binding as llvm
    return (llvm.JITLibraryBuilder().add_object_img(code).add_current_process().export_symbol("kernel")
            .link(_jit(), f"fastnn-{key}-{len(_linked)}"))


@cache
def _jit():
    from llvmlite import binding as llvm
    return llvm.create_lljit_compiler(target_machine())


@cache
def _processor():
    from llvmlite import binding as llvm
    try:
        features = llvm.get_host_cpu_features().flatten()
    except RuntimeError:        # not known on this platform
        features = ""
    return llvm.get_process_triple(), llvm.get_host_cpu_name(), features


@cache
def target_machine():
    """LLVM's for this processor."""
    from llvmlite import binding as llvm
    try:
        llvm.initialize()
    except RuntimeError:        # newer LLVMs need no such call
        pass
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    triple, name, features = _processor()
    return llvm.Target.from_triple(triple).create_target_machine(name, features, opt=3, codemodel="jitdefault", jit=True)


@cache
def _target():
    """What the machine code depends on besides the source."""
    import llvmlite
    own, numba = Path(__file__).parent, Path(find_spec("numba").origin).parent
    return (*_processor(), llvmlite.__version__, *(f"{k}={v}" for k, v in sorted(os.environ.items()) if k[:6] == "NUMBA_"),
            *disk.digests(numba/"_version.py", own/"lowering.py", own/"vecmath.py"))
