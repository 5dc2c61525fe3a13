"""What the losses between magnitudes of spectrograms have in common: floors, and their terms in one or in several resolutions."""

import functools
import operator
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jax import Array, lax

from jloss._core.backend import is_known_zero, select
from jloss._core.domains import is_known
from jloss.audio._fourier import check, frames, of_frames, reflected
from jloss.numerics import absolute, safe_divide, safe_sqrt

STRETCH = 8192  # samples of a signal whose spectrograms of one example stay in the caches of a CPU

Weights = tuple[float | Array, float | Array, float | Array]  # of convergence, logarithms, magnitudes


def squared(z: Array) -> Array:
    return jnp.square(z.real) + jnp.square(z.imag)


def floored(x: Array, floor: float | Array) -> Array:
    """``max(x, floor)``, with gradient 0 at the floor."""
    return select(x <= floor, jnp.asarray(floor).astype(x.dtype), x)


def power(z: Array, epsilon: float | Array) -> Array:
    """The squared magnitude of a spectrum, at least epsilon."""
    return floored(squared(z), epsilon)


def distances(
    name: str,
    predictions: Array,
    targets: Array,
    resolutions: Sequence[tuple[int, int, int | None]],
    weights: Weights,
    epsilon: float | Array,
) -> list[Array]:
    """`stft` in each resolution.

    Of long signals CPUs take a stretch at a time, in all resolutions, and again for the gradient: what is large stays in their caches.
    `multi_resolution_stft` of 4 x 65536 samples takes half the time, and a fifth of the memory.
    """
    parts = -(-predictions.shape[0] // STRETCH) if is_known(predictions.shape[0]) and jax.default_backend() == "cpu" else 1
    plans, stretches = [], []
    for fft_size, hop_size, window_length in resolutions:
        window_length = fft_size if window_length is None else window_length
        check(name, predictions, fft_size, hop_size, window_length)
        signals = []
        for signal in (predictions, targets):
            padded, count, left = reflected(signal, fft_size, hop_size, window_length)
            some = -(-count // parts)
            if parts > 1:
                padded = frames(padded, parts, some * hop_size, left, (some - 1) * hop_size + window_length)
            signals.append(padded)
        plans.append((fft_size, hop_size, window_length, left, count, some))
        stretches.append(signals)

    def sums_of(stretch: tuple[Array, list[list[Array]]]) -> list[list[Array | None]]:
        part, signals = stretch
        sums = []
        for (fft_size, hop_size, window_length, left, count, some), pair in zip(plans, signals, strict=True):
            start = left if parts == 1 else 0
            x, y = (power(of_frames(frames(s, some, hop_size, start, window_length), left, fft_size), epsilon) for s in pair)
            kept = None
            if parts > 1 and parts * some > count:
                kept = jnp.broadcast_to((part * some + jnp.arange(some) < count)[:, None], x.shape)
            logs = jnp.sign(x - y) * (0.5 * jnp.log(x / y))  # Absolute, and such that its derivative needs no logarithm.
            sums.append(sums_of_terms(jnp.sqrt(x), jnp.sqrt(y), logs, weights, kept))
        return sums

    if parts == 1:
        sums = sums_of((jnp.zeros((), int), stretches))
    else:
        body = jax.checkpoint(sums_of, prevent_cse=False)
        sums = lax.scan(lambda nothing, stretch: (nothing, body(stretch)), None, (jnp.arange(parts), stretches))[1]
        sums = jax.tree.map(lambda s: jnp.sum(s, axis=0), sums)
    nothing = jnp.zeros_like(predictions, shape=())
    return [weighted(s, plan[4] * (plan[0] // 2 + 1), weights, nothing) for s, plan in zip(sums, plans, strict=True)]


def sums_of_terms(x: Array, y: Array, logs: Array, weights: Weights, kept: Array | None = None) -> list[Array | None]:
    """The sums of which the terms of `stft` consist, over the frames that are kept. A weight that is known to be 0 computes nothing."""

    def total(z: Array) -> Array:
        return jnp.sum(z if kept is None else select(kept, z, 0.0))

    convergence, log_magnitude, magnitude = (not is_known_zero(weight) for weight in weights)
    return [
        total(jnp.square(y - x)) if convergence else None,
        total(jnp.square(y)) if convergence else None,
        total(logs) if log_magnitude else None,
        total(absolute(x - y)) if magnitude else None,
    ]


def weighted(sums: list[Array | None], count: int, weights: Weights, nothing: Array) -> Array:
    """The weighted terms of `stft`."""
    error, size, logs, gaps = sums
    terms = [nothing]
    if error is not None and size is not None:
        terms.append(weights[0] * safe_divide(safe_sqrt(error), safe_sqrt(size)))
    terms += [w * (s / count) for w, s in ((weights[1], logs), (weights[2], gaps)) if s is not None]
    return functools.reduce(operator.add, terms)
