"""Build the core with the compiler's sanitizers, check that they find planted faults, and run the tests on it.

    python tools/sanitized.py                                   addresses and undefined behaviour, the whole suite
    python tools/sanitized.py --quick                           a sample of it, on one instruction-set level, for CI
    python tools/sanitized.py --sanitizer thread                data races: the tests with threads
    python tools/sanitized.py tests/test_rows.py -k softmax     what else is said goes to pytest
    python tools/sanitized.py --python script.py                or to an interpreter that imports this build

For gcc and clang, on Linux and macOS. The build lies in build/sanitized-* and is made anew when a source has changed;
FASTNN_LEVELS=x86-64-v3 makes it faster. It needs setuptools, Cython and NumPy in this interpreter, beside what the
tests need. ASAN_OPTIONS, LSAN_OPTIONS, UBSAN_OPTIONS and TSAN_OPTIONS of the environment are added to those below. Exit
status: pytest's; 1 if a planted fault was not found, 2 if there is no such build, 3 if the compiler has no such
sanitizer.
"""
import argparse
import importlib.metadata
import importlib.util
import os
import platform
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
MAC = sys.platform == "darwin"

# The runtimes come first in a process, since the interpreter does not bring them along.
GCC_RUNTIMES = {"address": "libasan.so", "undefined": "libubsan.so", "thread": "libtsan.so"}
CLANG_RUNTIMES = {"address": "asan", "undefined": "ubsan_standalone", "thread": "tsan"}
CLANG_MAC_RUNTIMES = {"address": "asan", "undefined": "ubsan", "thread": "tsan"}

# The interpreter does not give all memory back at its end, so tests/conftest.py looks for leaks before that. A huge
# request must fail as it would without the sanitizer. A child of a fork goes on with one thread.
OPTIONS = {
    "ASAN_OPTIONS": f"detect_leaks={int(not MAC)}:leak_check_at_exit=0:malloc_context_size=20"
                    ":allocator_may_return_null=1:detect_stack_use_after_return=1:quarantine_size_mb=64",
    "LSAN_OPTIONS": f"print_suppressions=0:suppressions='{ROOT / 'tools' / 'leak_sanitizer.supp'}'",
    "UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1",
    "TSAN_OPTIONS": "halt_on_error=1:die_after_fork=0:second_deadlock_stack=1:history_size=4"
                    f":suppressions='{ROOT / 'tools' / 'thread_sanitizer.supp'}'",
}

# planted.pyx has them, but for one; the words are the report's
LEAK = """
import ctypes, numpy
lost = numpy.ones(100)
ctypes.pythonapi.Py_IncRef(ctypes.py_object(lost))
del lost
raise SystemExit(ctypes.CDLL(None).__lsan_do_recoverable_leak_check())
"""
FAULTS = {
    "address": {"read": "heap-buffer-overflow", "write": "heap-buffer-overflow", "freed": "heap-use-after-free",
                "dead": "heap-use-after-free", "recycled": "use-after-poison", "slack": "use-after-poison",
                "fence": "use-after-poison", **({} if MAC else {"leak": "detected memory leaks"})},
    "undefined": {"overflow": "signed integer overflow", "shift": "shift exponent", "unaligned": "misaligned",
                  "float": "outside the range", "index": "out of bounds"},
    "thread": {"race": "data race"},
}

THREADED = ["threads", "in_use", "forks", "memory", "determinism", "optimizers", "affine"]
# Where memory is most at risk; of each file every n-th test.
QUICK = {"memory": 2, "arrays": 25, "activations": 40, "rows": 40, "affine": 20, "half_parameters": 8,
         "state_dtype": 20, "optimizers": 20, "optimizer_calls": 20, "steps": 37, "groups": 10, "norms": 7,
         "repeated_steps": 9, "in_use": 6, "threads": 12}


class Parser(argparse.ArgumentParser):
    def error(self, message):
        self.exit(2, f"sanitized.py: {message}\n")


class Unavailable(Exception):
    """There is no such build on this machine."""


def compiler():
    return shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")


def answer(*arguments):
    try:
        return subprocess.run([*compiler(), *arguments], capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError) as error:
        raise Unavailable(f"the C compiler does not work: {error}") from None


def has_sanitizers(names):
    """Whether a program compiles and runs with them; Unavailable where it does not without them either."""
    with tempfile.TemporaryDirectory() as folder:
        source, program = Path(folder, "probe.c"), Path(folder, "probe")
        source.write_text("int main(void) { return 0; }\n")
        answer(str(source), "-o", str(program))
        command = [*compiler(), f"-fsanitize={','.join(names)}", str(source), "-o", str(program)]
        return not (subprocess.run(command, capture_output=True).returncode
                    or subprocess.run([program], capture_output=True).returncode)


def preloaded(names):
    """Paths of these sanitizers' runtimes; and of libstdc++, which the address sanitizer looks for at its start."""
    if "clang" not in answer("--version"):
        wanted = [[GCC_RUNTIMES[name]] for name in names] + [["libstdc++.so.6"]]
    elif MAC:
        wanted = [[f"libclang_rt.{CLANG_MAC_RUNTIMES[name]}_osx_dynamic.dylib"] for name in names]
    else:
        names = [name for name in names if name != "undefined" or "address" not in names]       # asan has it inside
        wanted = [[f"libclang_rt.{CLANG_RUNTIMES[name]}{suffix}.so" for suffix in (f"-{platform.machine()}", "")]
                  for name in names] + [["libstdc++.so.6"]]
    paths = []
    for files in wanted:
        there = [path for path in (answer(f"-print-file-name={file}") for file in files) if os.path.isabs(path)]
        if there:
            paths.append(os.path.realpath(there[0]))
        elif files != ["libstdc++.so.6"]:
            raise Unavailable(f"the C compiler has no {files[0]}")
    return paths


def environment(names, lib):
    """What the tests run in, and the interpreters that they start."""
    variables = dict(os.environ)
    variables["FASTNN_SANITIZE"] = ",".join(names)
    variables["PYTHONPATH"] = os.pathsep.join(filter(None, [str(lib), os.environ.get("PYTHONPATH")]))
    variables["PYTHONMALLOC"] = "malloc"                # each object and buffer by itself
    variables["DYLD_INSERT_LIBRARIES" if MAC else "LD_PRELOAD"] = ":".join(preloaded(names))
    for variable, options in OPTIONS.items():
        variables[variable] = ":".join(filter(None, [options, os.environ.get(variable)]))
    if "thread" in names:
        variables["OPENBLAS_NUM_THREADS"] = "1"         # its threads are not compiled with the sanitizer
    return variables


def build(names, levels):
    """The folder with the package and its sanitized core."""
    for module in ("setuptools", "Cython", "numpy"):
        if importlib.util.find_spec(module) is None:
            raise Unavailable(f"the build needs {module} in {sys.executable}")
    folder = ROOT / "build" / "-".join(["sanitized", *names, *filter(None, levels.split(","))])
    lib, stamp = folder / "lib", folder / "built"
    sources = [ROOT / "setup.py", ROOT / "tools" / "planted.pyx", *(ROOT / "tools").glob("*_kernels.py"),
               ROOT / "tools" / "translation.py", *(ROOT / "fastnn" / "core").rglob("*.[ph]*"), *(ROOT / "fastnn" / "optimizers").glob("*.py"),
               *(ROOT / "fastnn" / "dialects").glob("*.py")]
    newest = max(path.stat().st_mtime_ns for path in sources)
    key = f"{sys.version}\nNumPy {importlib.metadata.version('numpy')}\n{answer('--version')}\n{newest}\n"
    fresh = stamp.is_file() and stamp.read_text() == key
    if not fresh:
        shutil.rmtree(folder, ignore_errors=True)
    variables = {**os.environ, "FASTNN_SANITIZE": ",".join(names), "FASTNN_LEVELS": levels}
    done = subprocess.run(
        [sys.executable, "setup.py", "-q", "build_py", "--build-lib", str(lib),
         *([] if fresh else ["build_ext", "--build-lib", str(lib), "--build-temp", str(folder / "temp")])],
        cwd=ROOT, env=variables, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        raise Unavailable(f"the build failed: {done.stdout[-4000:].strip()}")
    stamp.write_text(key)
    return lib


def look_for_faults(names, variables):
    """Faults that were not reported as they should be."""
    missed = []
    for name in names:
        for fault, words in FAULTS[name].items():
            code = LEAK if fault == "leak" else f"import planted; planted.FAULTS[{fault!r}]()"
            done = subprocess.run([sys.executable, "-c", code], env=variables, cwd=ROOT, capture_output=True, text=True)
            if done.returncode == 0 or words not in done.stderr:
                missed.append(f"{name} sanitizer: {fault!r} was not found (exit status {done.returncode})\n"
                              f"{done.stderr[-2000:]}")
    return missed


def run_tests(arguments, variables):
    # not -m, which would find ./fastnn; reports of the sanitizers go past pytest to the terminal
    code = "import sys; sys.path.pop(0); import pytest; sys.exit(pytest.main(sys.argv[1:]))"
    return subprocess.run([sys.executable, "-c", code, "--capture=sys", "-n", "0", *arguments], cwd=ROOT, env=variables).returncode


def main(arguments=None):
    parser = Parser(description=__doc__.partition("\n")[0], allow_abbrev=False,
                                     epilog="Everything else goes to pytest.")
    parser.add_argument("--sanitizer", default="address,undefined", help="default: %(default)s; or thread")
    parser.add_argument("--quick", action="store_true", help="a sample of the tests, on one instruction-set level")
    parser.add_argument("--faults", action="store_true", help="build and check for the planted faults only")
    parser.add_argument("--python", nargs=argparse.REMAINDER, metavar="...",
                        help="a script and its arguments, or -c ..., to run instead of the tests")
    options, rest = parser.parse_known_args(arguments)
    names = sorted(set(options.sanitizer.split(",")))
    if set(names) - set(FAULTS) or {"address", "thread"} <= set(names):
        parser.error(f"--sanitizer {options.sanitizer}: address, undefined or both, or thread")
    try:
        if os.name != "posix":
            raise Unavailable("sanitizers need gcc or clang on Linux or macOS")
        if not has_sanitizers(names):
            print(f"sanitized.py: no -fsanitize={','.join(names)} with this compiler on this machine", file=sys.stderr)
            return 3
        x86_64 = platform.machine() in {"x86_64", "AMD64"}
        levels = ("x86-64-v2" if x86_64 else "plain") if options.quick else os.environ.get("FASTNN_LEVELS", "")
        lib = build(names, levels)
        variables = environment(names, lib)
    except Unavailable as error:
        print(f"sanitized.py: {error}", file=sys.stderr)
        return 2
    missed = look_for_faults(names, variables)
    print(*missed, sep="\n", end="", file=sys.stderr)
    planted = sum(len(FAULTS[name]) for name in names)
    print(f"-fsanitize={','.join(names)}: found {planted - len(missed)} of {planted} planted faults", flush=True)
    if missed or options.faults:
        return int(bool(missed))
    if options.python is not None:
        return subprocess.run([sys.executable, *options.python], env=variables).returncode
    if options.quick:
        rest = [f"--every={','.join(f'{file}:{n}' for file, n in QUICK.items())}", "-q", *rest]
        rest += [f"tests/test_{file}.py" for file in QUICK]
    elif "thread" in names and not any("test_" in argument for argument in rest):
        rest += [f"tests/test_{file}.py" for file in THREADED]
    return run_tests(rest, variables)


if __name__ == "__main__":
    sys.exit(main())
