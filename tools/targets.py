"""Compile every generated C file for systems that are not here, with zig's clang: musl, macOS on ARM, Windows.

    pip install ziglang 'setuptools>=77.0.1' 'Cython>=3.3' 'numpy>=2.2.5'
    python tools/targets.py FOLDER [TARGET ...]

Nothing is linked or run. Headers of NumPy are those of each target's wheel; Python's are those of the interpreter here,
on Linux, which suits musl and macOS as far as fastnn sees of them, and with WINDOWS for its pyconfig.h where Windows is
the target. Exit status 1 if a file does not compile.
"""
import argparse
import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension

import loss_kernels
import pair_kernels
import rule_kernels
import translation

ROOT = Path(__file__).resolve().parents[1]
CORE = ROOT / "fastnn" / "core"
# zig's name: what NumPy's wheel is called, and processors by level of the kernels, as setup.py builds them there
X86_64 = {f"x86_64_v{n}": f"x86_64_v{n}" for n in (2, 3, 4)}
TARGETS = {"x86_64-linux-musl": ("musllinux_1_2_x86_64", X86_64),
           "aarch64-linux-musl": ("musllinux_1_2_aarch64", {"plain": None}),
           "aarch64-macos": ("macosx_14_0_arm64", {"plain": None}),
           "x86_64-windows-gnu": ("win_amd64", {"plain": None})}
FLAGS = ["-O3", "-fPIC", "-fno-math-errno", "-fno-trapping-math", "-Wno-unused-function",
         "-DNPY_NO_DEPRECATED_API=NPY_1_7_API_VERSION", "-DNPY_TARGET_VERSION=NPY_1_22_API_VERSION", "-DNDEBUG"]
WINDOWS = """
#define MS_WINDOWS
#define MS_WIN32
#define MS_WIN64
#define NT_THREADS
#define WITH_THREAD
#define HAVE_STDINT_H 1
#define HAVE_STDDEF_H 1
#define HAVE_SYS_TYPES_H 1
#define HAVE_SYS_STAT_H 1
#define HAVE_ERRNO_H 1
#define HAVE_WCHAR_H 1
#define HAVE_PROTOTYPES 1
#define STDC_HEADERS 1
#define ALIGNOF_MAX_ALIGN_T 8
#define SIZEOF_SHORT 2
#define SIZEOF_INT 4
#define SIZEOF_LONG 4
#define SIZEOF_LONG_LONG 8
#define SIZEOF_VOID_P 8
#define SIZEOF_SIZE_T 8
#define SIZEOF_OFF_T 4
#define SIZEOF_TIME_T 8
#define SIZEOF_WCHAR_T 2
#define SIZEOF_FLOAT 4
#define SIZEOF_DOUBLE 8
#define SIZEOF_HKEY 8
#define PLATFORM "win32"
#define DOUBLE_IS_LITTLE_ENDIAN_IEEE754 1
#define PyAPI_FUNC(type) __declspec(dllimport) type
#define PyAPI_DATA(type) extern __declspec(dllimport) type
#define PyMODINIT_FUNC __declspec(dllexport) PyObject *
#include <basetsd.h>
#include <io.h>
typedef SSIZE_T Py_ssize_t;
#define HAVE_PY_SSIZE_T 1
#define PY_SSIZE_T_MAX LLONG_MAX
"""


def generate(folder, levels):
    """The C of all modules: paths with the level of those that are built for one, and the folder of what these include."""
    generated = folder / "generated"
    for each in (loss_kernels, pair_kernels, rule_kernels):
        each.write(ROOT, generated)
    translation.write(generated, levels)
    sources = {path.stem: path for path in sorted(CORE.glob("*.pyx"))}
    sources |= {f"_{kind}": generated / f"_{kind}.pyx" for kind in translation.KINDS}
    sources["utilities"] = generated / "utilities.c"
    made = cythonize([Extension(f"fastnn.core.{name}", [os.path.relpath(path)]) for name, path in sources.items()],
                     build_dir=str(folder / "c"), quiet=True, force=True,
                     include_path=[str(ROOT), str(CORE), str(generated)],
                     compiler_directives=translation.DIRECTIVES, **translation.SHARED)
    engine = [Path(extension.sources[0]) for extension in made if "._" not in extension.name]
    (of_kernels,) = {Path(extension.sources[0]).parent for extension in made if "._" in extension.name}
    return [*((path, None) for path in engine),
            *((generated / f"{name}.c", level) for name, (_, level) in translation.kernels(levels).items())], of_kernels


def headers(folder, target, wheel):
    """Options that lead to Python's and NumPy's headers."""
    numpy, python = folder / target / "numpy", folder / target / "python"
    if not numpy.is_dir():
        subprocess.run([sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary=:all:",
                        "--platform", wheel, "-d", str(folder / target), "numpy"], check=True)
        (path,) = (folder / target).glob("numpy*.whl")
        with zipfile.ZipFile(path) as archive:
            archive.extractall(numpy, [name for name in archive.namelist() if "/_core/include/" in name])
    shutil.rmtree(python, ignore_errors=True)
    shutil.copytree(sysconfig.get_paths()["include"], python)
    if "windows" in target:
        (python / "pyconfig.h").write_text(WINDOWS)
    return [f"-I{python}", f"-I{numpy / 'numpy' / '_core' / 'include'}", f"-I{CORE}"]


def compile_one(target, source, processor, options, out):
    """What the compiler says of it, or nothing."""
    options = [*options, "-ffp-contract=off" if source.stem.startswith(("_rules", "_layers", "stepping")) else "-ffp-contract=fast"]
    if processor:
        options.append(f"-mcpu={processor}")
    if "windows" not in target:
        options.append("-pthread")
    if source.stem.startswith("_"):
        options += ["-DCYTHON_INLINE=inline __attribute__((always_inline))", "-Werror=double-promotion"]
    done = subprocess.run([sys.executable, "-m", "ziglang", "cc", "-target", target, *FLAGS, *options,
                           "-c", str(source), "-o", str(out)], capture_output=True, text=True)
    return f"{source.name}:\n{done.stderr[-3000:]}" if done.returncode else ""


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path, help="where everything is written")
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"of {', '.join(TARGETS)} (default: all)")
    options = parser.parse_args(arguments)
    if set(options.targets) - set(TARGETS):
        parser.error(f"there is {', '.join(TARGETS)}")
    os.chdir(ROOT)
    folder = options.folder.resolve()
    chosen = {target: TARGETS[target] for target in options.targets or TARGETS}
    levels = list(dict.fromkeys(level for _, there in chosen.values() for level in there))
    sources, of_kernels = generate(folder, levels)
    failed = False
    for target, (wheel, there) in chosen.items():
        found = [*headers(folder, target, wheel), f"-I{of_kernels}"]
        mine = [(source, level) for source, level in sources if level is None or level in there]
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            said = pool.map(lambda one: compile_one(target, one[0], there.get(one[1]), found,
                                                    folder / target / f"{one[0].stem}.o"), mine)
            errors = [error for error in said if error]
        print(*errors, f"{target}: {len(mine) - len(errors)} of {len(mine)} files compile", sep="\n", flush=True)
        failed |= bool(errors)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
