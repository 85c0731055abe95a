"""What happens if one process of several fails: the others are notified, and end."""
import sys
import traceback


class RankError(RuntimeError):
    """Another process has failed, or has not come in time. Nothing has been changed by the step that raises it."""


class DisagreementError(ValueError):
    """The processes were about to take different steps: other names, shapes, dtypes, hyperparameters or arguments.

    All of them raise it, with the same message, and none has changed anything.
    """


def library():
    """mpi4py's MPI. Raises ImportError with what installs it."""
    try:
        from mpi4py import MPI
    except ImportError as error:
        raise ImportError('more than one process takes mpi4py and an MPI: pip install "fastnn[mpi]"') from error
    except RuntimeError as error:               # mpi4py is there, and finds no MPI
        raise ImportError(f'mpi4py finds no MPI library: pip install "fastnn[mpi]" brings one ({error})') from error
    return MPI


def abort_where_uncaught(comm):
    """From now on an exception that ends this process ends all of them.

    Without that they would wait for it, in their next exchange, until their time is up. MPI's own end of the process
    would wait, too.
    """
    if comm.size == 1 or getattr(sys.excepthook, "ends_all", False):
        return
    before = sys.excepthook

    def hook(kind, error, trace):
        try:
            before(kind, error, trace)
            said = "".join(traceback.format_exception_only(kind, error)).strip()
            print(f"fastnn.distributed: rank {comm.rank} of {comm.size} ends by {said:.500}; the others are ended",
                  file=sys.stderr, flush=True)
        finally:
            comm.Abort(1)

    hook.ends_all = True
    sys.excepthook = hook
