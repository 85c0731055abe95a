"""Build the compiled core: the kernels once per instruction-set level, everything else once, with OpenMP if any."""
import os
import re
import sys
import sysconfig
import tempfile
from functools import cache
from pathlib import Path
from threading import Lock

import numpy
from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.command.build_py import build_py
from setuptools.errors import CompileError, LinkError

ROOT = Path(__file__).parent
sys.path.append(str(ROOT / "tools"))        # a build by pip does not have it there
import loss_kernels                         # noqa: E402
import names                                # noqa: E402
import pair_kernels                         # noqa: E402
import rule_kernels                         # noqa: E402
import translation                          # noqa: E402

CORE = Path("fastnn", "core")
GENERATED = Path("build", "generated")
ENGINE = ["affine", "arrays", "clipping", "cohorts", "concatenated", "decay", "dropout", "elementwise", "factored",
          "gated_units", "gumbel", "layouts", "learned", "locks", "mean_loss", "measuring", "memory", "normalization",
          "pair_losses", "processor", "records", "reductions", "row_losses", "row_norms", "rows", "spans", "sparse",
          "stepping", "threads", "transactions", "triplets", "ulps"]

# What each level's kernels are compiled with; fastnn/core/processor.pyx asks the processor for exactly these.
FLAGS = {
    "x86_64_v2": ["-msse4.2", "-mpopcnt"],
    "x86_64_v3": ["-mavx2", "-mfma", "-mf16c", "-mbmi", "-mbmi2"],
    "x86_64_v4": ["-mavx2", "-mfma", "-mf16c", "-mbmi", "-mbmi2", "-mavx512f", "-mavx512bw", "-mavx512cd",
                  "-mavx512dq", "-mavx512vl", "-mprefer-vector-width=512"],
    "plain": [],
}

# Vectorisation needs -fno-trapping-math (both sides of a choice are computed), -fno-math-errno (sqrt) and
# -fno-thread-jumps (which would split a loop in two at a clamp); the parameter, rules with many state arrays.
# -ffast-math is never used: linking with it would switch subnormals off in the whole process.
# Tables to unwind the stack are for C++ and a twentieth of a wheel.
UNIX_FLAGS = ["-O3", "-g0", "-fno-asynchronous-unwind-tables", "-fno-math-errno", "-fno-trapping-math",
              "-ffp-contract=fast", "-fno-thread-jumps", "--param=vect-max-version-for-alias-checks=64"]
# A bare 1.0 among the floats of a kernel would widen a whole loop: that is an error. Elsewhere clang says so of
# Cython's own code, too.
KERNEL_FLAGS = ["-Wdouble-promotion", "-Werror=double-promotion"]
# clang's, which finds the smooth formulas too long to work on several vectors at a time: up to 1.4 times as quick. What
# gcc does it for is in fastnn/core/loops.pxd. With 512 bits four vectors are more than a block.
INTERLEAVED = ["-mllvm", "-force-vector-interleave=4"]
MSVC_FLAGS = ["/O2", "/fp:precise"]
# The engine calls kernels and has few loops of its own: -O2 makes it an eighth smaller, and a call at most 4 % slower.
# Kernels at x86-64-v2, a seventh smaller, have the same times but for softmax's 1.05.
ENGINE_FLAGS = ["-O2", "-ftree-vectorize", "-fvect-cost-model=dynamic"]

# For FASTNN_SANITIZE (tools/sanitized.py), after everything else: CPython is compiled with -fwrapv, which would define
# what the sanitizer of undefined behaviour looks for, and with -DNDEBUG.
SANITIZERS = {"address", "undefined", "thread"}
SANITIZED_FLAGS = ["-O1", "-g", "-fno-omit-frame-pointer", "-fno-wrapv", "-UNDEBUG"]
# Names of static functions are a twenty-fifth of a wheel; FASTNN_SYMBOLS=1 keeps them, for a profiler.
STRIPPED = ["-Wl,--strip-all"]
ALWAYS_INLINE = {"unix": "inline __attribute__((always_inline))", "msvc": "__forceinline"}


def target():
    """What is built for: a processor, or "universal2". macOS may build for another one than its own, or for two."""
    named = set(re.findall(r"-arch\s+(\w+)", os.environ.get("ARCHFLAGS", "")))
    if named:
        return named.pop() if len(named) == 1 else "universal2"
    return sysconfig.get_platform().rpartition("-")[2]


def levels():
    """The instruction-set levels to build: several on x86-64 but for MSVC and fat binaries, else one.

    FASTNN_LEVELS="x86-64-v2,x86-64-v3" builds no others.
    """
    x86_64 = target() == "x86_64" and sys.maxsize > 2**32
    there = [level for level in FLAGS if (level == "plain") != (x86_64 and sys.platform != "win32")]
    wanted = named_in("FASTNN_LEVELS", {level.replace("_", "-") for level in there})
    return [level for level in there if not wanted or level.replace("_", "-") in wanted]


def named_in(variable, known):
    """The names in a variable of the environment, with commas between them."""
    names = set(filter(None, os.environ.get(variable, "").split(",")))
    if names - known:
        raise SystemExit(f"{variable}={os.environ[variable]}: there is {', '.join(sorted(known))}")
    return names


class BuildWithNames(build_py):
    """Add the stub with the catalogue's names, which no source folder has."""

    def run(self):
        super().run()
        if not self.editable_mode:
            names.write(ROOT, self.build_lib)


class BuildWithWhatIsThere(build_ext):
    """Make C of the .pyx files, add the flags that this compiler accepts, and compile."""

    translating = Lock()        # Cython is no friend of threads

    def run(self):
        super().run()
        if self.inplace or self.editable_mode:
            names.write(ROOT, ROOT)

    def build_extensions(self):
        unix = self.compiler.compiler_type != "msvc"
        sanitizers = self.sanitizer_flags(unix)
        flags = [flag for flag in UNIX_FLAGS if self.accepts([flag])] if unix else MSVC_FLAGS
        kernel_flags = [flag for flag in KERNEL_FLAGS if unix and self.accepts([flag])]
        engine_flags = [flag for flag in ENGINE_FLAGS if unix and self.accepts([flag])]
        interleaved = INTERLEAVED if unix and self.accepts(INTERLEAVED) else []
        keep = sanitizers or os.environ.get("FASTNN_SYMBOLS")
        stripped = STRIPPED if unix and not keep and self.accepts([], STRIPPED) else []
        threads = next((found for found in self.thread_flags(unix) if self.accepts(*found)), ([], []))
        if not any("openmp" in flag for flag in threads[0]):
            print(f"fastnn: building without OpenMP, {'with threads of its own' if unix else 'single-threaded'}",
                  file=sys.stderr)
        for extension in self.extensions:
            optimized = engine_flags if "._" not in extension.name or extension.name.endswith("_v2") else []
            extension.extra_compile_args = flags + optimized + threads[0] + extension.extra_compile_args
            extension.extra_link_args = threads[1] + stripped + extension.extra_link_args
            if unix and re.search("_(rules|layers)_|stepping$", extension.name):
                extension.extra_compile_args.append("-ffp-contract=off")        # see fastnn/core/rules.pxi
                extension.define_macros.append(("FASTNN_FMA", "0"))
            if extension.name.endswith("_layers_x86_64_v4"):
                extension.extra_compile_args.append("-mprefer-vector-width=256")
            if sanitizers:
                extension.extra_compile_args += SANITIZED_FLAGS + sanitizers
                extension.extra_link_args += sanitizers
            if "._" in extension.name:
                extension.extra_compile_args += kernel_flags
                if not re.search("_(rules|layers)_|v4$", extension.name):
                    extension.extra_compile_args += interleaved
                # the formulas must be inlined into the loops, whatever the compiler thinks of their size
                extension.define_macros.append(("CYTHON_INLINE", ALWAYS_INLINE["unix" if unix else "msvc"]))
        super().build_extensions()

    def build_extension(self, extension):
        """Make C of one .pyx, while other threads' compilers run, and compile it; kernels of all levels are of one .pyx."""
        source, = extension.sources
        kind, _ = translation.kernels(levels()).get(Path(source).stem, (None, None))
        with self.translating:
            if kind is None:
                extension.sources = [self.translated(extension.name, source)]
            else:
                extension.depends.append(self.translated(f"fastnn.core._{kind}", str(GENERATED / f"_{kind}.pyx")))
        super().build_extension(extension)

    @cache
    def translated(self, name, source):
        """The C of a module."""
        made, = cythonize(
            [Extension(name, [source])], build_dir="build", force=True,     # Cython does not see changes behind an include
            include_path=[".", str(CORE), str(GENERATED)], compiler_directives=translation.DIRECTIVES,
            **(translation.SHARED if name.startswith("fastnn.") else {}))
        return made.sources[0]

    def sanitizer_flags(self, unix):
        """-fsanitize for the names in FASTNN_SANITIZE; a compiler that has none of it must not go unnoticed."""
        names = named_in("FASTNN_SANITIZE", SANITIZERS)
        if not names:
            return []
        flags = [f"-fsanitize={','.join(sorted(names))}"]
        if "undefined" in names:
            flags += ["-fsanitize=float-cast-overflow", "-fno-sanitize-recover=all"]
            # clang's alone: methods are called by pointers of another type, as CPython has it
            flags += [flag for flag in ["-fno-sanitize=function"] if unix and self.accepts([flag])]
        if not unix or not self.accepts(SANITIZED_FLAGS + flags, flags):
            raise CompileError(f"this compiler does not know {' '.join(flags)}, which FASTNN_SANITIZE asks for")
        return flags

    @staticmethod
    def thread_flags(unix):
        """To compile and to link with, best first: OpenMP unless FASTNN_NO_OPENMP is set, POSIX threads."""
        openmp = [(["-fopenmp"], ["-fopenmp"]), (["-Xpreprocessor", "-fopenmp"], ["-lomp"])] if unix \
            else [(["/openmp"], [])]
        posix = [(["-pthread"], ["-pthread"])] if unix else []
        return posix if os.environ.get("FASTNN_NO_OPENMP") else openmp + posix

    def accepts(self, compile_args, link_args=()):
        """Whether a small program that calls OpenMP, if asked to, compiles and links with these arguments."""
        source = "#ifdef _OPENMP\n#include <omp.h>\nint main(void) { return omp_get_max_threads() < 1; }\n" \
                 "#else\nint main(void) { return 0; }\n#endif\n"
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "probe.c")
            path.write_text(source)
            try:
                strict = [] if self.compiler.compiler_type == "msvc" else ["-Werror"]
                objects = self.compiler.compile([str(path)], output_dir=folder, extra_postargs=[*strict, *compile_args])
                self.compiler.link_executable(objects, str(Path(folder, "probe")), extra_postargs=list(link_args))
            except (CompileError, LinkError):
                return False
        return True


def extension(name, flags=(), folder=CORE, package="fastnn.core.", suffix=".pyx"):
    return Extension(
        package + name, [str(folder / f"{name}{suffix}")],
        include_dirs=[numpy.get_include(), str(CORE), str("build" / GENERATED)],
        define_macros=[("NPY_NO_DEPRECATED_API", "NPY_1_7_API_VERSION"),
                       ("NPY_TARGET_VERSION", "NPY_1_22_API_VERSION")],
        extra_compile_args=list(flags),
        depends=[str(path) for pattern in ("*.pxd", "formulas/*.pxd", "losses/*.pxd", "*.pxi", "*.h")
                 for path in sorted(CORE.glob(pattern))])


rule_kernels.write(ROOT, ROOT / GENERATED)
loss_kernels.write(ROOT, ROOT / GENERATED)
pair_kernels.write(ROOT, ROOT / GENERATED)
translation.write(ROOT / GENERATED, levels())
setup(
    ext_modules=[extension(name, FLAGS[level], GENERATED, suffix=".c")
                 for name, (_, level) in translation.kernels(levels()).items()]
    + [extension(name) for name in ENGINE]
    + [extension("utilities", folder=GENERATED, suffix=".c")]
    + ([extension("planted", folder=Path("tools"), package="")] if os.environ.get("FASTNN_SANITIZE") else []),
    cmdclass={"build_ext": BuildWithWhatIsThere, "build_py": BuildWithNames},
    options={"build_ext": {"parallel": min(4, os.cpu_count() or 1)}},
)
