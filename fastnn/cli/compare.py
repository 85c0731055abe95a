"""The command ``fastnn compare``: train with every optimizer and say which did best, at what cost."""
import sys
from contextlib import closing
from dataclasses import asdict

import fastnn
from fastnn import datasets

from .catalog import CATALOGUES, resolve
from .environment import environment, physical_memory
from .errors import UserError, as_user_error, require
from .experiment import Run, Settings, begin, build_network, build_optimizer, layer_sizes, memory_needed
from .families import named, well_known
from .files import OutputFolder
from .imports import imports_of
from .ranks import ranks_here
from .report import make_report, ranked
from .workers import run_all

__all__ = ["run"]

PICTURE, DOCUMENT = "compare.png", "compare.json"
MOST_JOBS = 8       # every worker holds a copy of the data


def run(options):
    """Run the comparison and return the exit status: 0, or 130 when Ctrl-C ended it early.

    Of several processes, under mpiexec, each trains with some of the optimizers; the first one shows and writes.
    """
    ranks = ranks_here()
    report = ranks.report(make_report(sys.stdout))
    settings, tasks, data, imports, output = settled(ranks, prepare, options, report, ranks.rank == 0)
    own = ranks.share(tasks)
    most = options.jobs or max(1, min(fastnn.get_num_threads(), MOST_JOBS) // ranks.neighbours)
    jobs = min(most, len(own))
    sizes = layer_sizes(settings, data)
    title = (f"{'-'.join(map(str, sizes))} network, {settings.activation}, {settings.dtype}; "
             f"{settings.iterations} iterations of batch {settings.batch_size} on {len(data[0][0])} images, "
             f"seed {settings.seed}")
    count, there_are = f"{len(tasks)} optimizer{'s' * (len(tasks) > 1)}", len(fastnn.optimizers())
    few = "" if options.optimizers or len(tasks) == there_are else f", the best known of {there_are} (--optimizers all)"
    among = "" if ranks.size == 1 else f", divided over {ranks.size} ranks"
    report.say(f"{count}{few}{among}: {title}")

    runs, complete, error = [], True, None
    try:
        runs, complete = collect(own, settings, data, imports, jobs, report)
    except UserError as found:
        error = found
    found = ranks.joined(runs, complete, error)
    if found is None:
        return 0
    runs, complete = found
    if not any(one.status != "interrupted" for one in runs):
        raise KeyboardInterrupt     # there is nothing to keep
    report.table(runs)
    report.say(f"final loss: mean over the last {settings.tail} iteration{'s' * (settings.tail > 1)}; "
               "update: median time of one update of all parameters and its share of a training step")
    from .figures.curves import draw_curves
    document = {
        "settings": {
            **asdict(settings), "layer_sizes": sizes, "final_loss_over": settings.tail,
            "data": "digits" if options.data is None else options.data,
            "train_images": len(data[0][0]), "test_images": len(data[1][0]),
            "jobs": jobs, "threads_per_job": 1, **({} if ranks.size == 1 else {"ranks": ranks.size})},
        "versions": environment(),
        "complete": complete,
        "optimizers": [asdict(one) for one in ranked(runs)],
    }
    written = [output.write_json(DOCUMENT, document),
               output.write(PICTURE, lambda file: draw_curves(file, ranked(runs), title))]
    report.say(f"wrote {' and '.join(map(str, reversed(written)))}")
    return 0 if complete else 130


def settled(ranks, function, *args):
    """function(*args); what it refuses ends all processes."""
    found = error = None
    try:
        found = function(*args)
    except (UserError, OSError) as refused:
        error = refused
    ranks.settled(error)
    return found


def prepare(options, report, writes):
    """(settings, tasks, data, imports, folder), all of it checked before anything is trained or written."""
    require("matplotlib", *report.modules)
    with as_user_error():
        activation = resolve("activations", options.activation)
        if CATALOGUES["activations"][activation].kind == "layer":
            raise ValueError(f"--activation {activation} is a layer of its own, not the activation of hidden layers")
    settings = Settings(
        iterations=options.iterations, batch_size=options.batch_size, hidden=tuple(options.hidden),
        activation=activation, seed=options.seed, dtype=options.dtype, weight_decay=options.weight_decay,
        dropout=options.dropout, batchnorm=options.batchnorm)
    tasks = choose(options.optimizers, options.lr)
    data = load(options.data, settings.dtype)
    imports = imports_of([("activations", activation), *(("optimizers", name) for name, _ in tasks)])
    check(settings, data)
    return settings, tasks, data, imports, OutputFolder(options.out, (PICTURE, DOCUMENT)) if writes else None


def choose(wanted, rates):
    """The optimizers to run as (name, lr) pairs, each once; lr is None where the optimizer's own is used."""
    with as_user_error():
        names = named(wanted) if wanted else well_known()
        lr = {resolve("optimizers", name): value for name, value in rates}
        for name in names:
            build_optimizer(name, lr.get(name))
    for name in lr:
        if name not in names:
            raise UserError(f"--lr {name}: {name} is not among the optimizers to run")
    return [(name, lr.get(name)) for name in names]


def load(folder, dtype):
    """The digits inside the package, or those of the IDX files in `folder`."""
    with as_user_error():
        if folder is None:
            return datasets.load_digits(dtype=dtype)
        return datasets.load_mnist(folder, dtype=dtype)


def check(settings, data):
    """Refuse a network that cannot be built or cannot fit, before anything is trained or written."""
    needed, present = memory_needed(settings, data), physical_memory()
    if needed > present:
        raise UserError(f"a network of {'-'.join(map(str, layer_sizes(settings, data)))} with batch "
                        f"{settings.batch_size} needs {needed >> 30:,} GiB of memory; this machine has "
                        f"{present >> 30:,}")
    with as_user_error():
        build_network(settings, data)


def collect(tasks, settings, data, imports, jobs, report):
    """Run all tasks. Returns the runs, and whether all of them came to their end.

    After Ctrl-C what was running is among the runs, marked as interrupted and without a curve.
    """
    runs, reached = [], {}
    try:
        with (report.progress(len(tasks), settings.iterations) as show,
              closing(run_all(tasks, settings, data, imports, jobs)) as events):
            for name, news in events:
                if isinstance(news, Run):
                    runs.append(news)
                    reached.pop(name)
                    show(name, news.iterations, news)
                else:
                    reached[name] = news
                    show(name, news)
    except KeyboardInterrupt:
        rates = dict(tasks)
        for name, iterations in reached.items():
            stopped = begin(name, build_optimizer(name, rates[name], settings.seed))
            stopped.status, stopped.iterations = "interrupted", iterations
            runs.append(stopped)
        return runs, False
    return runs, True
