"""What one process has worked out, kept on disk for the next ones: files named by a digest of all that they depend on.

A file that cannot be read, or is not what was written, counts as missing; one that cannot be written is not kept. Since
machine code is run, only files and folders of the user's own are trusted.
"""
import hashlib
import os
import stat
import sys
from functools import cache
from pathlib import Path

from .._version import __version__

_FORMAT = b"fastnn 1\n"


def folder():
    """FASTNN_CACHE_DIR, else fastnn's part of the platform's folder for caches; None where there is no home."""
    given = os.environ.get("FASTNN_CACHE_DIR")
    if given:
        return Path(given)
    try:
        home = Path.home()
    except RuntimeError:
        return None
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or home/"AppData"/"Local"
    elif sys.platform == "darwin":
        base = home/"Library"/"Caches"
    else:
        base = os.environ.get("XDG_CACHE_HOME") or home/".cache"
    return Path(base, "fastnn")


def key(*parts):
    """The name of what depends on these texts, and on this version of fastnn."""
    texts = [text.encode() for text in (__version__, _sources(), *parts)]
    return hashlib.sha256(b"".join(b"%d:%s" % (len(text), text) for text in texts)).hexdigest()


@cache
def _sources():
    """A digest of this package's own files: in development its version stays the same."""
    found = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        found.update(path.name.encode() + path.read_bytes())
    return found.hexdigest()


def load(key):
    """The bytes stored under a key, or None."""
    place = folder()
    try:
        if place is None or not _trusted(os.stat(place), stat.S_IWOTH):
            return None
        with open(place/key, "rb") as file:
            if not _trusted(os.fstat(file.fileno()), stat.S_IWOTH | stat.S_IWGRP):
                return None
            content = file.read()
    except OSError:
        return None
    data = content[len(_FORMAT) + 32:]
    return data if content == _marked(key, data) else None


def store(key, data):
    """Keep bytes under a key, where that is possible. Others see all of them or nothing."""
    import tempfile
    place, written = folder(), None
    try:
        if place is None:
            return
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not _trusted(os.stat(place), stat.S_IWOTH):
            return
        number, written = tempfile.mkstemp(prefix=f"{key[:16]}-", suffix=".tmp", dir=place)
        with open(number, "wb") as file:
            file.write(_marked(key, data))
        os.replace(written, place/key)
    except OSError:                 # no room, not ours, or open elsewhere (Windows)
        if written is not None:
            try:
                os.unlink(written)
            except OSError:
                pass


def _marked(key, data):
    """A file's content: the digest tells damage, and a file that lies under another one's name."""
    return _FORMAT + hashlib.sha256(key.encode() + data).digest() + data


def _trusted(status, others):
    """Whether a file or folder is the user's own and not open to others."""
    return not hasattr(os, "getuid") or status.st_uid == os.getuid() and not status.st_mode & others
