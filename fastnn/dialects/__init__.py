"""What other sources mean by a name: their arguments, arithmetic and defaults, as rows on the same rules and kernels.

What documentation calls article A is "Localization and Loss Function"; help(fastnn) has all letters.
Each source is a module here, imported when it is first asked for: ``get_opt(name, like=source)``.
"""
from importlib import import_module

from ..registry import folded, hint

SOURCES = {                     # module -> what messages call it
    "article": "article A", "torch": "PyTorch", "optax": "optax", "keras": "Keras", "chainer": "Chainer",
    "sklearn": "scikit-learn", "dlfs": "the book"}
OTHER_WORDS = {                 # other words for a source -> its name; JAX's activations and losses are optax's
    "jax": "optax", "jax.nn": "optax", "pytorch": "torch", "scikit-learn": "sklearn", "tf.keras": "keras"}

WHOLE_PROBLEM = "asks for the loss again at other parameters, which is no step: fastnn.nn.minimize does that"
OTHER_RULES = {                 # optimizers that a source has and its dialect has not -> why
    "torch": {"Adafactor": "has eps1 as the least of a mean and of each root", "Muon": "multiplies in bfloat16",
              "LBFGS": WHOLE_PROBLEM},
    "optax": {"adafactor": "factors the longest axes alone, and decays in float32",
              "adan": "has 1 - b2 for b2, and eps_root", "noisy_sgd": "draws its noise from JAX's keys",
              "dpsgd": "clips the gradient of each example", "muon": "corrects its averages",
              "sophia": "corrects its averages, and changes h after the step", "momo_adam": "has no counterpart",
              "galore": "has no counterpart", "lbfgs": WHOLE_PROBLEM},
    "keras": {"Adafactor": "decays before it takes a norm, and agrees to 1e-8 alone",
              "Ftrl": "moves every parameter to 0 in its first step",
              "Muon": "has another factor of each matrix, and another Adam for the rest"}}

OTHER_LOSSES = {                # likewise
    "torch": {"CTCLoss": "has no counterpart",
              "MultiMarginLoss": "sums over all classes but the target: categorical-hinge takes the largest",
              "MultiLabelMarginLoss": "has lists of labels that end with -1",
              "TripletMarginWithDistanceLoss": "takes a function: triplet has p-norms",
              "LinearCrossEntropyLoss": "has parameters to learn", "AdaptiveLogSoftmaxWithLoss": "has parameters to learn"},
    "optax": {"triplet_margin_loss": "adds eps to each power of a distance",
              "ntxent": "has its pairs in one array", "dice_loss": "is of softmax, and of the whole batch",
              "binary_dice_loss": "is of sigmoid, and of the whole batch",
              "multiclass_generalized_dice_loss": "weighs classes",
              "multiclass_hinge_loss": "leaves the target out of the others",
              "cosine_similarity": "is no loss: cosine_distance is",
              "sparsemax_loss": "is of yes or no: multiclass_sparsemax_loss is of classes",
              **dict.fromkeys(("convex_kl_divergence", "generalized_kl_divergence", "ctc_loss", "ctc_loss_with_forward_probs",
                               "make_fenchel_young_loss", "multiclass_perceptron_loss", "perceptron_loss",
                               "poly_loss_cross_entropy", "ranking_softmax_loss"), "has no counterpart")},
    "keras": {"CategoricalFocalCrossentropy": "has a factor alpha, the same for all classes, and clips at 1e-7",
              "CategoricalGeneralizedCrossEntropy": "has no counterpart", "Circle": "has no counterpart",
              "CTC": "has no counterpart"},
    "sklearn": {"mean_poisson_deviance": "is twice Poisson's of rates, less what depends on the targets alone",
                **dict.fromkeys(("mean_gamma_deviance", "mean_tweedie_deviance", "zero_one_loss", "brier_score_loss"),
                                "has no counterpart")}}


def row(registry, name, like):
    """The class of that name in a registry's catalogue, or the row of a source's dialect, which is called as a class is.

    Raises TypeError where name or source is no string, ValueError where it is not known.
    """
    if like is None:
        return registry[name]
    if not isinstance(like, str):
        raise TypeError(f"like must be a string, one of {', '.join(map(repr, SOURCES))}, not {like!r:.80}")
    said, like = like, {folded(word): source for word, source in OTHER_WORDS.items()}.get(folded(like), folded(like))
    if like not in SOURCES:
        raise ValueError(f"like must be one of {', '.join(map(repr, SOURCES))}, not {said!r:.80}{hint(said, SOURCES)}")
    if folded(said) in ("jax", "jax.nn") and registry.noun == "optimizer":
        raise ValueError("JAX itself has activations; the optimizers that go with it are optax's: like='optax', "
                         f"not {said!r:.80}")
    rows = of_source(registry, like)
    if isinstance(name, str):
        known, kind = {"optimizer": (OTHER_RULES, "rule"), "error function": (OTHER_LOSSES, "loss")}.get(
            registry.noun, ({}, ""))
        others = {folded(other): why for other, why in known.get(like, {}).items()}
        if why := others.get(folded(name)):
            own = f"; without like= there is {registry[name].name}, another {kind}" if name in registry else ""
            raise ValueError(f"there is no {name!r} like {SOURCES[like]}'s, which {why}{own} (docs/dialects.md)")
    if isinstance(name, str) and name in registry and name not in rows:
        raise ValueError(f"Unknown {registry.noun}: {SOURCES[like]} has no {name!r}; without like= there is one")
    return rows[name]


def of_source(registry, like):
    """The registry of a source's names."""
    import_module(f".{like}", __name__)
    return registry.dialect(like)
