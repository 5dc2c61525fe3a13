"""Training under outliers and under imbalance, for `compare`."""

import statistics
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jloss._core.catalogue import Entry
from jloss._core.lookup import UsageError

_NORMAL = np.array([statistics.NormalDist().inv_cdf((i + 0.5) / 100) for i in range(100)])  # a sample without chance


def _under_outliers(loss: Callable[..., Any], entry: Entry) -> tuple[np.ndarray, np.ndarray]:
    """Fractions of outliers, and the constant prediction of the least mean loss."""
    names = entry.required
    if len(names) != 2 or any(entry.inputs[n] or entry.domains[n] != "real" for n in names):
        raise UsageError(f"{entry.name}: outliers are among real targets; needs an elementwise loss of real predictions and targets.")
    fractions, guesses = np.linspace(0.0, 0.48, 25), jnp.linspace(-2.0, 11.0, 651)
    order = np.arange(100) * 37 % 100  # so that outliers replace all parts of the sample alike
    targets = jnp.asarray(np.stack([np.where(order < 100 * f, 10.0, _NORMAL) for f in fractions]), jnp.float32)

    def best(targets: Array) -> Array:
        risks = jax.vmap(lambda guess: loss(**{names[0]: jnp.broadcast_to(guess, targets.shape), names[1]: targets}))(guesses)
        return guesses[jnp.argmin(risks)]

    return fractions, np.asarray(jax.jit(jax.vmap(best))(targets))


def _under_imbalance(loss: Callable[..., Any], entry: Entry) -> tuple[np.ndarray, np.ndarray]:
    """Fractions of the rare class, and how much of it a logistic regression recognises that minimises the loss."""
    names = entry.required
    first, second, *others = names
    kinds = [(entry.inputs[n], entry.domains[n]) for n in names[:2]]
    several = kinds == [(("k",), "real"), ((), "class")]
    priors = [n for n in others if (entry.inputs[n], entry.domains[n]) == (("k",), "log_prob")]
    if not (several or kinds in ([((), "real"), ((), "unit")], [((), "real"), ((), "sign")])) or others != priors:
        raise UsageError(f"{entry.name}: imbalance is of classes; needs a loss of logits and labels.")
    fractions = np.geomspace(0.005, 0.5, 13)
    features = jnp.asarray(np.concatenate([_NORMAL - 1, _NORMAL + 1]), jnp.float32)
    labels = jnp.asarray(np.arange(200) // 100)
    targets = labels if several else jnp.where(labels == 1, 1.0, -1.0 if kinds[1][1] == "sign" else 0.0)

    def logit(parameters: Array) -> Array:
        return parameters[0] * features + parameters[1]

    def risk(parameters: Array, fraction: Array) -> Array:
        z = logit(parameters)
        given = {first: jnp.stack([-0.5 * z, 0.5 * z], -1) if several else z, second: targets}
        given |= {n: jnp.log(jnp.stack([1 - fraction, fraction])) for n in priors}
        return loss(**given, weights=jnp.where(labels == 1, fraction, 1 - fraction)) + 1e-4 * jnp.sum(parameters**2)

    def recall(fraction: Array) -> Array:
        import optax

        descent = optax.adam(optax.cosine_decay_schedule(0.2, 300))

        def step(carry: Any, _: Any) -> tuple[Any, None]:
            parameters, state = carry
            updates, state = descent.update(jax.grad(risk)(parameters, fraction), state)
            return (parameters + updates, state), None

        start = jnp.array([1.0, 0.0])
        (parameters, _), _ = jax.lax.scan(step, (start, descent.init(start)), length=300)
        return jnp.mean(jax.nn.sigmoid(20 * logit(parameters)), where=labels == 1)

    with jax.numpy_dtype_promotion("standard"):  # optax needs it
        return fractions, np.asarray(jax.jit(jax.vmap(recall))(jnp.asarray(fractions, jnp.float32)))
