"""Makes `oracles` and `helpers` importable, wherever pytest was started and whichever fastnn is installed.

Compiled formulas are kept in a folder of the test run's own.
"""
import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(autouse=True, scope="session")
def cache_folder(tmp_path_factory):
    before = os.environ.get("FASTNN_CACHE_DIR")
    os.environ["FASTNN_CACHE_DIR"] = str(tmp_path_factory.mktemp("formulas"))
    yield
    if before is None:
        del os.environ["FASTNN_CACHE_DIR"]
    else:
        os.environ["FASTNN_CACHE_DIR"] = before
