"""The command ``fastnn bench``: fastnn's speed relative to its peers on this machine."""
import sys
from pathlib import Path

import fastnn

from .contest import fastest
from .environment import environment, physical_memory
from .errors import UserError, require
from .files import OutputFolder
from .peers import PEERS, installed, load, load_own, require_peer
from .report import make_report
from .scores import OWN, UNSTEADY, Score, header, line, summary
from .subjects import choose_names, sections

__all__ = ["run"]

HOW = ("Ratio: how many times as long as fastnn the best peer takes. Times are the least of {rounds} rounds, the "
       "sides in turn,\n{pause:g} ms of rest before each. Results are allocated. {told} on {threads}; NumPy's BLAS "
       "and JAX choose their own number.")
YARDSTICK = "Here NumPy has only the matrix products of the step: a yardstick, not a peer."


def run(options):
    """Measure, show and write; returns the exit status: 0, or 130 when Ctrl-C ended it early."""
    report = make_report(sys.stdout)
    require("matplotlib", *report.modules)
    subjects, names = choose_names(options.subjects, options.names)
    tables = sections(subjects, names, options.dtype, options.sizes, options.models)
    peers = choose_peers(options.peers, subjects)
    check_memory(tables, len(peers) + 1)
    picture = output(options.out)
    document = output(options.json) if options.json else None
    threads = fastnn.get_num_threads()
    sides = {OWN: load_own(), **{name: load(name, threads) for name in peers}}
    titles = {OWN: OWN, **{name: PEERS[name].title for name in peers}}

    versions = ", ".join(f"{titles[name]} {side.version}" for name, side in sides.items())
    report.say(f"{versions}; instruction set {fastnn.core.isa()}")
    report.say(HOW.format(rounds=options.rounds, pause=options.pause, threads=f"{threads} thread{'s' * (threads > 1)}",
                          told="fastnn and PyTorch" if "torch" in peers else "fastnn"))
    results, complete = measure(tables, sides, titles, options, report)
    if not results:
        raise KeyboardInterrupt     # there is nothing to keep

    if unsteady := sum(len(score.unsteady) for _, scores in results for score in scores):
        report.say(f"\n* unsteady ({unsteady} of the times): the two best rounds differ by more than {UNSTEADY:.0%}. "
                   "The machine is busy; take more --rounds, or another moment.")

    written = []
    if document:
        folder, name = document
        written.append(folder.write_json(name, facts(results, sides, options, complete)))
    from .figures.ratios import draw_ratios
    folder, name = picture
    shown = [(section, scores) for section, scores in results if any(score.ratios for score in scores)]
    if shown:
        note = f"{versions}; {threads} thread{'s' * (threads > 1)}"
        written.append(folder.write(name, lambda file: draw_ratios(file, shown, titles, note)))
    if written:
        report.say(f"wrote {' and '.join(map(str, reversed(written)))}")
    return 0 if complete else 130


def choose_peers(wanted, subjects):
    """The names of the peers that take part."""
    useful = [name for name, peer in PEERS.items() if set(peer.subjects) & set(subjects)]
    if wanted is None:
        return [name for name in installed() if name in useful]
    for name in wanted:
        if name not in useful:
            raise UserError(f"--peers {name}: {PEERS[name].title} takes part in {' and '.join(PEERS[name].subjects)}")
        require_peer(name)
    return [name for name in PEERS if name in wanted]


def check_memory(tables, sides):
    needed, present = sides * max(section.bytes for section in tables), physical_memory()
    if needed > present:
        raise UserError(f"these sizes need {needed >> 30:,} GiB of memory; this machine has {present >> 30:,}")


def output(file):
    """(folder, name) of a file to write, the folder checked."""
    path = Path(file)
    return OutputFolder(path.parent, [path.name]), path.name


def measure(tables, sides, titles, options, report):
    """[(section, scores)], and whether all are there. After Ctrl-C what is finished is among them."""
    results, done, count = [], 0, sum(len(section.rows) for section in tables)
    try:
        with report.steps(count) as show:
            for section in tables:
                taking_part = {name: title for name, title in titles.items()
                               if name == OWN or section.subject in PEERS[name].subjects}
                report.say(f"\n{section.subject}: {section.group}, {section.detail}", "bold")
                report.say(header(taking_part))
                scores = []
                results.append((section, scores))
                section.prepare()
                for name in taking_part:
                    sides[name].begin(section.facts["dtype"])
                for row in section.rows:
                    show(done, f"{section.subject}: {row}")
                    calls = {name: section.call(sides[name], row) for name in taking_part}
                    calls = {name: call for name, call in calls.items() if call is not None}
                    times = fastest(calls, options.rounds, options.pause / 1000)
                    score = Score(row, {name: seconds for name, (seconds, _) in times.items()}, section.yardstick,
                                  {name: spread for name, (_, spread) in times.items()})
                    scores.append(score)
                    report.say(line(score, taking_part), style(score))
                    done += 1
                section.release()
                if len(scores) > 1 and summary(scores):
                    report.say(summary(scores))
                if section.yardstick in taking_part:
                    report.say(YARDSTICK)
    except KeyboardInterrupt:
        return [(section, scores) for section, scores in results if scores], False
    return results, True


def style(score):
    return None if score.ratio is None else "green" if score.ratio >= 1 else "red"


def facts(results, sides, options, complete):
    """Everything, for a JSON file."""
    return {
        "settings": {"rounds": options.rounds, "pause_ms": options.pause, "peers": list(sides)[1:]},
        "versions": {**environment(), **{name: side.version for name, side in sides.items()}},
        "complete": complete,
        "rows": [{"subject": section.subject, **section.facts, "name": score.name, "seconds": score.seconds,
                  "spread": score.spread, "yardstick": score.yardstick, "best_peer": score.best_peer,
                  "ratio": score.ratio}
                 for section, scores in results for score in scores],
    }
