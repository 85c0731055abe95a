"""python -m fuzz.guided [arguments of libFuzzer]: cases chosen by the coverage of the Python code, by atheris."""
import sys

import atheris

with atheris.instrument_imports(include=["fastnn"]):
    import fastnn                       # noqa: F401, so that it is instrumented
    from . import cases
from .choices import Choices

if __name__ == "__main__":
    atheris.Setup(sys.argv, lambda data: cases.run(Choices(data)))
    atheris.Fuzz()
