"""Makes `oracles` and `helpers` importable, wherever pytest was started and whichever fastnn is installed.

Compiled formulas are kept in a folder of the test run's own. Under the address sanitizer (tools/sanitized.py) NumPy has
no cache of small arrays, and what nothing points to at the end is a leak. --every runs a sample. What hypothesis makes is
the same in every run, however long that takes.
"""
import ctypes
import gc
import os
import sys
from collections import Counter
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")         # before NumPy: its threads wait in loops for a busy machine

import pytest  # noqa: E402
from hypothesis import HealthCheck, settings  # noqa: E402

sys.path.insert(0, str(Path(__file__).parent))

settings.register_profile("fastnn", derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
settings.load_profile("fastnn")

ADDRESSES = "address" in os.environ.get("FASTNN_SANITIZE", "")
if ADDRESSES:
    import planted
    planted.uncached()


def pytest_sessionfinish(session):
    if ADDRESSES and sys.platform != "darwin":
        gc.collect()
        if ctypes.CDLL(None).__lsan_do_recoverable_leak_check():
            session.exitstatus = 1


def pytest_addoption(parser):
    parser.addoption("--every", metavar="FILE:N,...", help="of tests/test_FILE.py each n-th test, from the first on")


def pytest_collection_modifyitems(config, items):
    if not config.option.every:
        return
    parts = (part.partition(":") for part in config.option.every.split(","))
    step = {f"test_{file}.py": int(n) for file, _, n in parts}
    seen, chosen, others = Counter(), [], []
    for item in items:
        n = step.get(item.path.name, 1)
        (others if seen[item.path.name] % n else chosen).append(item)
        seen[item.path.name] += 1
    config.hook.pytest_deselected(items=others)
    items[:] = chosen


def pytest_collection_finish(session):
    """The items stay until the end: no collection of garbage has to look at a million of their objects."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True, scope="session")
def cache_folder(tmp_path_factory):
    before = os.environ.get("FASTNN_CACHE_DIR")
    os.environ["FASTNN_CACHE_DIR"] = str(tmp_path_factory.mktemp("formulas"))
    yield
    if before is None:
        del os.environ["FASTNN_CACHE_DIR"]
    else:
        os.environ["FASTNN_CACHE_DIR"] = before
