"""What goes on around a fit: the number of threads, and a bar that shows how far it is."""
from contextlib import contextmanager

import joblib
from threadpoolctl import threadpool_limits

from fastnn.core import get_num_threads, set_num_threads


@contextmanager
def threads(n_jobs):
    """So many threads for fastnn and BLAS; None: as they are."""
    if n_jobs is None:
        yield
        return
    n, before = joblib.effective_n_jobs(n_jobs), get_num_threads()
    with threadpool_limits(n, user_api="blas"):
        set_num_threads(n)
        try:
            yield
        finally:
            set_num_threads(before)


@contextmanager
def progress_of(estimator):
    """A function to be called after each epoch."""
    if not estimator.progress_bar:
        yield lambda: None
        return
    try:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError('progress_bar=True takes rich: pip install "fastnn[cli]"', name=error.name) from error
    with Progress(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()) as bar:
        task = bar.add_task("epochs", total=estimator.max_iter)

        def advance():
            score = estimator.validation_scores_
            told = f", validation score {score[-1]:.4f}" if score else ""
            bar.update(task, advance=1, description=f"loss {estimator.loss_:.5f}{told}")

        yield advance
