"""What importing costs, each time in a fresh interpreter; NumPy is the yardstick."""


def timeraw_fastnn():
    return "import fastnn"


def timeraw_numpy():
    return "import numpy"


def peakmem_fastnn():
    import fastnn  # noqa: F401


def peakmem_numpy():
    import numpy  # noqa: F401
