"""Activations of two pieces whose derivative at 0, where both meet, is in a library that of the lower piece; the catalogue has
the upper one's."""
from ..activations import ELU, SELU, LeakyReLU, Kinked
from ..hyperparameters import Hyperparameter


class LowerLeakyReLU(Kinked):
    """x, below 0 negative_slope x; f'(0) = negative_slope."""

    name, kernel, _lower_at_zero = "LeakyReLU", LeakyReLU.kernel, True
    negative_slope = Hyperparameter(1e-2, above=-1e30, below=1e30)

    @property
    def alpha(self) -> float:
        return self.negative_slope

    _by_value = _alike_at_value = LeakyReLU._by_value


class LowerELU(ELU):
    """x, below 0 alpha (exp(x) - 1); f'(0) = alpha, f''(0) = 0."""

    name, learns, _lower_at_zero = "ELU", (), True


class LowerSELU(SELU):
    """SELU with constants of 16 digits; f'(0) = lambda_ alpha."""

    name, _lower_at_zero = "SELU", True
    lambda_ = Hyperparameter(1.0507009873554804934193349852946, at_least=1e-6, below=1e6)
    alpha = Hyperparameter(1.6732632423543772848170429916717, at_least=1e-6, below=1e6)

    def _shown_values(self):
        return [f"like={self.like!r}"]


class TorchLeakyReLU(LowerLeakyReLU):
    like = "torch"


class TorchELU(LowerELU):
    like = "torch"


class TorchSELU(LowerSELU):
    like = "torch"


class OptaxELU(LowerELU):
    like = "optax"


class OptaxSELU(LowerSELU):
    like = "optax"
