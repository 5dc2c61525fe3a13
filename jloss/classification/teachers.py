r"""Distillation: a student learns the distribution of a teacher.

Letters: k classes. :math:`p` is the teacher's softmax and :math:`q` the student's. The teacher is under `stop_gradient`. A class
at -inf in both is absent; where only the one that must cover the other lacks a class, the divergence is inf, and no gradient is
NaN. All take
`class_axis_name`, and all go through `linear_head`, which computes the student's logits a chunk at a time.
"""

from typing import Unpack

import jax.numpy as jnp
from jax import Array, lax

from jloss._core.backend import select
from jloss._core.loss import loss
from jloss._core.signature import OverClasses
from jloss.numerics import below, log_partition, log_softmax, logaddexp, pick, safe_log
from jloss.numerics._special import exp_remainder
from jloss.numerics.guards import log_odds_to_peak


@loss("(k),(k)->()", "real real", constants="teacher_logits", temperature="positive")
def distillation(
    student_logits: Array,
    teacher_logits: Array,
    *,
    temperature: float = 1.0,
    class_axis_name: str | None = None,
    **reduce: Unpack[OverClasses],
) -> Array:
    r"""Divergence of the student from a softened teacher: it learns the probabilities of wrong answers, too.

    .. math::
        \ell = T^2 \sum_c p_c (\log p_c - \log q_c)
        \qquad p = \operatorname{softmax}(\text{teacher\_logits} / T),\ q = \operatorname{softmax}(\text{student\_logits} / T)

    with `temperature` T. The factor keeps the gradient's size whatever the temperature; TRL and Liger leave it out. The gradient in the
    student's logits is :math:`T (q - p)`, exactly 0 at a match. This direction covers all modes of the teacher; for one of
    them see `reverse_kl`.

    Args:
        student_logits: Unnormalised log-probabilities of the student.
        teacher_logits: Those of the teacher; no gradient.
        temperature: Divides both logits; 2 to 4 is usual.
        class_axis_name: Mesh axis over which the classes are split, inside `jax.shard_map`.

    >>> distillation(jnp.array([1.0, 0.0, 0.0]), jnp.array([2.0, 0.0, 0.0]), temperature=2.0)
    Array(0.12396, dtype=float32)

    References:
        Hinton, Vinyals, Dean, Distilling the Knowledge in a Neural Network, 2015. https://arxiv.org/abs/1503.02531
    """
    log_p, log_q = _both(student_logits, teacher_logits, temperature, class_axis_name)
    return jnp.square(temperature) * _relative_entropy(log_p, log_q, class_axis_name)


@loss("(k),(k)->()", "real real", constants="teacher_logits", temperature="positive")
def reverse_kl(
    student_logits: Array,
    teacher_logits: Array,
    *,
    temperature: float = 1.0,
    class_axis_name: str | None = None,
    **reduce: Unpack[OverClasses],
) -> Array:
    r"""The other direction of `distillation`: the student may leave out modes of the teacher, but must not invent any.

    .. math:: \ell = T^2 \sum_c q_c (\log q_c - \log p_c)

    with p and q as there. It suits small students and text they generate themselves. Where the teacher has a class at -inf that
    the student has not, it is inf.

    Args:
        student_logits: Unnormalised log-probabilities of the student.
        teacher_logits: Those of the teacher; no gradient.
        temperature: Divides both logits.
        class_axis_name: Mesh axis over which the classes are split, inside `jax.shard_map`.

    >>> reverse_kl(jnp.array([1.0, 0.0, 0.0]), jnp.array([2.0, 0.0, 0.0]))
    Array(0.11198, dtype=float32)

    References:
        Gu, Dong, Wei, Huang, MiniLLM: Knowledge Distillation of Large Language Models, 2023. https://arxiv.org/abs/2306.08543
    """
    log_p, log_q = _both(student_logits, teacher_logits, temperature, class_axis_name)
    return jnp.square(temperature) * _relative_entropy(log_q, log_p, class_axis_name)


@loss("(k),(k)->()", "real real", constants="teacher_logits", beta="unit")
def generalized_jsd(
    student_logits: Array,
    teacher_logits: Array,
    *,
    beta: float = 0.5,
    class_axis_name: str | None = None,
    **reduce: Unpack[OverClasses],
) -> Array:
    r"""Between `distillation` and `reverse_kl`: the divergence of both from their mixture, always finite inside.

    .. math::
        \ell = \beta\, KL(p \| m) + (1 - \beta)\, KL(q \| m) \qquad m = \beta p + (1 - \beta) q

    At `beta` 0 it is KL(p || q), at 1 KL(q || p), as in GKD. It jumps there: inside, it goes to 0 towards both ends, like
    ``beta KL(p || q)`` and ``(1 - beta) KL(q || p)``; near an end scale the loss up, or take the end. Symmetric at 0.5 (the
    Jensen-Shannon divergence, at most log 2).

    Args:
        student_logits: Unnormalised log-probabilities of the student.
        teacher_logits: Those of the teacher; no gradient.
        beta: Weight of the teacher in the mixture.
        class_axis_name: Mesh axis over which the classes are split, inside `jax.shard_map`.

    >>> generalized_jsd(jnp.array([1.0, 0.0, 0.0]), jnp.array([2.0, 0.0, 0.0]))
    Array(0.025976, dtype=float32)

    References:
        Agarwal et al., On-Policy Distillation of Language Models (GKD), 2023. https://arxiv.org/abs/2306.13649
    """
    log_p, log_q = _both(student_logits, teacher_logits, 1, class_axis_name)
    is_inside = ~((beta <= 0) | (beta >= 1))  # so that NaN stays NaN
    b = select(is_inside, beta, 0.5)
    log_m = logaddexp(safe_log(b) + log_p, jnp.log1p(-b) + log_q)
    inside = b * _relative_entropy(log_p, log_m, class_axis_name) + (1 - b) * _relative_entropy(log_q, log_m, class_axis_name)
    forward, reverse = _relative_entropy(log_p, log_q, class_axis_name), _relative_entropy(log_q, log_p, class_axis_name)
    return select(is_inside, inside, select(beta <= 0, forward, reverse))


@loss("(k),(k),()->()", "real real class", constants="teacher_logits", alpha="nonnegative", beta="nonnegative", temperature="positive")
def decoupled_distillation(
    student_logits: Array,
    teacher_logits: Array,
    labels: Array,
    *,
    alpha: float = 1.0,
    beta: float = 8.0,
    temperature: float = 4.0,
    class_axis_name: str | None = None,
    **reduce: Unpack[OverClasses],
) -> Array:
    r"""`distillation` in two parts with weights of their own: how sure of the label, and how the other classes compare.

    .. math::
        \ell = T^2 \bigl(\alpha\, KL([p_y, 1 - p_y] \| [q_y, 1 - q_y]) + \beta\, KL(\hat p \| \hat q)\bigr)

    where :math:`\hat p` and :math:`\hat q` are p and q over the classes other than the label, normalised. With :math:`\beta = 1 - p_y` and
    :math:`\alpha = 1` it is `distillation`, which a confident teacher thus keeps from teaching much. Other classes are left out
    exactly, where the authors' code subtracts 1000 from the label's logit. A label out of range is NaN.

    Args:
        student_logits: Unnormalised log-probabilities of the student.
        teacher_logits: Those of the teacher; no gradient.
        labels: The class.
        alpha: Weight of the part of the label.
        beta: Weight of the part of the other classes.
        temperature: Divides both logits.
        class_axis_name: Mesh axis over which the classes are split, inside `jax.shard_map`.

    >>> decoupled_distillation(jnp.array([1.0, 0.0, 0.0]), jnp.array([2.0, 1.0, 0.0]), jnp.array(0))
    Array(1.01882, dtype=float32)

    References:
        Zhao, Cui, Song, Qiu, Liang, Decoupled Knowledge Distillation, 2022. https://arxiv.org/abs/2203.08679
    """
    is_label = _is_label(student_logits, labels, class_axis_name)

    def split(logits: Array) -> tuple[Array, Array]:
        logits = log_odds_to_peak(logits, axis_name=class_axis_name)[0] / temperature
        others = select(is_label, -jnp.inf, logits)
        (total,), (peak,) = log_partition(logits, axis_name=class_axis_name)
        (rest,), (top,) = log_partition(others, axis_name=class_axis_name)
        alone = rest == -jnp.inf
        complement = select(alone, -jnp.inf, below(top, peak) + (select(alone, 0.0, rest) - total))
        pair = jnp.stack([below(pick(logits, labels, axis_name=class_axis_name), peak) - total, complement])
        kept = others > -jnp.inf
        return pair, select(kept, below(select(kept, others, top), top) - select(alone, 0.0, rest), -jnp.inf)

    (pair_q, rest_q), (pair_p, rest_p) = split(student_logits), split(lax.stop_gradient(teacher_logits))
    label, others = _relative_entropy(pair_p, pair_q), _relative_entropy(rest_p, rest_q, class_axis_name)
    return jnp.square(temperature) * (alpha * label + beta * others)


def _both(student_logits: Array, teacher_logits: Array, temperature: Array | float, axis_name: str | None) -> tuple[Array, Array]:
    """The log-probabilities of the teacher and of the student."""
    teacher_logits = lax.stop_gradient(teacher_logits)
    teacher, student = (log_softmax(x, temperature=temperature, axis_name=axis_name) for x in (teacher_logits, student_logits))
    return teacher, student


def _relative_entropy(log_p: Array, log_q: Array, axis_name: str | None = None) -> Array:
    """KL(p || q) of log-probabilities, each term 0 or more, so that it is exact near a match."""
    is_p, is_q = log_p != -jnp.inf, log_q != -jnp.inf
    both = is_p & is_q
    log_p, log_q = select(both, log_p, 0.0), select(is_q, log_q, 0.0)
    p, gap = jnp.exp(log_p), select(both, log_q - log_p, 0.0)
    near = gap < 1
    term = select(near, p * exp_remainder(select(near, gap, 0.0)), jnp.exp(log_q) - p - p * gap)
    alone = select(is_q, jnp.exp(log_q), select(is_p, jnp.inf, 0.0))
    total = jnp.sum(select(both, term, alone))
    return total if axis_name is None else lax.psum(total, axis_name)


def _is_label(logits: Array, label: Array, axis_name: str | None) -> Array:
    """Which of the (local) classes is the label."""
    k = logits.shape[-1]
    first = 0 if axis_name is None else k * lax.axis_index(axis_name)
    return jnp.arange(k, dtype=label.dtype) + first == label
