"""scikit-learn's MLPClassifier and MLPRegressor on fastnn's kernels: change the import. pip install "fastnn[sklearn]".

docs/estimators.md is a page on them: what they take beside scikit-learn's arguments, and where they differ.
"""
try:
    from .mlp import MLPClassifier, MLPRegressor
except ModuleNotFoundError as error:
    if error.name.partition(".")[0] not in ("sklearn", "scipy"):
        raise
    raise ModuleNotFoundError("fastnn.estimators are scikit-learn's, which is not installed: "
                              'pip install "fastnn[sklearn]"', name=error.name) from error

__all__ = ["MLPClassifier", "MLPRegressor"]
