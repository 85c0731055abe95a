"""The losses that optax has not, in JAX's operations: of each element or row, with the catalogue's defaults."""
import jax
import jax.numpy as jnp
import optax

__all__ = ["LOSSES"]


def softmax_focal(x, labels):
    log_p = jnp.take_along_axis(jax.nn.log_softmax(x), labels[:, None], -1)[:, 0]
    return -((1 - jnp.exp(log_p)) ** 2) * log_p


def categorical_hinge(x, labels):
    t = jax.nn.one_hot(labels, x.shape[-1], dtype=x.dtype)
    return jnp.maximum(1 + ((1 - t) * x).max(-1) - (t * x).sum(-1), 0)


def tversky(x, t):
    inner = (x * t).sum(-1)
    return 1 - (inner + 1e-7) / (inner + 0.5 * ((1 - t) * x).sum(-1) + 0.5 * (t * (1 - x)).sum(-1) + 1e-7)


def jensen_shannon(y, t):
    xlogy, m = jax.scipy.special.xlogy, (y + t) / 2
    return (xlogy(t, t) - xlogy(t, m) + xlogy(y, y) - xlogy(y, m)) / 2


def gaussian(y, t, var):
    return 0.5 * (jnp.log(jnp.maximum(var, 1e-6)) + jnp.square(y - t) / jnp.maximum(var, 1e-6))


def triplet(a, p, n):
    return jnp.maximum(1 + jnp.linalg.norm(a - p + 1e-6, axis=-1) - jnp.linalg.norm(a - n + 1e-6, axis=-1), 0)


def info_nce(queries, keys):
    return optax.softmax_cross_entropy_with_integer_labels(queries @ keys.T, jnp.arange(len(queries)))


LOSSES = {
    "L1": lambda y, t: jnp.abs(y - t), "smooth-L1": optax.huber_loss,
    "quantile": lambda y, t: jnp.maximum(0.5 * (t - y), 0.5 * (y - t)),
    "epsilon-insensitive": lambda y, t: jnp.maximum(jnp.abs(y - t) - 0.1, 0),
    "squared-epsilon-insensitive": lambda y, t: jnp.square(jnp.maximum(jnp.abs(y - t) - 0.1, 0)),
    "MAPE": lambda y, t: 100 * jnp.abs(y - t) / jnp.maximum(jnp.abs(t), 1e-7),
    "MSLE": lambda y, t: jnp.square(jnp.log1p(y) - jnp.log1p(t)),
    "contrastive": lambda y, t: t * y * y + (1 - t) * jnp.square(jnp.maximum(1 - y, 0)),
    "Binary": lambda y, t: -t * jnp.log(y) - (1 - t) * jnp.log1p(-y), "Cross": lambda y, t: -t * jnp.log(y),
    "KL": lambda y, t: jax.scipy.special.xlogy(t, t) - t * y, "Jensen-Shannon": jensen_shannon,
    "Poisson": lambda y, t: jnp.exp(y) - t * y, "hinge": lambda y, t: jnp.maximum(1 - (2 * t - 1) * y, 0),
    "squared-hinge": lambda y, t: jnp.square(jnp.maximum(1 - (2 * t - 1) * y, 0)), "softmax-focal": softmax_focal,
    "categorical-hinge": categorical_hinge, "Tversky": tversky,
    "dice": lambda x, t: 1 - (2 * (x * t).sum(-1) + 1e-7) / (x.sum(-1) + t.sum(-1) + 1e-7),
    "Gaussian-NLL": gaussian, "Laplace-NLL": lambda y, t, scale: jnp.log(scale) + jnp.abs(y - t) / scale,
    "soft-margin": lambda y, t: jax.nn.softplus(-t * y),
    "hinge-embedding": lambda y, t: jnp.where(t == 1, y, jnp.maximum(1 - y, 0)),
    "NLL": lambda x, labels: -jnp.take_along_axis(x, labels[:, None], -1)[:, 0], "triplet": triplet, "InfoNCE": info_nce,
}
