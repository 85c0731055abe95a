"""Whether a command has been started several times at once, by mpiexec or srun, and what its processes then tell."""
import os
import platform

from .errors import UserError, describe
from .report import PlainReport

__all__ = ["Alone", "ranks_here"]

COUNTS = ("OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "MV2_COMM_WORLD_SIZE", "SLURM_STEP_NUM_TASKS")     # set by launchers
FOR_EVER = 1e9          # seconds: one may train for hours after another has ended


class Alone:
    """One process."""

    rank, size, neighbours = 0, 1, 1

    def share(self, tasks):
        """Those of a list that this process does."""
        return tasks[self.rank::self.size]

    def report(self, report):
        """The report, or one that says nothing: the first process speaks."""
        return report if self.rank == 0 else Silent(None)

    def settled(self, error):
        """Raise an error, one of any process where there are several."""
        if error is not None:
            raise error

    def joined(self, runs, complete, error):
        """What all have come to: (runs, complete), or None in other processes than the first."""
        self.settled(error)
        return runs, complete


class Together(Alone):
    """The processes of MPI.COMM_WORLD."""

    def __init__(self, ranks):
        self._ranks, self.rank, self.size = ranks, ranks.rank, ranks.size
        names = ranks.objects(platform.node(), "fastnn compare")
        self.neighbours = names.count(platform.node())

    def settled(self, error):
        found = self._ranks.objects(None if error is None else describe(error), "fastnn compare")
        said = [f"rank {rank}: {text}" for rank, text in enumerate(found) if text is not None]
        if said and len(said) == self.size and len(set(found)) == 1:
            said = [found[0]]
        if said:
            if self.rank:
                raise SystemExit(2)             # the first one tells it
            raise UserError("; ".join(said))

    def joined(self, runs, complete, error):
        self.settled(error)
        found = self._ranks.objects((runs, complete), "the results of fastnn compare")
        if self.rank:
            return None
        return sum((runs for runs, _ in found), []), all(complete for _, complete in found)


class Silent(PlainReport):
    def say(self, text, style=None):
        pass


def ranks_here():
    """The processes of this command."""
    count = max((int(os.environ[name]) for name in COUNTS if os.environ.get(name, "").isdecimal()), default=1)
    if count < 2:
        return Alone()
    try:
        from fastnn.distributed.ranks import ranks_of
        ranks = ranks_of(timeout=FOR_EVER)
    except ImportError as error:
        raise UserError(f"started {count} times at once: {error}") from error
    if ranks.size == 1:
        raise UserError(f"started {count} times at once, and MPI knows of one: it has to be the MPI whose mpiexec that "
                        "is (under Slurm srun --mpi=pmix)")
    return Together(ranks)
