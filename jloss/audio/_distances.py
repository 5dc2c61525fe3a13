"""What the losses between magnitudes of spectrograms have in common: floors, and their terms in one or in several resolutions."""

import functools
import operator
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jax import Array, lax

from jloss._core.backend import by_platform, in_block, is_known_zero, select
from jloss._core.domains import is_known
from jloss.audio._fourier import (
    by_matrices,
    check,
    columns_in_parts,
    frames,
    frames_of_rows,
    hann,
    reflected,
    spectrum_in_parts,
    windowed,
)
from jloss.numerics import absolute, safe_divide, safe_sqrt

STRETCH = 8192  # samples of a signal whose spectrograms, of a few examples, stay in the caches of a CPU
BLOCK_STRETCH = 1 << 16  # the same where the examples come in blocks

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
    `multi_resolution_stft` of 4 x 65536 samples takes half the time, and a fifth of the memory. Where the examples of a batch come one
    after another a stretch is longer, so that most signals are one, and nothing is computed again: 25 ms for 32.
    """
    parts, longest = 1, BLOCK_STRETCH if in_block() else STRETCH
    if is_known(predictions.shape[0]) and jax.default_backend() == "cpu":
        parts = -(-predictions.shape[0] // longest)
    plans, stretches = [], []
    for fft_size, hop_size, window_length in resolutions:
        window_length = fft_size if window_length is None else window_length
        check(name, predictions, fft_size, hop_size, window_length)
        heard = [reflected(signal, fft_size, hop_size, window_length) for signal in (predictions, targets)]
        count = heard[0][1]
        some = -(-count // parts)
        signals = [signal for signal, _ in heard]
        if parts > 1:
            wide = (some - 1 - (-window_length // hop_size)) * hop_size
            signals = [frames(signal.ravel(), parts, some * hop_size, wide).reshape(parts, -1, hop_size) for signal in signals]
        plans.append((fft_size, window_length, count, some))
        stretches.append(signals)

    def sums_of(stretch: tuple[Array, list[list[Array]]]) -> list[list[Array | None]]:
        part, signals = stretch
        sums = []
        for (fft_size, window_length, count, some), pair in zip(plans, signals, strict=True):
            kept = part * some + jnp.arange(some) < count if parts > 1 and parts * some > count else None
            framed = [frames_of_rows(signal, some, window_length, hann(window_length)) for signal in pair]
            sums.append(sums_of_frames(framed, kept, fft_size, weights, epsilon))
        return sums

    if parts == 1:
        sums = sums_of((jnp.zeros((), int), stretches))
    else:
        body = jax.checkpoint(sums_of, prevent_cse=False)
        sums = lax.scan(lambda nothing, stretch: (nothing, body(stretch)), None, (jnp.arange(parts), stretches))[1]
        sums = jax.tree.map(lambda s: jnp.sum(s, axis=0), sums)
    nothing = jnp.zeros_like(predictions, shape=())
    return [weighted(s, plan[2] * (plan[0] // 2 + 1), weights, nothing) for s, plan in zip(sums, plans, strict=True)]


def sums_of_frames(framed: list[Array], kept: Array | None, fft_size: int, weights: Weights, epsilon: float | Array) -> list[Array | None]:
    """`sums_of_terms` of the magnitudes of frames."""

    def of_spectra(spectra: list[list[Array]], kept: Array | None) -> list[Array | None]:
        sums = []
        for pair in zip(*spectra, strict=True):
            x, y = (jnp.sqrt(power(z, epsilon)) for z in pair)
            logs = jnp.sign(x - y) * jnp.log(x / y)  # Absolute, and such that its derivative needs no logarithm.
            wide = None if kept is None else jnp.broadcast_to(kept[:, None], x.shape)
            sums.append(sums_of_terms(x, y, logs, weights, wide))
        return [None if some[0] is None else functools.reduce(operator.add, some) for some in zip(*sums, strict=True)]

    def at_once(framed: list[Array], kept: Array | None) -> list[Array | None]:
        return of_spectra([[by_matrices(x, (fft_size - x.shape[1]) // 2, fft_size)] for x in framed], kept)

    def in_parts(framed: list[Array], kept: Array | None) -> list[Array | None]:
        return of_spectra([spectrum_in_parts(x, fft_size) for x in framed], kept)

    return by_platform(framed, kept, cpu=in_parts, default=at_once)


def bands(
    name: str, signal: Array, filters: Array, fft_size: int, hop_size: int, window_length: int | None, epsilon: float | Array
) -> Array:
    """The magnitudes of a spectrum in bands of frequencies, ``(g, b)``."""
    if filters.shape[1] != fft_size // 2 + 1:
        raise ValueError(
            f"{name}: `filters` must have a column for each of the fft_size // 2 + 1 = {fft_size // 2 + 1} frequencies, "
            f"got {filters.shape[1]}."
        )
    framed, left = windowed(name, signal, fft_size, hop_size, window_length)

    def filtered(z: Array, filters: Array) -> Array:
        return jnp.matmul(jnp.sqrt(power(z, epsilon)), filters.T, precision=lax.Precision.HIGHEST)

    def at_once(framed: Array, filters: Array) -> Array:
        return filtered(by_matrices(framed, left, fft_size), filters)

    def in_parts(framed: Array, filters: Array) -> Array:
        parts = zip(spectrum_in_parts(framed, fft_size), columns_in_parts(filters, fft_size), strict=True)
        return functools.reduce(operator.add, (filtered(z, columns) for z, columns in parts))

    return by_platform(framed, filters, cpu=in_parts, default=at_once)


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
