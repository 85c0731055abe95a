"""
In a scikit-learn pipeline
==========================

``fastnn.estimators.MLPClassifier`` is scikit-learn's with fastnn inside: it goes into pipelines and searches, and takes any
activation, optimizer and option of the catalogue besides.
"""
import matplotlib.pyplot as plt
from sklearn.datasets import load_digits
from sklearn.metrics import ConfusionMatrixDisplay
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler

from fastnn.estimators import MLPClassifier      # was: from sklearn.neural_network import MLPClassifier

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0, stratify=y)

# %%
# A search over the optimizer and over dropout, with two activations in one network.

model = MLPClassifier((64, 32), activation=["GELU", "relu"], dtype="float32", early_stopping=True, n_iter_no_change=5,
                      random_state=0)
search = GridSearchCV(make_pipeline(MinMaxScaler(), model),
                      {"mlpclassifier__solver": ["NAdam", "Lion"], "mlpclassifier__dropout": [0.0, 0.1]}, cv=2)
search.fit(X_train, y_train)
accuracy = search.score(X_test, y_test)
print(search.best_params_, f"{accuracy:.1%}")

# %%
# Where the best network is wrong, and its loss by epoch.

figure, (left, right) = plt.subplots(1, 2, figsize=(9, 4), layout="constrained")
ConfusionMatrixDisplay.from_predictions(y_test, search.predict(X_test), ax=left, colorbar=False, cmap="Blues")
network = search.best_estimator_[-1]
right.semilogy(network.loss_curve_, label="training loss")
right.semilogy([1 - score for score in network.validation_scores_], label="validation error")
right.set(xlabel="epoch")
right.legend()
plt.show()
