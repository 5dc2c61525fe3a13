"""Losses made from metrics that cannot be differentiated. Part of `jloss.transforms`."""

from collections.abc import Callable
from typing import Any, Literal, Unpack

import jax
import jax.numpy as jnp
from jax import Array

from jloss._core.arguments import check_number, check_static, is_known_number
from jloss._core.loss import loss
from jloss._core.made import made
from jloss._core.signature import Reduce
from jloss._core.sorting import inverse_of, order_of
from jloss._core.types import ArrayLoss
from jloss.numerics import log_softmax, softplus

Decision = Literal["argmax", "threshold", "rank"]


@made
def smoothed_metric(
    metric: Callable[[Array, Array], Array],
    temperature: float = 1.0,
    *,
    decision: Decision = "argmax",
    perturbed: bool = False,
    samples: int = 100,
) -> ArrayLoss:
    r"""A loss from a metric of hard decisions, whose gradient is 0 wherever it exists: accuracy, F1, IoU, NDCG.

    .. math::
        \ell = 1 - \text{metric}\bigl(d_T(\text{scores}), \text{targets}\bigr)
        \quad\text{or}\quad 1 - \operatorname{E}_z\, \text{metric}\bigl(d(\text{scores} + T z), \text{targets}\bigr)

    with `temperature` T. Either the decision d is softened (a softmax for the argmax, a sigmoid for the threshold at 0, a sum of
    sigmoids for ranks), and the metric is asked at decisions in between: exact gradients, but another function. Or the scores
    are `perturbed` by normal noise and the metric is asked at hard decisions: its expectation, with a noisy gradient by
    `optax.perturbations`; the loss then takes a `key`, one for all examples. As T goes to 0 both become ``1 - metric``, and the
    gradient vanishes.

    The new loss takes scores ``(..., n)`` and targets ``(..., n)``: n classes (argmax; one-hot targets), n items (threshold;
    targets 0 or 1) or n documents (rank; grades, and the decision is the rank from 1). `temperature` is its option.

    Args:
        metric: From the decisions and targets of one example to a number from 0 to 1, where 1 is best.
        temperature: The softness, in the unit of the scores; positive.
        decision: What the metric takes.
        perturbed: Whether to average over noise instead of softening.
        samples: Draws of noise.

    >>> def accuracy(choice, target):
    ...     return jnp.sum(choice * target)
    >>> soft = smoothed_metric(accuracy, temperature=0.5)
    >>> soft(jnp.array([1.0, 0.0]), jnp.array([1.0, 0.0]))
    Array(0.1192, dtype=float32)

    References:
        Berthet et al., Learning with Differentiable Perturbed Optimizers, 2020. https://arxiv.org/abs/2002.08676
        Qin, Liu, Li, A General Approximation Framework for Direct Optimization of Information Retrieval Measures, 2010.
        https://doi.org/10.1007/s10791-009-9124-x
    """
    if not callable(metric):
        raise TypeError(f"smoothed_metric: `metric` must be a function of decisions and targets, got {metric!r}.")
    check_static("smoothed_metric", "decision", decision, Decision)
    check_static("smoothed_metric", "perturbed", perturbed, bool)
    check_static("smoothed_metric", "samples", samples, int)
    check_number("smoothed_metric", "temperature", temperature)
    if is_known_number(temperature) and not temperature > 0:
        raise ValueError(f"smoothed_metric: `temperature` must be greater than 0, got {temperature}.")
    if samples < 1:
        raise ValueError(f"smoothed_metric: `samples` must be 1 or more, got {samples}.")
    default = temperature

    def softened(scores: Array, targets: Array, *, temperature: float = default, **reduce: Unpack[Reduce]) -> Array:
        return 1 - metric(_SOFT[decision](scores, temperature), targets)

    def noisy(scores: Array, targets: Array, key: Array, *, temperature: float = default, **reduce: Unpack[Reduce]) -> Array:
        from optax import perturbations  # importing it takes longer than jloss

        def value(scores: Array) -> Array:
            return metric(_HARD[decision](scores), targets)

        expected = perturbations.make_perturbed_fun(value, samples, temperature, perturbations.Normal())
        return 1 - expected(key, scores)

    core: Any = noisy if perturbed else softened
    core.__name__ = core.__qualname__ = f"smoothed_metric({getattr(metric, '__name__', 'metric')})"
    core.__doc__ = f"One minus {getattr(metric, '__name__', 'a metric')}, {'perturbed' if perturbed else 'softened'}."
    signature, domains = ("(n),(n),()->()", "real nonnegative key") if perturbed else ("(n),(n)->()", "real nonnegative")
    smoothed: Any = loss(signature, domains, temperature="positive")(core)
    return smoothed


def _hard_argmax(scores: Array) -> Array:
    return jax.nn.one_hot(jnp.argmax(scores), scores.shape[0], dtype=scores.dtype)


def _hard_threshold(scores: Array) -> Array:
    return (scores > 0).astype(scores.dtype)


def _hard_rank(scores: Array) -> Array:
    """From 1, the highest score; equal scores in their order."""
    return 1 + inverse_of(order_of(-scores)).astype(scores.dtype)


def _soft_argmax(scores: Array, temperature: Array | float) -> Array:
    return jnp.exp(log_softmax(scores, temperature=temperature))


def _soft_threshold(scores: Array, temperature: Array | float) -> Array:
    return jax.nn.sigmoid(scores / temperature)


def _soft_rank(scores: Array, temperature: Array | float) -> Array:
    """One plus the number of better items, each counted by a sigmoid; an item is not better than itself.

    The temperature divides differences: of two quotients XLA may round one and not the other, and an item would be ahead of itself.
    """
    ahead = (scores[None, :] - scores[:, None]) / temperature
    return 0.5 + jnp.sum(jnp.exp(-softplus(-ahead)), axis=1)


_HARD: dict[str, Callable[[Array], Array]] = {"argmax": _hard_argmax, "threshold": _hard_threshold, "rank": _hard_rank}
_SOFT: dict[str, Callable[..., Array]] = {"argmax": _soft_argmax, "threshold": _soft_threshold, "rank": _soft_rank}
