"""Divergences between two distributions over one class axis: how different are they, and which differences count?

Letters: k classes. The forms that take logarithms take them of the predictions, as a log-softmax gives them. In all of them
``0 log 0`` is 0, and a derivative that would be infinite at a probability of 0 is given as 0; a divergence that is infinite
is inf, with gradient 0.
"""

from typing import Unpack

import jax.numpy as jnp
from jax import Array, lax

from jloss._core.backend import few, hint, select, with_derivative_of
from jloss._core.loss import loss
from jloss._core.signature import OverClasses
from jloss._core.sorting import order_of
from jloss.numerics import absolute, logsumexp, positive_part, quotient, safe_divide, safe_exp, safe_log, safe_norm, safe_sqrt
from jloss.numerics._special import power_divergence, scaled_expm1, scaled_log1p, small_exp_remainder
from jloss.numerics.guards import exp_plus, polynomial


@loss("(k),(k)->()", "log_prob prob")
@hint(straight=True)
def kl_divergence(log_predictions: Array, targets: Array, **reduce: Unpack[OverClasses]) -> Array:
    r"""Kullback-Leibler divergence KL(targets || predictions): what maximum likelihood minimises; it covers all the targets.

    .. math:: \ell = \sum_i \text{targets}_i (\log \text{targets}_i - \text{log\_predictions}_i)

    The gradient in the log-predictions is ``-targets``. A class of target 0 adds 0 even at a log-prediction of -inf, where
    torch and optax give NaN; a class of positive target at -inf makes it inf. torch's default mean also divides by k.

    Args:
        log_predictions: Logarithms of predicted probabilities.
        targets: Probabilities.

    >>> kl_divergence(jnp.log(jnp.array([0.5, 0.5])), jnp.array([1.0, 0.0]))
    Array(0.6931472, dtype=float32)

    References:
        Kullback and Leibler, On Information and Sufficiency, 1951. https://doi.org/10.1214/aoms/1177729694
    """
    return jnp.sum(_excess_surprisal(targets, safe_log(targets), log_predictions))


@loss("(k),(k)->()", "log_prob log_prob")
@hint(straight=True, recompute_factor=16)  # one exponential per class: cheaper to compute again than to keep from 1 MiB on
def kl_divergence_with_log_targets(log_predictions: Array, log_targets: Array, **reduce: Unpack[OverClasses]) -> Array:
    r"""`kl_divergence` with the targets in logarithms, as a teacher's log-softmax gives them.

    .. math:: \ell = \sum_i \exp(\text{log\_targets}_i) (\text{log\_targets}_i - \text{log\_predictions}_i)

    A class at -inf in both is absent: value and gradient 0, where torch and optax give NaN.

    Args:
        log_predictions: Logarithms of predicted probabilities.
        log_targets: Logarithms of target probabilities.

    >>> kl_divergence_with_log_targets(jnp.log(jnp.array([0.5, 0.5])), jnp.log(jnp.array([1.0, 0.0])))
    Array(0.6931472, dtype=float32)

    References:
        Kullback and Leibler, On Information and Sufficiency, 1951. https://doi.org/10.1214/aoms/1177729694
    """
    return jnp.sum(_excess_surprisal(jnp.exp(log_targets), log_targets, log_predictions))


@loss("(k),(k)->()", "log_prob prob")
@hint(recompute_factor=16)
def reverse_kl_divergence(log_predictions: Array, targets: Array, **reduce: Unpack[OverClasses]) -> Array:
    r"""KL(predictions || targets): it seeks one mode, and avoids what the targets exclude.

    .. math:: \ell = \sum_i \exp(\text{log\_predictions}_i) (\text{log\_predictions}_i - \log \text{targets}_i)

    It is inf, with gradient 0, as soon as a prediction puts weight where the target is 0: soften such targets, or take
    `js_divergence`.

    Args:
        log_predictions: Logarithms of predicted probabilities.
        targets: Probabilities; positive where the predictions are.

    >>> reverse_kl_divergence(jnp.log(jnp.array([1.0, 0.0])), jnp.array([0.5, 0.5]))
    Array(0.6931472, dtype=float32)

    References:
        Minka, Divergence Measures and Message Passing, 2005.
        https://www.microsoft.com/en-us/research/publication/divergence-measures-and-message-passing/
    """
    return jnp.sum(_relative_entropies(jnp.exp(log_predictions), log_predictions, safe_log(targets)))


@loss("(k),(k)->()", "real nonnegative")
@hint(straight=True, recompute_factor=1)
def generalized_kl_divergence(log_predictions: Array, targets: Array, **reduce: Unpack[OverClasses]) -> Array:
    r"""KL(targets || predictions) for amounts that need not sum to 1, such as counts or spectra.

    .. math:: \ell = \sum_i t_i (\log t_i - q_i) - t_i + \exp(q_i) \qquad q = \text{log\_predictions},\ t = \text{targets}

    The gradient in the log-predictions is ``exp(log_predictions) - targets``. The value is never
    negative, and keeps its digits near a match.

    Args:
        log_predictions: Logarithms of predicted amounts.
        targets: Amounts; 0 or more.

    >>> generalized_kl_divergence(jnp.log(jnp.array([3.0, 1.0])), jnp.array([3.0, 0.0]))
    Array(1., dtype=float32)

    References:
        Lee and Seung, Algorithms for Non-negative Matrix Factorization, 2000.
        https://papers.nips.cc/paper/1861-algorithms-for-non-negative-matrix-factorization
    """

    def formula(log_predictions: Array, targets: Array) -> Array:
        return exp_plus(log_predictions, _relative_entropies(targets, safe_log(targets), log_predictions) - targets)

    def accurate(log_predictions: Array, targets: Array) -> Array:
        gap = log_predictions - safe_log(targets)
        return select(jnp.abs(gap) < 0.5, targets * small_exp_remainder(gap), formula(log_predictions, targets))

    if few():
        near = jnp.abs(log_predictions - safe_log(targets)) < 0.5
        q, t = select(near, log_predictions, 0.0), select(near, targets, 1.0)
        return jnp.sum(select(near, t * small_exp_remainder(q - jnp.log(t)), formula(log_predictions, targets)))
    return jnp.sum(with_derivative_of(formula, accurate)(log_predictions, targets))


@loss("(k),(k)->()", "prob prob", beta="unit")
@hint(blocks=4, recompute_factor=1)
def js_divergence(p: Array, q: Array, *, beta: float = 0.5, **reduce: Unpack[OverClasses]) -> Array:
    r"""Jensen-Shannon divergence: bounded, finite whatever the zeros, symmetric at ``beta=0.5``.

    .. math:: \ell = \beta\,\text{KL}(p \,\|\, m) + (1 - \beta)\,\text{KL}(q \,\|\, m) \qquad m = \beta p + (1 - \beta) q

    At most log 2. It is 0 at ``beta`` 0 and 1; divided by ``beta (1 - beta)`` it goes to the two KL divergences there.

    Args:
        p: Probabilities.
        q: Probabilities.
        beta: The weight of `p` in the mixture, between 0 and 1.

    >>> js_divergence(jnp.array([1.0, 0.0]), jnp.array([0.0, 1.0]))
    Array(0.6931472, dtype=float32)

    References:
        Lin, Divergence Measures Based on the Shannon Entropy, 1991. https://doi.org/10.1109/18.61115
    """

    def formula(p: Array, q: Array, beta: Array) -> Array:
        mixture = beta * p + (1 - beta) * q
        log_p, log_q, log_m = safe_log(p), safe_log(q), safe_log(mixture)
        from_p = _relative_entropies(p, log_p, select(mixture > 0, log_m, log_p))
        from_q = _relative_entropies(q, log_q, select(mixture > 0, log_m, log_q))
        return beta * from_p + (1 - beta) * from_q

    def accurate(p: Array, q: Array, beta: Array) -> Array:
        mixture = beta * p + (1 - beta) * q
        near = jnp.abs(p - q) < 0.03 * mixture
        gap = select(near, p - q, 0.0)
        close = _close_js_divergence(gap, quotient(gap, select(near, mixture, 1.0)), beta)
        return select(near, close, formula(p, q, beta))

    function = accurate if few() else with_derivative_of(formula, accurate)
    return jnp.sum(function(p, q, jnp.asarray(beta)))


def _close_js_divergence(gap: Array, share: Array, beta: Array | float) -> Array:
    """The part of a class of which `gap` is the difference and `share` the quotient of that and the mixture, by its series.

    What both divergences have of the first order cancels in each class, and would leave only rounding.
    """
    terms = [2 / ((k + 1) * (k + 2)) for k in range(11 if share.dtype == jnp.float64 else 5)]
    of_p, of_q = polynomial((beta - 1) * share, *terms), polynomial(beta * share, *terms)
    return 0.5 * beta * (1 - beta) * gap * share * ((1 - beta) * of_p + beta * of_q)


@loss("(k),(k)->()", "prob prob", alpha="nonnegative")
def renyi_divergence(p: Array, q: Array, *, alpha: float = 0.5, **reduce: Unpack[OverClasses]) -> Array:
    r"""Rényi divergence of order `alpha` of `p` from `q`; KL(p || q) at 1, and finite below 1 unless `p` and `q` share no class.

    .. math:: \ell = \frac{1}{\alpha - 1} \log \frac{\sum_i p_i^\alpha\, q_i^{1 - \alpha}}{\sum_i p_i}

    The limit at 1 is included and differentiable in `alpha`. The sum of `p` is Rényi's own, for what sums to 1 only to
    rounding. From order 1 on it is inf if some ``q = 0 < p``. At order 0 it is ``-log`` of the weight of `q` where `p` is positive.

    Args:
        p: Probabilities.
        q: Probabilities.
        alpha: The order; 0 or more. Larger orders watch the classes where `p` exceeds `q` most.

    >>> renyi_divergence(jnp.array([0.5, 0.5]), jnp.array([0.9, 0.1]))
    Array(0.22314353, dtype=float32)

    References:
        van Erven and Harremoës, Rényi Divergence and Kullback-Leibler Divergence, 2014. https://arxiv.org/abs/1206.2459
    """
    order = jnp.asarray(alpha) - 1
    p = select((p <= 0) & (q == 0) & (order >= 0), 0.0, p)  # from order 1 on its slope there is infinite
    shared, lost = (p > 0) & (q != 0), (p > 0) & (q == 0)
    infinite = (jnp.any(lost) & (order >= 0)) | ~jnp.any(shared)
    kept = shared & ~infinite
    nothing = select(infinite, 0.0, -jnp.inf)
    # A class that `p` lacks adds nothing, with the slope of what it would add.
    lost_weight = jnp.sum(select(kept | infinite, 0.0, p))
    met = jnp.sum(select(lost & ~infinite & (order == -1), q, 0.0))  # 0; at order 0 the formula is linear in `q`
    total = select(infinite, 1.0, jnp.sum(p))
    log_p = jnp.log(select(kept, p, 1.0))
    log_ratio = log_p - jnp.log(select(kept, q, 1.0))

    def near_one(order: Array) -> Array:
        surplus = jnp.sum(select(kept, p, 0.0) * scaled_expm1(log_ratio, order)) - safe_divide(lost_weight, order)
        return scaled_log1p(surplus / total, order)

    def far_from_one(order: Array) -> Array:
        similar = jnp.all(jnp.abs(order * log_ratio) < 0.5)  # there the two logarithms would leave only rounding of their difference
        gain = jnp.sum(select(kept, p, 0.0) * jnp.expm1(select(similar, order * log_ratio, 0.0))) - lost_weight + met
        log_sum = logsumexp(select(kept, log_p + order * log_ratio, nothing))
        apart = log_sum - jnp.log(total) + met * jnp.exp(-log_sum)
        return select(similar, jnp.log1p(select(similar, gain / total, 0.0)), apart) / order

    return select(infinite, jnp.inf, lax.cond(jnp.abs(order) < 0.25, near_one, far_from_one, order))


@loss("(k),(k)->()", "prob prob")
def alpha_divergence(p: Array, q: Array, *, alpha: float = 0.5, **reduce: Unpack[OverClasses]) -> Array:
    r"""One family from KL(q || p) at ``alpha=0`` over Hellinger at 0.5 to KL(p || q) at 1 and Pearson at 2.

    .. math::
        \ell = \sum_i \frac{\alpha p_i + (1 - \alpha) q_i - p_i^\alpha\, q_i^{1 - \alpha}}{\alpha (1 - \alpha)}
        = \frac{1 - \sum_i p_i^\alpha\, q_i^{1 - \alpha}}{\alpha (1 - \alpha)}

    The second form is for what sums to 1; the first needs no such sum, is never negative, and keeps its digits near a match. The
    limits at 0 and 1 are included and differentiable in `alpha`. At 0.5 it is 4 times the squared `hellinger` distance, at 2
    half of `chi_squared`. Between 0 and 1 it is bounded; from 1 on it is inf if some ``q = 0 < p``, from 0 down if some
    ``p = 0 < q``.

    Args:
        p: Probabilities.
        q: Probabilities.
        alpha: The order; large values watch where `p` exceeds `q`, negative ones where `q` exceeds `p`.

    >>> alpha_divergence(jnp.array([0.5, 0.5]), jnp.array([0.9, 0.1]), alpha=2.0)
    Array(0.88888884, dtype=float32)

    References:
        Cichocki and Amari, Families of Alpha- Beta- and Gamma-Divergences, 2010. https://doi.org/10.3390/e12061532
    """
    return jnp.sum(power_divergence(p, q, jnp.asarray(alpha)))


@loss("(k),(k)->()", "prob prob")
def hellinger(p: Array, q: Array, **reduce: Unpack[OverClasses]) -> Array:
    r"""Hellinger distance: a metric between 0 and 1 that is gentle with small probabilities.

    .. math:: \ell = \sqrt{\tfrac12 \sum_i (\sqrt{p_i} - \sqrt{q_i})^2}

    The gradient at a match, the tip of a cone, is 0; next to it the slope is finite. For a smooth loss square it, or take
    `alpha_divergence`.

    Args:
        p: Probabilities.
        q: Probabilities.

    >>> hellinger(jnp.array([1.0, 0.0]), jnp.array([0.0, 1.0]))
    Array(1., dtype=float32)

    References:
        Hellinger, Neue Begründung der Theorie quadratischer Formen, 1909. https://doi.org/10.1515/crll.1909.136.210
    """
    return safe_norm(safe_sqrt(p) - safe_sqrt(q)) * 0.5**0.5


@loss("(k),(k)->()", "prob prob")
def total_variation(p: Array, q: Array, **reduce: Unpack[OverClasses]) -> Array:
    r"""Total variation distance: the largest difference in probability that any event can have.

    .. math:: \ell = \tfrac12 \sum_i |p_i - q_i|

    The gradient is half the sign of the difference, 0 where the two agree. As a penalty on images see `total_variation_penalty`.

    Args:
        p: Probabilities.
        q: Probabilities.

    >>> total_variation(jnp.array([0.5, 0.5]), jnp.array([0.9, 0.1]))
    Array(0.4, dtype=float32)

    References:
        Levin and Peres, Markov Chains and Mixing Times, 2017. https://doi.org/10.1090/mbk/107
    """
    return 0.5 * jnp.sum(absolute(p - q))


@loss("(k),(k)->()", "prob prob")
@hint(recompute_factor=1)
def chi_squared(p: Array, q: Array, **reduce: Unpack[OverClasses]) -> Array:
    r"""Pearson's divergence of `p` from an expected `q`: relative errors, so rare classes count most.

    .. math:: \ell = \sum_i \frac{(p_i - q_i)^2}{q_i}

    A class of probability 0 in both adds nothing; ``q = 0 < p`` makes it inf. Neyman's is this with the arguments exchanged.

    Args:
        p: Probabilities.
        q: Probabilities, of the denominator.

    >>> chi_squared(jnp.array([0.5, 0.5]), jnp.array([0.9, 0.1]))
    Array(1.7777777, dtype=float32)

    References:
        Pearson, On the criterion that a given system of deviations can be supposed to have arisen from random sampling, 1900.
        https://doi.org/10.1080/14786440009463897
    """
    expected = q != 0
    gap = select(expected, p - q, 0.0)
    scale = 1 / select(expected, lax.stop_gradient(q), 1.0)  # so that q * q cannot underflow in the gradient
    quotients = gap * (gap * scale) / select(expected, q * scale, 1.0)
    return jnp.sum(select(expected, quotients, select(p == 0, 0.0, select(jnp.isnan(p), p, jnp.inf))))


@loss("(k),(k)->()", "positive positive")
@hint(recompute_factor=1)
def itakura_saito(p: Array, q: Array, **reduce: Unpack[OverClasses]) -> Array:
    r"""Divergence of spectra that sees only ratios: quiet and loud frequencies count alike.

    .. math:: \ell = \sum_i \frac{p_i}{q_i} - \log \frac{p_i}{q_i} - 1

    It does not change if both are multiplied by one number. `p` far above `q` costs linearly, far below logarithmically.

    Args:
        p: Power spectrum, positive; usually the observed one.
        q: Power spectrum, positive; usually the model.

    >>> itakura_saito(jnp.array([1.0, 2.0]), jnp.array([1.0, 1.0]))
    Array(0.3068528, dtype=float32)

    References:
        Févotte, Bertin and Durrieu, Nonnegative Matrix Factorization with the Itakura-Saito Divergence, 2009.
        https://doi.org/10.1162/neco.2008.04-08-771
    """
    scale = 1 / lax.stop_gradient(jnp.maximum(p, q))  # the larger becomes 1, so that the logarithms do not cancel
    gaps = jnp.log(p * scale) - jnp.log(q * scale)
    near = jnp.abs(gaps) < 0.5
    return jnp.sum(select(near, small_exp_remainder(select(near, gaps, 0.0)), safe_exp(gaps) - 1 - gaps))


@loss("(k),(k)->()", "prob prob")
def wasserstein_1d(predictions: Array, targets: Array, *, p: int = 1, **reduce: Unpack[OverClasses]) -> Array:
    r"""Earth mover's distance between distributions over ordered classes, one unit apart: far mistakes cost more.

    .. math::
        \ell = \left(\int_0^1 \bigl|F^{-1}(u) - G^{-1}(u)\bigr|^p\,du\right)^{1/p} \qquad \text{for } p = 1:\ \sum_i |F_i - G_i|

    F and G are the cumulative sums of the two. The gradient is 0 at a match, where the root has none. From ``p=2`` on
    it sorts. The squared difference of F and G is another loss, `squared_emd`.

    Args:
        predictions: Probabilities of ordered classes.
        targets: Probabilities of the same classes.
        p: The power of the distance, 1 or more. With 1, the mean distance that mass has to move.

    >>> wasserstein_1d(jnp.array([1.0, 0.0, 0.0]), jnp.array([0.0, 0.5, 0.5]))
    Array(1.5, dtype=float32)
    >>> wasserstein_1d(jnp.array([1.0, 0.0, 0.0]), jnp.array([0.0, 0.5, 0.5]), p=2)
    Array(1.5811388, dtype=float32)

    References:
        Peyré and Cuturi, Computational Optimal Transport, 2019. https://arxiv.org/abs/1803.00567
    """
    if p < 1:
        raise ValueError(f"wasserstein_1d: `p` must be 1 or more, got {p}.")
    if p == 1:
        return jnp.sum(absolute(jnp.cumsum(predictions - targets)[:-1]))
    first, second = jnp.cumsum(predictions)[:-1], jnp.cumsum(targets)[:-1]
    levels = jnp.concatenate([first, second])
    order = order_of(levels)
    steps = select(order < first.shape[0], 1.0, -1.0).astype(levels.dtype)
    apart = jnp.abs(jnp.cumsum(steps))[:-1]  # what lies between two levels moves over so many classes
    total = jnp.sum(positive_part(jnp.diff(levels[order])) * apart**p)
    positive = total > 0
    return select(positive, jnp.power(select(positive, total, 1.0), 1 / p), total)


def _relative_entropies(weights: Array, log_first: Array, log_second: Array) -> Array:
    """``weights * (log_first - log_second)``: 0 where the weight is 0, inf where only the second vanishes, both without gradient."""
    absent = (weights == 0) & ~jnp.isnan(log_second)
    impossible = ~absent & (log_second == -jnp.inf)
    counts = ~absent & ~impossible
    gaps = select(counts, log_first, 0.0) - select(counts, log_second, 0.0)
    return select(impossible, jnp.inf, select(counts, weights, 0.0) * gaps)


def _excess_surprisal(weights: Array, log_weights: Array, logs: Array) -> Array:
    """``weights * (log_weights - logs)``, 0 where the weight is 0. The gradient in `logs` is ``-weights`` even at -inf.

    So it is read off the weights, in one pass that does not look at the logs; the gradient in the weights is 0 at a log of -inf.
    """
    fixed = (weights == 0) | (logs == -jnp.inf)
    gaps = select(fixed, lax.stop_gradient(log_weights), log_weights) - logs
    zeros = lax.stop_gradient(select(jnp.isnan(logs), logs, 0.0))
    return select(weights == 0, zeros, select(fixed, lax.stop_gradient(weights), weights) * gaps)
