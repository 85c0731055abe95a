"""Build the compiled core: the kernels once per instruction-set level, everything else once, with OpenMP if any."""
import os
import platform
import sys
import sysconfig
import tempfile
from pathlib import Path

import numpy
from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.errors import CompileError, LinkError

CORE = Path("fastnn", "core")
ENGINE = ["affine", "arrays", "elementwise", "mean_loss", "memory", "processor", "rows", "stepping", "threads", "ulps"]

# What each level's kernels are compiled with; fastnn/core/processor.pyx asks the processor for exactly these.
X86_64_LEVELS = {
    "x86_64_v2": ["-msse4.2", "-mpopcnt"],
    "x86_64_v3": ["-mavx2", "-mfma", "-mbmi", "-mbmi2"],
    "x86_64_v4": ["-mavx2", "-mfma", "-mbmi", "-mbmi2", "-mavx512f", "-mavx512bw", "-mavx512cd", "-mavx512dq",
                  "-mavx512vl", "-mprefer-vector-width=512"],
}

# Vectorisation needs -fno-trapping-math (both sides of a choice are computed), -fno-math-errno (sqrt) and
# -fno-thread-jumps (which would split a loop in two at a clamp); the parameter, rules with many state arrays.
# -ffast-math is never used: linking with it would switch subnormals off in the whole process. A bare 1.0 among floats
# would widen a whole loop: that is an error.
UNIX_FLAGS = ["-O3", "-g0", "-fno-math-errno", "-fno-trapping-math", "-ffp-contract=fast", "-fno-thread-jumps",
              "--param=vect-max-version-for-alias-checks=64", "-Wdouble-promotion", "-Werror=double-promotion"]
MSVC_FLAGS = ["/O2", "/fp:precise"]
ALWAYS_INLINE = {"unix": "inline __attribute__((always_inline))", "msvc": "__forceinline"}


def levels():
    """The instruction-set levels to build, with their flags: several on x86-64 but for MSVC and fat binaries, else one."""
    one_target = "universal2" not in sysconfig.get_platform() and "-arch" not in os.environ.get("ARCHFLAGS", "")
    x86_64 = platform.machine() in ("x86_64", "AMD64") and sys.maxsize > 2**32
    return X86_64_LEVELS if x86_64 and sys.platform != "win32" and one_target else {"plain": []}


class BuildWithWhatIsThere(build_ext):
    """Add the flags that this compiler accepts."""

    def build_extensions(self):
        kind = self.compiler.compiler_type
        unix = kind != "msvc"
        flags = [flag for flag in UNIX_FLAGS if self.accepts([flag])] if unix else MSVC_FLAGS
        openmp = next((found for found in self.openmp_candidates(unix) if self.accepts(*found)), ([], []))
        if not openmp[0]:
            print("fastnn: no OpenMP found, building single-threaded", file=sys.stderr)
        for extension in self.extensions:
            extension.extra_compile_args = flags + openmp[0] + extension.extra_compile_args
            extension.extra_link_args = openmp[1] + extension.extra_link_args
            if "_rules_" in extension.name and unix:
                extension.extra_compile_args.append("-ffp-contract=off")        # see fastnn/core/rule_loops.pxd
            if "._" in extension.name:
                # the formulas must be inlined into the loops, whatever the compiler thinks of their size
                extension.define_macros.append(("CYTHON_INLINE", ALWAYS_INLINE["unix" if unix else "msvc"]))
        super().build_extensions()

    @staticmethod
    def openmp_candidates(unix):
        if os.environ.get("FASTNN_NO_OPENMP"):
            return []
        if not unix:
            return [(["/openmp"], [])]
        return [(["-fopenmp"], ["-fopenmp"]), (["-Xpreprocessor", "-fopenmp"], ["-lomp"])]

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


def extension(name, flags=()):
    return Extension(
        f"fastnn.core.{name}", [str(CORE / f"{name}.pyx")], include_dirs=[numpy.get_include(), str(CORE)],
        define_macros=[("NPY_NO_DEPRECATED_API", "NPY_1_7_API_VERSION")], extra_compile_args=list(flags),
        depends=[str(path) for pattern in ("*.pxd", "*.pxi", "*.h") for path in sorted(CORE.glob(pattern))])


jobs = min(4, os.cpu_count() or 1)
setup(
    ext_modules=cythonize(
        [extension(name) for name in ENGINE]
        + [extension(f"_{kind}_{level}", flags) for level, flags in levels().items() for kind in ("kernels", "rules")],
        build_dir="build", force=True,          # Cython does not see changes behind an include
        compiler_directives={"language_level": 3, "cdivision": True, "embedsignature": True,
                             "freethreading_compatible": True,
                             "warn.unreachable": False}),
    cmdclass={"build_ext": BuildWithWhatIsThere},
    options={"build_ext": {"parallel": jobs}},
)
