"""What goes on around a fit: the number of threads, and a bar that shows how far it is."""
from contextlib import contextmanager

import joblib
from threadpoolctl import threadpool_limits

from fastnn.core import get_num_threads, set_num_threads
from fastnn.nn.progress import bar


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
    shown = bar("epoch", estimator.max_iter)

    def advance():
        score = estimator.validation_scores_
        told = f", validation score {score[-1]:.4f}" if score else ""
        shown.show(estimator.n_iter_, f"loss {estimator.loss_:.5f}{told}")

    try:
        yield advance
    finally:
        shown.close()
