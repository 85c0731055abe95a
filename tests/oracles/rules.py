"""The oracles of all optimizers by the title of their row: "Adam", and "Adam like article" for a source's own."""
from . import article, optimizers

ORACLES = optimizers.ORACLES | {f"{name} like article": rule for name, rule in article.ORACLES.items()}
