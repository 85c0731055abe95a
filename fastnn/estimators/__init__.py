"""scikit-learn's MLPClassifier and MLPRegressor on fastnn's kernels: change the import. `pip install "fastnn[sklearn]"`.

docs/estimators.md is a page on them: what they take beside scikit-learn's arguments, and where they differ.
"""
try:
    import sklearn  # noqa: F401
except ModuleNotFoundError as error:
    raise ModuleNotFoundError("fastnn.estimators are scikit-learn's, which is not installed: pip install \"fastnn[sklearn]\"",
                              name=error.name) from error

from .mlp import MLPClassifier, MLPRegressor

__all__ = ["MLPClassifier", "MLPRegressor"]
