"""Every error function on rows of predictions and one-hot targets."""
import fastnn

from .common import DTYPES, SIZES, one_hot, probabilities


class Losses:
    params = [fastnn.losses(), DTYPES, SIZES]
    param_names = ["loss", "dtype", "size"]

    def setup(self, name, dtype, size):
        self.subject = fastnn.get_err(name)
        self.y, self.t = probabilities(size, dtype), one_hot(size, dtype)

    def time_forward(self, *params):
        self.subject.forward(self.y, self.t)

    def time_backward(self, *params):
        # without arguments it may hand out what forward has computed
        self.subject.backward(self.y, self.t)
