"""The processes that train: each takes one optimizer after another until none is left.

Processes, because a BLAS reads its number of threads when it is loaded. A worker runs on one thread, however
many workers there are: the curves are then the same for any ``--jobs``, the times comparable, and layers this
small gain nothing from a second thread but lose much by waiting for one on a busy machine.

Both ends talk through pipes: a line of JSON and the raw arrays go in, then a line for each optimizer; lines
of JSON come out. A worker whose parent has died meets a closed pipe and ends.
"""
import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
from contextlib import redirect_stdout, suppress
from dataclasses import asdict
from time import monotonic

import numpy as np

from .errors import UserError, describe
from .experiment import Run, Settings, train
from .files import strict
from .imports import run_imports

__all__ = ["run_all"]

ONE_THREAD = dict.fromkeys(("FASTNN_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS",
                            "MKL_NUM_THREADS", "BLIS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"), "1")
# The parent's sys.path, so that a worker imports this fastnn and not one that lies in the current folder.
START = ("import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
         "from fastnn.cli.workers import serve; serve()")


def run_all(tasks, settings, data, imports, jobs):
    """Train with every optimizer and yield what happens.

    Parameters
    ----------
    tasks : sequence of (name, lr)
    settings : Settings
    data : ((x_train, t_train), (x_test, t_test))
    imports : sequence of str
        What the processes run first, as with ``--import``.
    jobs : int
        The number of processes.

    Yields
    ------
    (str, int) or (str, Run)
        An optimizer's name and the iterations it has done (0 when it begins), or its name and its `Run`.

    Raises
    ------
    UserError
        If a worker runs out of memory, is killed, or cannot run the imports.
    """
    command = [sys.executable, "-c", START, json.dumps(sys.path)]
    waiting, events = queue.SimpleQueue(), queue.SimpleQueue()
    for task in tasks:
        waiting.put(task)
    workers = []
    try:
        for _ in range(jobs):
            errors = tempfile.TemporaryFile()
            process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors,
                                       env={**os.environ, **ONE_THREAD})
            feeder = threading.Thread(target=_feed, args=(process, errors, settings, data, imports, waiting, events),
                                      daemon=True)
            workers.append((process, errors, feeder))
            feeder.start()
        unfinished = len(tasks)
        while unfinished:
            try:
                event = events.get(timeout=0.2)     # a wait without end would not be interruptible on Windows
            except queue.Empty:
                continue
            if isinstance(event, Exception):
                raise event
            unfinished -= isinstance(event[1], Run)
            yield event
    finally:
        for process, _, _ in workers:
            process.kill()
        for process, errors, feeder in workers:
            process.wait()
            if feeder.is_alive():       # not where Ctrl-C came before its start
                feeder.join()
            for pipe in (process.stdin, process.stdout, errors):
                with suppress(BrokenPipeError):     # what a killed worker has not read
                    pipe.close()


def _feed(process, errors, settings, data, imports, waiting, events):
    """One thread a worker: hand it the data, then task after task, and pass on what it answers."""
    name = None
    try:
        arrays = [np.ascontiguousarray(array) for pair in data for array in pair]
        header = {"settings": asdict(settings), "imports": imports, "arrays": [(a.dtype.str, a.shape) for a in arrays]}
        process.stdin.write(json.dumps(header).encode() + b"\n")
        for array in arrays:
            process.stdin.write(array.data.cast("B") if array.size else b"")
        while True:
            try:
                name, lr = waiting.get_nowait()
            except queue.Empty:
                return process.stdin.close()
            events.put((name, 0))
            process.stdin.write(json.dumps([name, lr]).encode() + b"\n")
            process.stdin.flush()
            while True:
                answer = json.loads(process.stdout.readline())
                if "error" in answer:
                    raise UserError(f"{name}: {answer['error']}")
                if "run" in answer:
                    events.put((name, Run(**answer["run"])))
                    break
                events.put((name, answer["done"]))
    except UserError as error:
        events.put(error)
    except (OSError, ValueError):       # the pipe is closed: the worker is gone
        events.put(UserError(f"{name or 'a worker'}: {_last_words(process, errors)}"))


def _last_words(process, errors):
    status = process.wait()
    if status < 0:
        return f"the process that trained was killed by {signal.Signals(-status).name}"
    errors.seek(0)
    lines = errors.read().decode(errors="replace").split("\n")
    said = [line for line in lines if line.strip()]
    return f"the process that trained ended with status {status}: {said[-1] if said else 'it said nothing'}"


def serve():
    """A worker's whole life: read the settings and the data, then train with one optimizer after another."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)    # Ctrl-C reaches the whole group; the parent decides
    requests, answers = sys.stdin.buffer, sys.stdout.buffer

    def answer(**what):
        answers.write(json.dumps(strict(what), allow_nan=False).encode() + b"\n")
        answers.flush()

    first = requests.readline()
    if not first:       # the parent was interrupted as soon as it had started this worker
        return
    header = json.loads(first)
    settings = Settings(**header["settings"])
    arrays = []
    for dtype, shape in header["arrays"]:
        dtype = np.dtype(dtype)
        raw = requests.read(dtype.itemsize * int(np.prod(shape)))
        arrays.append(np.frombuffer(raw, dtype).reshape(shape))
    data = (arrays[0], arrays[1]), (arrays[2], arrays[3])
    try:
        with redirect_stdout(sys.stderr):       # what the user's code prints is no answer
            run_imports(header["imports"])
        failed = None
    except UserError as error:
        failed = describe(error)

    for line in iter(requests.readline, b""):
        name, lr = json.loads(line)
        if failed:
            return answer(error=failed)
        spoke = monotonic()

        def progress(done):
            nonlocal spoke
            if monotonic() - spoke > 0.1:
                spoke = monotonic()
                answer(done=done)

        try:
            run = train(name, lr, settings, data, progress)
        except MemoryError as error:
            return answer(error=describe(error))
        answer(run=asdict(run))
