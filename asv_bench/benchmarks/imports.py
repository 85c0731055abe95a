"""Import time, each in a fresh interpreter; NumPy's is the yardstick."""


def timeraw_fastnn():
    return "import fastnn"


def timeraw_numpy():
    return "import numpy"
