"""Times fastnn.estimators beside scikit-learn's, on MNIST files and on a table of 1,000 rows and 20 columns:

    python asv_bench/estimators.py FOLDER [--epochs 10] [--repeat 5] [--only table]
    python asv_bench/estimators.py FOLDER --only memory
    python asv_bench/estimators.py FOLDER --only accuracy

The two take turns; the best of each is printed, for fit and for predict; or the most memory that either holds at a time in
MB, as tracemalloc counts it; or the accuracy on test images after so many epochs, of seeds 0 to 4. Unset OPENBLAS_CORETYPE and OPENBLAS_L2_SIZE,
which slow NumPy's matrix products down where they are set for other libraries.
"""
import argparse
import time
import tracemalloc
import warnings

import numpy as np
import sklearn.neural_network
from sklearn.exceptions import ConvergenceWarning

import fastnn.estimators
from fastnn.datasets import load_mnist

SIDES = sklearn.neural_network, fastnn.estimators


def best(calls, repeat):
    """The shortest time of each call in seconds, all of them in turn."""
    times = [[] for _ in calls]
    for _ in range(repeat):
        for call, found in zip(calls, times):
            start = time.perf_counter()
            call()
            found.append(time.perf_counter() - start)
    return [min(found) for found in times]


def compare_times(title, name, X, y, epochs, repeat, **kwds):
    models = [getattr(side, name)(max_iter=epochs, n_iter_no_change=epochs, random_state=0, **kwds) for side in SIDES]
    fit = best([lambda model=model: model.fit(X, y) for model in models], repeat)
    predict = best([lambda model=model: model.predict(X) for model in models], 5 * repeat)
    cells = (f"{1e3 * theirs:9.2f} {1e3 * ours:9.2f} {theirs / ours:6.2f}" for theirs, ours in (fit, predict))
    print(f"{title:38}", *cells, flush=True)


def peak(call):
    """The most MB that a call holds at a time, beyond what there was."""
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1] / 1e6
    finally:
        tracemalloc.stop()


def compare_memory(title, name, X, y, epochs, repeat, **kwds):
    models = [getattr(side, name)(max_iter=2, random_state=0, **kwds) for side in SIDES]
    found = [[peak(lambda: getattr(model, what)(*data)) for model in models]
             for what, data in (("fit", (X, y)), ("predict", (X,)))]
    cells = (f"{theirs:9.2f} {ours:9.2f} {ours / theirs:6.2f}" for theirs, ours in found)
    print(f"{title:38}", *cells, flush=True)


def compare_accuracy(data, epochs):
    (X, y), (X_test, y_test) = data
    for side in SIDES:
        found = [side.MLPClassifier((100,) * 4, max_iter=epochs, n_iter_no_change=epochs, random_state=seed)
                 .fit(X.astype(np.float32), y).score(X_test.astype(np.float32), y_test) for seed in range(5)]
        print(f"{side.__name__:24}", *(f"{100 * share:6.2f}" for share in found), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", help="of MNIST's four files")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--only", choices=["images", "table", "memory", "accuracy"])
    options = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)
    if options.only == "accuracy":
        return compare_accuracy(load_mnist(options.folder), options.epochs)
    unit, compare = ("MB", compare_memory) if options.only == "memory" else ("ms", compare_times)
    print(f"{unit + ' of scikit-learn, fastnn, and ratio':38} {'fit':>9} {'predict':>26}")
    if options.only != "table":
        (X, y), _ = load_mnist(options.folder)
        for dtype in (np.float32, np.float64):
            for hidden in ((100,) * 4, (256,)):
                for rows in (128, 200):
                    compare(f"images, {np.dtype(dtype)}, {hidden}, {rows}", "MLPClassifier", X.astype(dtype), y,
                            options.epochs, options.repeat, hidden_layer_sizes=hidden, batch_size=rows)
    if options.only != "images":
        rng = np.random.default_rng(0)
        X = rng.standard_normal((1000, 20))
        score = X @ rng.standard_normal(20)
        for dtype in (np.float32, np.float64):
            for name, y in (("MLPClassifier", score > 0), ("MLPRegressor", score.astype(dtype))):
                for hidden in ((100,), (32, 16)):
                    compare(f"table, {np.dtype(dtype)}, {name[3:]}, {hidden}", name, X.astype(dtype), y,
                            10 * options.epochs, options.repeat, hidden_layer_sizes=hidden)


if __name__ == "__main__":
    main()
