"""More than one process, under MPI (mpi4py): data parallelism, state in shards, training. docs/distributed.md tells
how.

    from fastnn.distributed import DataParallel         # mpiexec -n 4 python program.py
"""
from .broadcasting import broadcast, generator
from .data_parallel import DataParallel
from .failures import DisagreementError, RankError
from .sharded import ShardedOptimizer

__all__ = ["DataParallel", "DisagreementError", "RankError", "ShardedOptimizer", "broadcast", "generator"]
