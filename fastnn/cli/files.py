"""Output files: checked before the work begins, complete or absent afterwards."""
import json
import math
import os
from pathlib import Path

from .errors import UserError, describe

__all__ = ["OutputFolder", "strict"]


class OutputFolder:
    """The folder given by ``--out``, made if missing.

    Parameters
    ----------
    folder : str
    names : sequence of str
        The files that will be written there.

    Raises
    ------
    UserError
        If the folder cannot be made or written to, or if one of the names is taken by a folder.
    """

    def __init__(self, folder, names):
        self.folder = Path(folder)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            probe = self._scratch("probe")
            probe.touch()
            probe.unlink()
        except (OSError, ValueError) as error:
            raise UserError(f"cannot write to {str(folder)!r}: {describe(error)}") from error
        for name in names:
            if (self.folder / name).is_dir():
                raise UserError(f"cannot write {str(self.folder / name)!r}: it is a folder")

    def _scratch(self, name):
        return self.folder / f".{name}.{os.getpid()}.tmp"

    def write(self, name, save):
        """Call ``save(binary file)`` and put the result in place under `name` in one step."""
        scratch, target = self._scratch(name), self.folder / name
        try:
            with open(scratch, "wb") as file:
                save(file)
            os.replace(scratch, target)
        finally:
            scratch.unlink(missing_ok=True)
        return target

    def write_json(self, name, document):
        """Write `document` as strict JSON: numbers that JSON does not have become null."""
        text = json.dumps(strict(document), indent=1, allow_nan=False) + "\n"
        return self.write(name, lambda file: file.write(text.encode()))


def strict(value):
    """`value` with None in place of every NaN and infinity."""
    if isinstance(value, dict):
        return {key: strict(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [strict(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
