"""A new file in the place of an old one, so that whenever the process may be killed there is the one or the other."""
import errno
import os
import stat


def replace(path, data):
    """Write the bytes to a new file beside that of this absolute path, let the disk have it, and rename it.

    The new file gets the permissions of the old one, if there is one. Whatever fails, the old one stays; a process that
    is killed may leave ".<name>.<number>.tmp" behind. Raises OSError.
    """
    folder, name = os.path.split(path)
    try:
        found = os.stat(path).st_mode
    except FileNotFoundError:
        mode = None
    else:
        if not stat.S_ISREG(found):
            raise OSError(errno.EINVAL, "not a regular file", path)
        mode = stat.S_IMODE(found)
    temporary = os.path.join(folder, f".{name[:40]}.{os.urandom(8).hex()}.tmp")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
    descriptor = os.open(temporary, flags, 0o666 if mode is None else 0o600)        # less the umask
    try:
        with open(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            _sync(file.fileno())
        if mode is not None:
            os.chmod(temporary, mode)
        os.replace(temporary, path)
    except BaseException:
        if os.path.exists(temporary):           # Ctrl-C may have come after it was renamed
            os.unlink(temporary)
        raise
    if os.name == "posix":                      # elsewhere folders cannot be opened
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            _sync(descriptor)
        finally:
            os.close(descriptor)


def _sync(descriptor):
    """Until the disk has it: on macOS fsync leaves it in the drive's cache."""
    try:
        from fcntl import F_FULLFSYNC, fcntl
    except ImportError:
        os.fsync(descriptor)
        return
    try:
        fcntl(descriptor, F_FULLFSYNC)
    except OSError:                             # not on every file system
        os.fsync(descriptor)
