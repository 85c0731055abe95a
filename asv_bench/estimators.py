"""Times fastnn.estimators beside scikit-learn's, on MNIST files and on a table of 1,000 rows and 20 columns:

    python asv_bench/estimators.py FOLDER [--epochs 10] [--repeat 5] [--only table]

The two take turns; the best of each is printed, for fit and for predict. Unset OPENBLAS_CORETYPE and OPENBLAS_L2_SIZE,
which slow NumPy's matrix products down where they are set for other libraries.
"""
import argparse
import time
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


def compare(title, name, X, y, epochs, repeat, **kwds):
    models = [getattr(side, name)(max_iter=epochs, n_iter_no_change=epochs, random_state=0, **kwds) for side in SIDES]
    fit = best([lambda model=model: model.fit(X, y) for model in models], repeat)
    predict = best([lambda model=model: model.predict(X) for model in models], 5 * repeat)
    cells = (f"{1e3 * theirs:9.2f} {1e3 * ours:9.2f} {theirs / ours:6.2f}" for theirs, ours in (fit, predict))
    print(f"{title:38}", *cells, flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", help="of MNIST's four files")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--only", choices=["images", "table"])
    options = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)
    print(f"{'ms of scikit-learn, fastnn, and ratio':38} {'fit':>9} {'predict':>26}")
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
