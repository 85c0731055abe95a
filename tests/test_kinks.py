"""f' where pieces meet: the catalogue's, that of other libraries' rows, and what those libraries give."""
import copy
import pickle

import numpy as np
import pytest

from fastnn import get_act

# the name, arguments, those of the function in the library, and f'(0): of the catalogue's row first
TORCH = [("LeakyReLU", {"negative_slope": 0.3}, "leaky_relu", "leaky-ReLU", {"alpha": 0.3}, 1),
         ("ELU", {"alpha": 2.5}, "elu", "ELU", {"alpha": 2.5}, 1), ("SELU", {}, "selu", "SELU", {}, 1.0507),
         ("CELU", {"alpha": 2.5}, "celu", "CELU", {"alpha": 2.5}, 1), ("ReLU", {}, "relu", "ReLU", {}, 0),
         ("PReLU", {}, None, "PReLU", {}, 0.25)]
JAX = [("leaky_relu", {"negative_slope": 0.3}), ("elu", {"alpha": 2.5}), ("selu", {}), ("celu", {"alpha": 2.5}), ("relu", {})]
X = np.array([-3.0, -1e-300, -0.0, 0.0, 1e-300, 2.0])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("name", "given", "function", "own", "arguments", "slope"), TORCH)
def test_torchs_slope_at_zero(name, given, function, own, arguments, slope, dtype):
    torch = pytest.importorskip("torch")
    act, x = get_act(name, like="torch", **given), X.astype(dtype)
    theirs = torch.tensor(x, requires_grad=True)
    y = getattr(torch.nn.functional, function)(theirs, **given) if function else torch.nn.PReLU(dtype=theirs.dtype)(theirs)
    y.sum().backward()
    close = {"rtol": 1e-6 if dtype == np.float32 else 1e-14, "atol": 0}
    np.testing.assert_allclose(act(x), y.detach().numpy(), **close)
    np.testing.assert_allclose(act.backward(x, grad=np.ones_like(x)), theirs.grad.numpy(), **close)
    np.testing.assert_array_equal(get_act(own, **arguments).backward(x, grad=np.ones_like(x))[2:4], dtype(slope))


@pytest.mark.parametrize(("name", "given"), JAX)
def test_jaxs_slope_at_zero(name, given):
    jax = pytest.importorskip("jax")
    x = X.astype(np.float32)
    f = getattr(jax.nn, name)
    act = get_act(name, like="optax", **given)
    np.testing.assert_allclose(act(x), np.asarray(f(x, **given)), rtol=1e-6, atol=0)
    slopes = np.asarray(jax.vmap(jax.grad(lambda one: f(one, **given)))(x))
    np.testing.assert_allclose(act.backward(x), slopes, rtol=1e-6, atol=0)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("name", "like", "given", "lower"), [
    ("LeakyReLU", "torch", {"negative_slope": 0.3}, 0.3), ("ELU", "torch", {"alpha": 2.5}, 2.5), ("elu", "optax", {"alpha": 0.5}, 0.5),
    ("SELU", "torch", {}, 1.0507009873554804934*1.6732632423543772848), ("selu", "optax", {}, 1.0507009873554804934*1.6732632423543772848)])
def test_rows_with_the_lower_slope(name, like, given, lower, dtype):
    """By x, by y, in one pass with f, in blocks; f'' stays 0; copies, pickles and the repr are that row."""
    act, x = get_act(name, like=like, **given), np.resize(X, 5000).astype(dtype)
    zero = x == 0
    y, slope = act.value_and_grad(x)
    for found in (slope, act.backward(x), act.backward(x, grad=np.ones_like(x)), act.backward(y=act(X.astype(dtype)))):
        np.testing.assert_allclose(found[zero[:found.size]], lower, rtol=1e-6 if dtype == np.float32 else 1e-15)
    assert not act.d2y(x)[zero].any() and np.isnan(act.backward([np.nan])).all()
    plain = get_act({"LeakyReLU": "leaky-ReLU"}.get(name, name), alpha=act.alpha, **(
        {"lambda_": act.lambda_} if hasattr(act, "lambda_") else {}))
    np.testing.assert_array_equal(act(x), plain(x))
    np.testing.assert_array_equal(slope[~zero], plain.backward(x)[~zero])
    for twin in (copy.copy(act), copy.deepcopy(act), pickle.loads(pickle.dumps(act)), eval(repr(act))):
        assert type(twin) is type(act) and repr(twin) == repr(act) and twin.like == like
        np.testing.assert_array_equal(twin.backward(x), slope)
    if given:
        act.alpha = 0.75
        np.testing.assert_array_equal(act.backward(np.zeros(3, dtype)), dtype(0.75))
