"""Linear-chain conditional random fields: t steps, k tags, a score for each tag at each step and for each pair of neighbours."""

from typing import NamedTuple, Unpack

import jax
import jax.numpy as jnp
from jax import Array, lax

from jloss._core.functions import over_batch
from jloss._core.loss import loss
from jloss._core.signature import Reduce
from jloss.numerics import logsumexp, positive_part
from jloss.sequence._recursion import inside, recursion


@loss("(t,k),(t),(k,k),(k),(k),()->()", "real class real real real length")
def crf(
    emissions: Array,
    tags: Array,
    transitions: Array,
    start: Array | None = None,
    stop: Array | None = None,
    length: Array | None = None,
    **reduce: Unpack[Reduce],
) -> Array:
    r"""Negative log-likelihood of a whole tag sequence, normalised over all tag sequences: tagging where neighbours matter.

    .. math::
        \ell = \log \sum_{y} e^{s(y)} - s(\text{tags}) \qquad
        s(y) = \text{start}_{y_1} + \sum_t \text{emissions}_{t, y_t} + \sum_t \text{transitions}_{y_t, y_{t + 1}} + \text{stop}_{y_n}

    The gradient in the emissions is `crf_marginals` minus the one-hot tags, in the transitions the expected minus the observed
    count of each pair. Forbid a pair with a transition of -inf; tags that use a forbidden pair give inf with gradient 0. Steps at
    or beyond `length` have neither influence nor gradient; an empty sequence costs 0. A tag out of range within the length, or a
    length out of range, gives NaN. Parameters without batch axes are shared by the batch. The value is that of pytorch-crf; TensorFlow
    Addons has no start and stop scores.

    Args:
        emissions: Score of each tag at each step.
        tags: The true tags, padded with anything.
        transitions: Score of each pair, ``transitions[from, to]``.
        start: Score of each tag at the first step; None means 0.
        stop: Score of each tag at the last step; None means 0.
        length: The number of valid steps; None means all.

    >>> crf(jnp.zeros((3, 2)), jnp.array([0, 1, 1]), jnp.zeros((2, 2)))  # one of eight sequences
    Array(2.0794415, dtype=float32)

    References:
        Lafferty, McCallum and Pereira, Conditional Random Fields, 2001. https://repository.upenn.edu/handle/20.500.14332/6188
    """
    steps, classes = emissions.shape
    if steps == 0:
        return jnp.zeros_like(emissions, shape=())
    emissions, start, stop, valid = _filled(emissions, start, stop, length)
    wrong = (tags < 0) | (tags >= classes)
    index = jnp.where(wrong, 0, tags)
    at_tag = jax.vmap(_take)(emissions, index)
    pairs = transitions.at[index[:-1], index[1:]].get(mode="promise_in_bounds")
    if valid is None:
        last = index[-1]
    else:
        wrong = wrong & valid
        at_tag, pairs = jnp.where(valid, at_tag, 0.0), jnp.where(valid[1:], pairs, 0.0)
        last = _take(index, jnp.sum(valid[1:], dtype=jnp.int32))
    score = _take(start, index[0]) + jnp.sum(at_tag) + jnp.sum(pairs) + _take(stop, last)
    possible = score > -jnp.inf
    partition = _log_partition(emissions, transitions, start, stop, valid)
    result = positive_part(partition - jnp.where(possible, score, 0.0))
    result = jnp.where(jnp.isnan(score) | possible, jnp.where(jnp.isnan(score), score, result), jnp.inf)
    if length is not None:
        result = jnp.where((length < 0) | (length > steps), jnp.nan, jnp.where(length == 0, 0.0, result))
    return jnp.where(jnp.any(wrong), jnp.nan, result)


@over_batch("(t,k),(k,k),(k),(k),()", "real real real real length")
def crf_marginals(
    emissions: Array, transitions: Array, start: Array | None = None, stop: Array | None = None, length: Array | None = None
) -> Array:
    """The probability of each tag at each step, given all steps: ``(..., t, k)``; 0 beyond `length`.

    A length out of range gives NaN. It is the gradient of the log-partition function of `crf`, and can itself be differentiated.

    Args:
        emissions: Score of each tag at each step.
        transitions: Score of each pair, ``transitions[from, to]``.
        start: Score of each tag at the first step.
        stop: Score of each tag at the last step.
        length: The number of valid steps.

    >>> crf_marginals(jnp.zeros((2, 2)), jnp.log(jnp.array([[1.0, 2.0], [3.0, 4.0]])))
    Array([[0.3, 0.7],
           [0.4, 0.6]], dtype=float32)
    """
    if emissions.shape[0] == 0:
        return emissions
    emissions, start, stop, valid = _filled(emissions, start, stop, length)
    marginals = jax.grad(_log_partition)(emissions, transitions, start, stop, valid)
    if length is None or valid is None:
        return marginals
    bad = (length < 0) | (length > emissions.shape[0])
    return jnp.where(bad, jnp.nan, jnp.where(valid[:, None], marginals, 0.0))


class Decoded(NamedTuple):
    """The best tags, -1 beyond the length, and their score."""

    tags: Array
    score: Array


@over_batch("(t,k),(k,k),(k),(k),()", "real real real real length")
def crf_decode(
    emissions: Array, transitions: Array, start: Array | None = None, stop: Array | None = None, length: Array | None = None
) -> Decoded:
    """The most probable tag sequence (Viterbi): ``tags`` (..., t), -1 beyond `length`, and its unnormalised ``score``.

    A length out of range gives NaN and tags of -1.

    Args:
        emissions: Score of each tag at each step.
        transitions: Score of each pair, ``transitions[from, to]``.
        start: Score of each tag at the first step.
        stop: Score of each tag at the last step.
        length: The number of valid steps.

    >>> decoded = crf_decode(jnp.array([[1.0, 0.0], [0.2, 0.0], [0.0, 1.0]]), jnp.array([[0.0, -9.0], [0.0, 0.0]]))
    >>> decoded.tags
    Array([0, 0, 0], dtype=int32)
    """
    steps, classes = emissions.shape
    if steps == 0:
        return Decoded(jnp.zeros((0,), jnp.int32), jnp.zeros_like(emissions, shape=()))
    emissions, start, stop, valid = _filled(emissions, start, stop, length)
    every = jnp.arange(classes, dtype=jnp.int32)
    running = jnp.ones(steps, bool) if valid is None else valid

    def forward(best: Array, row: tuple[Array, Array]) -> tuple[Array, Array]:
        emission, run = row
        ways = best[:, None] + transitions
        came = jnp.argmax(ways, axis=0).astype(jnp.int32)
        return jnp.where(run, jnp.max(ways, axis=0) + emission, best), jnp.where(run, came, every)

    best, came = lax.scan(forward, start + emissions[0], (emissions[1:], running[1:]))
    best = best + stop
    last = jnp.argmax(best).astype(jnp.int32)
    first, rest = lax.scan(lambda tag, back: (_take(back, tag), tag), last, came, reverse=True)
    score = jnp.max(best)
    if length is not None:
        bad = (length < 0) | (length > steps)
        score = jnp.where(bad, jnp.nan, jnp.where(length == 0, 0.0, score))
        running = running & ~bad
    return Decoded(jnp.where(running, jnp.concatenate([first[None], rest]), -1), score)


def _log_partition(emissions: Array, transitions: Array, start: Array, stop: Array, valid: Array | None) -> Array:
    """``log sum exp(score)`` over all tag sequences."""

    def step(alpha: Array, row: tuple[Array, ...]) -> Array:
        emission, *run = row
        moved = logsumexp(alpha[:, None] + transitions, axis=0) + emission
        return jnp.where(run[0], moved, alpha) if run else moved

    rows = (emissions[1:],) if valid is None else (emissions[1:], valid[1:])
    return logsumexp(recursion(step, start + emissions[0], rows) + stop)


def _filled(emissions: Array, start: Array | None, stop: Array | None, length: Array | None) -> tuple[Array, Array, Array, Array | None]:
    """0 for scores that are not given and beyond the length; the valid steps."""
    nothing = jnp.zeros_like(emissions[0])
    start, stop = (nothing if x is None else x for x in (start, stop))
    if length is None:
        return emissions, start, stop, None
    valid = inside(length, emissions.shape[0])
    return jnp.where(valid[:, None], emissions, 0.0), start, stop, valid


def _take(x: Array, index: Array) -> Array:
    return jnp.take(x, index, axis=0, mode="clip")
