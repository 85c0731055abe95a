"""Peak memory of the whole process, data included, at 1e7 elements."""
from .common import activation, normal, normal_array, optimizer
from .training import training_step

SIZE = 10_000_000


class Forward:
    params = [["Mish", "softmax"], ["float32", "float64"], ["allocated", "in place"]]
    param_names = ["activation", "dtype", "result"]

    def peakmem_forward(self, name, dtype, result):
        x = normal(SIZE, dtype)
        return activation(name, dtype).forward(x, out=x if result == "in place" else None)


class Step:
    params = [["Adam", "Momentum"], ["float32", "bfloat16", "int8"]]
    param_names = ["optimizer", "state_dtype"]

    def peakmem_step(self, name, state_dtype):
        arguments = {} if state_dtype == "float32" else {"state_dtype": state_dtype}
        opt = optimizer(name, **arguments)
        opt.step([normal_array((SIZE,), "float32")], [normal_array((SIZE,), "float32", 1)])
        return opt


def peakmem_training_step():
    for call in [training_step("float32", 128)] * 2:
        call()
