"""How many steps each parameter has taken under a wrapper."""
from functools import partial


class Ages:
    """Counts by key. Parameters that are always stepped together share one, so that counting does not cost for each.

    A count is a list of one number: what is put into it in a transaction is a compiled call.
    """

    def __init__(self, counts=()):
        self._cells = {}
        self._last = None, ()
        for key, n in dict(counts).items():
            self._cells[key] = [n]

    def counts(self):
        return {key: cell[0] for key, cell in self._cells.items()}

    def cells(self, keys, known=None):
        """[(count, keys), ...] of these keys. known: an object that stands for them, the same in the next call."""
        last, found = self._last
        if known is None or known is not last:
            by_count = {}
            for key in keys:
                cell = self._cells.get(key)
                by_count.setdefault(cell[0] if cell is not None else 0, []).append(key)
            found = [([n], these) for n, these in by_count.items()]
            self._cells = {**self._cells, **{key: cell for cell, these in found for key in these}}
            self._last = known, found
        return found

    def dropping(self, key):
        cells = {other: cell for other, cell in self._cells.items() if other is not key and other != key}
        return [partial(self.__dict__.update, _cells=cells, _last=(None, ()))]

    def __contains__(self, key):
        """Whether a step has been counted."""
        return key in self._cells and self._cells[key][0] > 0


def counted(cell, n):
    """A function that puts a count there: a compiled one."""
    return partial(cell.__setitem__, 0, n)
