"""python -m fuzz: many cases, each a seed and a number; a process that dies is noted, and another one goes on."""
import argparse
import faulthandler
import mmap
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import warnings

SECONDS = 60            # for a case


def work(seed, start, stop, path):
    """Cases start to stop; the number of the one that is under way stands in the file."""
    import fastnn
    from . import cases
    from .choices import Choices
    warnings.simplefilter("error")
    faulthandler.enable()
    if hasattr(signal, "SIGALRM"):
        faulthandler.register(signal.SIGALRM, chain=True)
    cases.with_compiled_formulas()
    fastnn.set_num_threads(2)
    with open(path, "r+b") as file, mmap.mmap(file.fileno(), 8) as at:
        for number in range(start, stop):
            at[:] = number.to_bytes(8, "little")
            if number % 16 == 0 and hasattr(signal, "alarm"):
                signal.alarm(SECONDS)
            try:
                cases.run(Choices.numbered(seed, number))
            except Exception:
                print(f"\nFINDING --case {seed}:{number}", flush=True)
                traceback.print_exc(limit=-4, file=sys.stdout)
                sys.stdout.flush()
        at[:] = stop.to_bytes(8, "little")


def main():
    parser = argparse.ArgumentParser(prog="python -m fuzz", description="Hostile calls, judged.")
    parser.add_argument("--cases", type=int, default=10000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--start", type=int, default=0, help="the number of the first case")
    parser.add_argument("--case", help="SEED:NUMBER, a single one, in this process")
    parser.add_argument("--file", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.file:
        work(given.seed, given.start, given.start + given.cases, given.file)
        return 0
    if given.case:
        from . import cases
        from .choices import Choices
        seed, number = map(int, given.case.split(":"))
        cases.with_compiled_formulas()
        warnings.simplefilter("error")
        cases.run(Choices.numbered(seed, number))
        return 0
    start, stop, crashes, findings, began = given.start, given.start + given.cases, 0, 0, time.monotonic()
    with tempfile.NamedTemporaryFile() as file:
        while start < stop:
            file.seek(0)
            file.write(start.to_bytes(8, "little"))
            file.flush()
            child = subprocess.Popen(
                [sys.executable, "-m", "fuzz", "--seed", str(given.seed), "--start", str(start),
                 "--cases", str(stop - start), "--file", file.name], stdout=subprocess.PIPE, text=True)
            for line in child.stdout:
                findings += line.startswith("FINDING")
                print(line, end="", flush=True)
            status = child.wait()
            with open(file.name, "rb") as again:
                start = int.from_bytes(again.read(8), "little")
            if start < stop:
                crashes += 1
                print(f"\nCRASH --case {given.seed}:{start}, exit status {status}", flush=True)
                start += 1
    print(f"{given.cases} cases of seed {given.seed} in {time.monotonic() - began:.0f} s: {crashes} crashes, "
          f"{findings} findings")
    return 1 if crashes or findings else 0


if __name__ == "__main__":
    sys.exit(main())
