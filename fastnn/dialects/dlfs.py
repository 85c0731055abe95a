"""The book "Deep Learning from Scratch", chapter 6: the classes of fastnn.dlfs."""
from .. import dlfs
from ..activations import _registry as activations
from ..losses import _registry as losses
from ..optimizers import _registry as optimizers

for name in dlfs.__all__:
    optimizers.dialect("dlfs").add(name, getattr(dlfs, name))
for theirs, own in {"identity_function": "identity", "step_function": "step", "sigmoid": "sigmoid", "relu": "ReLU",
                    "softmax": "softmax"}.items():
    activations.dialect("dlfs").add(theirs, activations.catalogued(own))
losses.dialect("dlfs").add("mean_squared_error", losses.catalogued("Square"))
