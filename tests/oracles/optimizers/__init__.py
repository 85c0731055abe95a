"""Every optimizer for one tensor, as the papers and PyTorch have it: ``ORACLES[name](**hyperparameters).delta(g, t)``.

`delta` returns what is to be added to the parameter and keeps the state. Gradients are taken to float64, or
stay longdouble, and everything is then computed in that dtype. t counts steps from 1 and may be left out
where the rule does not use it. A rule with `reads_p` is given the parameter, too: ``delta(g, t, p=p)``; one that is
`joint` sees all tensors of a step, as one. Hyperparameters are the annotated attributes; the others are state.
One file a family, as in fastnn/optimizers. What article A has under these names is in `oracles.article`.
"""
from . import adam_family, averaged, classic, factored, matrix, measured, momentum, online, optimistic, sign, sophia
from .averaged import *     # noqa: F403
from .base import normal_draws      # noqa: F401: for tests
from .classic import *      # noqa: F403: the rules by their names
from .measured import *     # noqa: F403
from .online import *       # noqa: F403
from .sophia import *       # noqa: F403

FAMILIES = classic, momentum, optimistic, sign, adam_family, measured, online, averaged, sophia, factored, matrix
ORACLES = {name: rule for family in FAMILIES for name, rule in family.ORACLES.items()}
