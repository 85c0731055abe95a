"""Write down what other libraries' optimizers compute, for test environments that do not have them.

    python tools/record_peers.py torch optax keras chainer sklearn

writes tests/data/peers/LIBRARY.npz, with the library's version in it, of each library named, which must be installed:
Chainer 7.8.1 wants NumPy 1.23. The cases, and how each library is run, stand in tests/dialect_peers.py.
"""
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]/"tests"))
import dialect_peers  # noqa: E402

for library in sys.argv[1:] or sys.exit(__doc__):
    dialect_peers.write(library, dialect_peers.DATA/f"{library}.npz")
