"""From a kernel to an address: compiled by numba, or found on disk and linked into this process.

For a kernel on disk llvmlite, numba's binding of LLVM, is imported, numba itself is not.
"""
import os
import threading
from functools import cache
from importlib.util import find_spec
from itertools import count
from pathlib import Path

from . import disk

_lock = threading.Lock()
_numbers = count()          # of libraries: a name is used up even where linking fails
_found = {}                 # key -> an address, and what keeps it: machine code stays for as long as this process


def require_numba():
    """Raises ImportError where numba is not installed."""
    if find_spec("numba") is None:
        raise ImportError("formulas are compiled by numba: pip install 'fastnn[jit]'")


def compile_kernel(kernel, dtype):
    """The address of a kernel for "float32" or "float64".

    Raises FormulaError for what cannot be compiled.
    """
    with _lock:
        key = disk.key(kernel.text(), dtype, *_processor(), *_versions())
        if key not in _found:
            _found[key] = _stored(key) or _new(kernel, dtype, key)
        return _found[key][0]


def compile_kernels(kernel):
    """The addresses of a kernel for float and for double."""
    return tuple(compile_kernel(kernel, dtype) for dtype in ("float32", "float64"))


def _symbol(key):
    return f"fastnn_{key}"


def _stored(key):
    code = disk.load(key)
    if code is None:
        return None
    try:
        return _link(code, _symbol(key))
    except RuntimeError:        # what it calls is not in this process, or it is no object file: compiled again
        return None


def _new(kernel, dtype, key):
    from .callback import object_file
    found = compiled(kernel, dtype, _symbol(key))
    disk.store(key, object_file(found))
    return found.address, found


def compiled(kernel, dtype, symbol):
    """numba's CFunc of a kernel, for this processor or for the level that FASTNN_ISA forces."""
    from . import callback
    return callback.compiled(kernel, dtype, symbol, has_fma(), _forced())


def _link(code, symbol):
    from llvmlite import binding as llvm
    library = (llvm.JITLibraryBuilder().add_object_img(code).add_current_process().export_symbol(symbol)
               .link(_jit(), f"fastnn-{next(_numbers)}"))
    return library[symbol], library


@cache
def _jit():
    from llvmlite import binding as llvm
    return llvm.create_lljit_compiler(target_machine())


@cache
def _processor():
    """The platform, and what to compile for: this processor and its features, or the level that FASTNN_ISA forces."""
    from llvmlite import binding as llvm
    if _forced():
        return llvm.get_process_triple(), _forced(), ""
    try:
        features = llvm.get_host_cpu_features().flatten()
    except RuntimeError:        # not known on this platform
        features = ""
    return llvm.get_process_triple(), llvm.get_host_cpu_name(), features


def _forced():
    """LLVM's name for the level that FASTNN_ISA forces, or None."""
    level = os.environ.get("FASTNN_ISA", "")
    return level if level.startswith("x86-64") else None


def processor_name():
    """What is compiled for, as LLVM calls it."""
    return _processor()[1]


def has_fma():
    triple, name, features = _processor()
    return ("+fma" in features.split(",") or name in ("x86-64-v3", "x86-64-v4")
            or triple.startswith(("aarch64", "arm64")))


@cache
def _versions():
    return _version("numba"), _version("llvmlite")


def _version(package):
    """What tells a version without importing the package. importlib.metadata takes a quarter of all the time to import."""
    try:
        return Path(find_spec(package).origin).with_name("_version.py").read_text(encoding="utf-8")
    except OSError:
        from importlib.metadata import version
        return version(package)


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
