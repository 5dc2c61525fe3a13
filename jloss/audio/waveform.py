"""Losses between two waveforms: ratios of energies in decibels, with the sign turned so that less is better.

A signal is ``(t)``; channels and sources are batch axes. `permutation_invariant` of one of these takes the outputs of a separator in
any order, `mixture_invariant` takes mixtures instead of clean sources.

Signals may be as loud as 1e30, for example before a network has learned the scale: they are multiplied by a power of two where their
squares would overflow. The ratio of an exact match then ends between 180 and 280 dB in float32. A prediction that is a multiple of its
target up to rounding, less than 126 dB below in float32, has no noise in `si_sdr` and `sa_sdr`, and no gradient of it.
"""

import functools
import operator
from collections.abc import Callable
from typing import Unpack

import jax.numpy as jnp
from jax import Array, lax

from jloss._core.backend import select
from jloss._core.loss import loss
from jloss._core.signature import Reduce
from jloss.audio._fourier import frames, to_frequencies, to_samples
from jloss.numerics import normalize, quotient, safe_divide

STEPS = 2  # Of conjugate gradients: in float32 more gain nothing.


@loss("(t),(t)->()", "real real", epsilon="positive")
def si_sdr(
    predictions: Array,
    targets: Array,
    *,
    zero_mean: bool = True,
    max_db: float | None = None,
    epsilon: float = 1e-8,
    **reduce: Unpack[Reduce],
) -> Array:
    r"""Minus the scale-invariant signal-to-distortion ratio: a prediction may be louder or quieter than its target.

    .. math::
        \ell = -10 \log_{10}\Bigl(\frac{\|a s\|^2}{\|p - a s\|^2 + \epsilon} + \epsilon\Bigr)
        \qquad a = \frac{\langle p, s \rangle}{\|s\|^2 + \epsilon}

    of predictions p and targets s, in decibels. With `zero_mean` it is what speech separation calls SI-SNR. A silent prediction, a
    silent target, or one with nothing of the target in it, costs 80 (for the default epsilon) with gradient 0. The sign of the
    prediction does not matter; where it or the loudness does, take `snr`. `max_db` ends the reward for a separation that is good
    enough, softly: N becomes :math:`N + 10^{-\text{max\_db} / 10} S`.

    Args:
        predictions: Estimated signals; time is the last axis, also of one channel.
        targets: Clean signals.
        zero_mean: Whether each signal's own mean is subtracted first.
        max_db: A ratio in decibels that the loss does not reward to exceed, about 30; None for no such limit.
        epsilon: Bounds the ratio above, by energy / epsilon, and below, by epsilon.

    >>> si_sdr(jnp.array([1.0, 1.0, -1.0, -1.0]), jnp.array([1.0, 0.0, -1.0, 0.0]))  # half of the energy is distortion
    Array(0., dtype=float32)

    References:
        Le Roux, Wisdom, Erdogan, Hershey, SDR - Half-baked or Well Done?, 2019. https://arxiv.org/abs/1811.02508
        Wisdom et al., Unsupervised Sound Separation Using Mixture Invariant Training, 2020. https://arxiv.org/abs/2006.12701 (the limit)
    """
    (p, floor), (s, least) = (_in_range(signal, zero_mean, epsilon) for signal in (predictions, targets))
    a, energy = _projection(p, s, least)
    return _decibels(energy, _noise(p - a * s, energy), max_db, floor, epsilon)


@loss("(t),(t)->()", "real real", epsilon="positive")
def snr(
    predictions: Array,
    targets: Array,
    *,
    zero_mean: bool = True,
    max_db: float | None = None,
    epsilon: float = 1e-8,
    **reduce: Unpack[Reduce],
) -> Array:
    r"""Minus the signal-to-noise ratio: what is not the target, in level and sign too, is noise.

    .. math:: \ell = -10 \log_{10}\Bigl(\frac{\|s\|^2}{\|p - s\|^2 + \epsilon} + \epsilon\Bigr)

    of predictions p and targets s, in decibels. Its gradient is that of the squared error over the error's energy: quiet examples
    weigh as much as loud ones. A silent target costs 80 (for the default epsilon) with gradient 0, a silent prediction 0. Where the
    level may differ take `si_sdr`.

    Args:
        predictions: Estimated signals; time is the last axis, also of one channel.
        targets: Clean signals.
        zero_mean: Whether each signal's own mean is subtracted first.
        max_db: A ratio in decibels that the loss does not reward to exceed, as in `si_sdr`; None for no such limit.
        epsilon: Bounds the ratio above, by energy / epsilon, and below, by epsilon.

    >>> snr(jnp.array([0.9, 0.0, -0.9, 0.0]), jnp.array([1.0, 0.0, -1.0, 0.0]))  # a tenth is missing
    Array(-20., dtype=float32)

    References:
        Le Roux, Wisdom, Erdogan, Hershey, SDR - Half-baked or Well Done?, 2019. https://arxiv.org/abs/1811.02508
    """
    factor, floor = _range(epsilon, predictions, targets)
    p, s = factor * _centred(predictions, zero_mean), factor * _centred(targets, zero_mean)
    return _decibels(_energy(s), _energy(s - p), max_db, floor, epsilon)


@loss("(t),(t)->()", "real real", epsilon="positive")
def sd_sdr(
    predictions: Array,
    targets: Array,
    *,
    zero_mean: bool = True,
    max_db: float | None = None,
    epsilon: float = 1e-8,
    **reduce: Unpack[Reduce],
) -> Array:
    r"""Minus the scale-dependent signal-to-distortion ratio: `si_sdr` that counts a wrong level as distortion.

    .. math::
        \ell = -10 \log_{10}\Bigl(\frac{\|a s\|^2}{\|p - s\|^2 + \epsilon} + \epsilon\Bigr)
        \qquad a = \frac{\langle p, s \rangle}{\|s\|^2 + \epsilon}

    of predictions p and targets s, in decibels. Too quiet a prediction costs more than under `snr`, because its own part of the
    target is smaller, too; one that is too loud costs less. A silent signal costs 80 (for the default epsilon) with gradient 0.

    Args:
        predictions: Estimated signals; time is the last axis, also of one channel.
        targets: Clean signals.
        zero_mean: Whether each signal's own mean is subtracted first.
        max_db: A ratio in decibels that the loss does not reward to exceed, as in `si_sdr`; None for no such limit.
        epsilon: Bounds the ratio above, by energy / epsilon, and below, by epsilon.

    >>> sd_sdr(jnp.array([0.5, 0.0, -0.5, 0.0]), jnp.array([1.0, 0.0, -1.0, 0.0]))  # half of it, and half is missing
    Array(0., dtype=float32)

    References:
        Le Roux, Wisdom, Erdogan, Hershey, SDR - Half-baked or Well Done?, 2019. https://arxiv.org/abs/1811.02508
    """
    factor, floor = _range(epsilon, predictions, targets)
    p, s = factor * _centred(predictions, zero_mean), factor * _centred(targets, zero_mean)
    scaled, least = _in_range(targets, zero_mean, epsilon)
    _, energy = _projection(p, scaled, least)
    return _decibels(energy, _energy(s - p), max_db, floor, epsilon)


@loss("(t),(t)->()", "real real", epsilon="positive")
def esr(predictions: Array, targets: Array, *, epsilon: float = 1e-8, **reduce: Unpack[Reduce]) -> Array:
    r"""Error-to-signal ratio: the squared error over the energy of the target, for models of amplifiers and effects.

    .. math:: \ell = \frac{\|s - p\|^2}{\|s\|^2 + \epsilon}

    of predictions p and targets s. It is `snr` without the logarithm, so loud errors dominate a batch. 0 with gradient 0 at a match.
    Usually of signals after `pre_emphasis`, and with `dc_error` beside it.

    Args:
        predictions: Estimated signals; time is the last axis, also of one channel.
        targets: True signals.
        epsilon: Added to the energy of the target; of a silent target it is all there is.

    >>> esr(jnp.array([0.5, 0.0, -0.5, 0.0]), jnp.array([1.0, 0.0, -1.0, 0.0]))
    Array(0.25, dtype=float32)

    References:
        Wright, Damskägg, Juvela, Välimäki, Real-time Guitar Amplifier Emulation with Deep Learning, 2020.
        https://doi.org/10.3390/app10030766
    """
    (factor, _), (own, least) = _range(epsilon, predictions, targets), _range(epsilon, targets)
    error, signal = factor * (targets - predictions), own * targets
    return quotient(_energy(error), _energy(signal) + least) * jnp.square(own / factor)


@loss("(t),(t)->()", "real real", epsilon="positive")
def dc_error(predictions: Array, targets: Array, *, epsilon: float = 1e-8, **reduce: Unpack[Reduce]) -> Array:
    r"""The squared error of the mean over the power of the target: keeps a model from adding a constant offset.

    .. math:: \ell = \frac{\operatorname{mean}(s - p)^2}{\operatorname{mean}(s^2) + \epsilon}

    of predictions p and targets s; beside `esr`, which hardly sees an offset. 0 with gradient 0 where the means are equal.

    Args:
        predictions: Estimated signals; time is the last axis, also of one channel.
        targets: True signals.
        epsilon: Added to the power of the target.

    >>> dc_error(jnp.array([1.5, 0.5, -0.5, 0.5]), jnp.array([1.0, 0.0, -1.0, 0.0]))
    Array(0.5, dtype=float32)

    References:
        Wright, Välimäki, Perceptual Loss Function for Neural Modeling of Audio Systems, 2020. https://arxiv.org/abs/1911.08922
    """
    (factor, _), (own, least) = _range(epsilon, predictions, targets), _range(epsilon, targets)
    error, signal = factor * (targets - predictions), own * targets
    return quotient(jnp.square(_mean(error)), _mean(jnp.square(signal)) + least) * jnp.square(own / factor)


@loss("(p,t),(p,t)->()", "real real", epsilon="positive")
def sa_sdr(
    predictions: Array,
    targets: Array,
    *,
    scale_invariant: bool = True,
    zero_mean: bool = False,
    epsilon: float = 1e-8,
    **reduce: Unpack[Reduce],
) -> Array:
    r"""Minus the source-aggregated SDR: one ratio of all sources of a mixture, so that a silent speaker does no harm.

    .. math::
        \ell = -10 \log_{10}\Bigl(\frac{\sum_i \|a s_i\|^2}{\sum_i \|p_i - a s_i\|^2 + \epsilon} + \epsilon\Bigr)
        \qquad a = \frac{\sum_i \langle p_i, s_i \rangle}{\sum_i \|s_i\|^2 + \epsilon}

    of predictions p and targets s, in decibels, for meetings, where most speakers are silent most of the time: the mean of `si_sdr`
    over sources has no gradient where a target is silent, this one pushes its prediction towards silence. All sources silent: 80 (for
    the default epsilon) with gradient 0. Sources are compared in the order given.

    Args:
        predictions: Estimated sources.
        targets: Clean sources.
        scale_invariant: Whether a is fitted, one for all sources; 1 otherwise.
        zero_mean: Whether each signal's own mean is subtracted first.
        epsilon: Bounds the ratio above, by energy / epsilon, and below, by epsilon.

    >>> sa_sdr(jnp.array([[0.9, -0.9], [0.1, 0.1]]), jnp.array([[1.0, -1.0], [0.0, 0.0]]), scale_invariant=False)
    Array(-16.9897, dtype=float32)

    References:
        von Neumann, Kinoshita, Boeddeker, Delcroix, Haeb-Umbach, SA-SDR: A Novel Loss Function for Separation of Meeting Style Data,
        2022. https://arxiv.org/abs/2110.15581
    """
    if scale_invariant:
        (p, floor), (s, least) = (_in_range(signals, zero_mean, epsilon) for signals in (predictions, targets))
        p, s = p.ravel(), s.ravel()
        a, energy = _projection(p, s, least)
        return _decibels(energy, _noise(p - a * s, energy), None, floor, epsilon)
    factor, floor = _range(epsilon, predictions, targets)
    p, s = factor * _centred(predictions, zero_mean), factor * _centred(targets, zero_mean)
    return _decibels(_energy(s), _energy(p - s), None, floor, epsilon)


@loss("(t),(t)->()", "real real", epsilon="positive")
def ci_sdr(predictions: Array, targets: Array, *, filter_length: int = 512, epsilon: float = 1e-8, **reduce: Unpack[Reduce]) -> Array:
    r"""Minus the convolution-invariant SDR, that of BSS-Eval: a short filter of the target, such as a room's, is no distortion.

    .. math::
        \ell = -10 \log_{10} \frac{c}{1 - c} \qquad
        1 - c = \min_h \Bigl\|\frac{p}{\|p\|} - h * \frac{s}{\|s\|}\Bigr\|^2 + \epsilon \|h\|^2

    of predictions p and targets s, in decibels, over all filters h of `filter_length` taps. c is the share of the prediction's energy that
    delays of the target explain, kept between epsilon and 1 - epsilon: a silent signal costs 80 (for the default epsilon) with gradient 0,
    and a match -80, with gradient 0, too. `si_sdr` is far cheaper, and the same for a filter of one tap, but for the mean, which is not
    subtracted here. In float32 what is left 79 decibels down, with the default epsilon, is next to rounding, and so is its gradient;
    second derivatives need a target that lacks no frequencies.

    Args:
        predictions: Estimated signals.
        targets: Clean signals.
        filter_length: Taps of the filter, which may be more than samples.
        epsilon: Energy of the filter counts so much: keeps the filter bounded where the target lacks frequencies.

    >>> signal = jnp.sin(jnp.arange(40.0) ** 2)
    >>> echo = signal + 0.5 * jnp.roll(signal, 2).at[:2].set(0.0)
    >>> bool(ci_sdr(echo[:30], signal[:30], filter_length=4) < si_sdr(echo[:30], signal[:30]) - 10)
    True

    References:
        Boeddeker et al., Convolutive Transfer Function Invariant SDR Training Criteria for Multi-Channel Reverberant Speech Separation,
        2021. https://arxiv.org/abs/2011.15003
        Vincent, Gribonval, Févotte, Performance Measurement in Blind Audio Source Separation, 2006. https://doi.org/10.1109/TSA.2005.858005
    """
    if filter_length < 1:
        raise ValueError(f"ci_sdr: `filter_length` must be 1 or more, got {filter_length}.")
    if predictions.shape[0] == 0:
        predictions = targets = jnp.zeros(1, predictions.dtype)  # silence
    p, s = normalize(predictions), normalize(targets)
    correlate, convolve = _with_delays(s, filter_length)
    padded = jnp.pad(p, (0, filter_length - 1))
    column, right = lax.stop_gradient((correlate(s).at[0].add(epsilon), correlate(p)))
    inverse = _inverse_of_toeplitz(column.at[0].add(filter_length * float(jnp.finfo(p.dtype).eps)))
    matrix = _toeplitz(column)
    taps = _conjugate_gradients(matrix, inverse, right)
    rest = correlate(padded - convolve(taps)) - epsilon * taps
    taps = lax.stop_gradient(taps + _conjugate_gradients(matrix, inverse, lax.stop_gradient(rest)))
    # Newton's step: nearer, and a first derivative, which is all that three derivatives of a minimum need.
    taps = taps + inverse(correlate(padded - convolve(taps)) - epsilon * taps)
    near = convolve(taps)
    used, rest = epsilon * _energy(taps), padded - near
    rounding = _energy(lax.stop_gradient(rest)) <= _rounding(p)  # as near as two unit signals can be
    rest = select(rounding, rest - lax.stop_gradient(rest), rest)
    error, share = _energy(rest) + used, _dot(near, 2 * padded - near) - used  # Of these the lesser is exact, the other 1 less it.
    share, error = select(share <= error, share, 1 - error), select(share <= error, 1 - share, error)
    return -10 * (jnp.log10(_between(share, error, epsilon)) - jnp.log10(_between(error, share, epsilon)))


def pre_emphasis(signal: Array, coefficient: float | Array = 0.95) -> Array:
    """Each sample less a part of the one before: lifts high frequencies, which are quiet in speech and music, before `esr` or `snr`.

    Args:
        signal: Signals, time last: ``(..., t)``.
        coefficient: How much of the sample before is subtracted; the first sample stays as it is.

    >>> pre_emphasis(jnp.array([1.0, 1.0, 3.0]), coefficient=0.5)
    Array([1. , 0.5, 2.5], dtype=float32)
    """
    signal = jnp.asarray(signal)
    signal = signal if jnp.issubdtype(signal.dtype, jnp.floating) else signal.astype(float)
    before = jnp.concatenate([jnp.zeros_like(signal[..., :1]), signal[..., :-1]], axis=-1)
    return signal - jnp.asarray(coefficient).astype(signal.dtype) * before


def _energy(x: Array) -> Array:
    return jnp.vdot(x, x, precision=lax.Precision.HIGHEST)


def _rounding(signal: Array) -> float:
    """The share of a signal's energy, 126 dB below it in float32, that rounding may be: what is no more than that has no direction."""
    return (4 * float(jnp.finfo(signal.dtype).eps)) ** 2


def _noise(rest: Array, signal: Array) -> Array:
    """The energy of what is left of a prediction when its part of the target is taken off; if it is rounding, 0 with the derivative 0."""
    fixed = lax.stop_gradient(rest)
    rounding = _energy(fixed) <= _rounding(rest) * lax.stop_gradient(signal)
    return _energy(rest - select(rounding, 1.0, jnp.zeros_like(signal)) * fixed)


def _mean(x: Array) -> Array:
    """The mean along time; 0 of no samples."""
    return jnp.sum(x, axis=-1) / max(x.shape[-1], 1)


def _centred(signal: Array, zero_mean: bool) -> Array:
    return signal - _mean(signal)[..., None] if zero_mean else signal


def _range(epsilon: float | Array, *signals: Array) -> tuple[Array, Array]:
    """A constant, 1 unless signals are so loud that their squares might overflow, to multiply them by; and epsilon for their energies."""
    info = jnp.finfo(signals[0].dtype)
    loudness = lax.stop_gradient(functools.reduce(operator.add, (_energy(signal) for signal in signals)))
    loud = ~(loudness < 2.0 ** (info.maxexp * 3 // 4))  # 96 in float32
    factor = select(loud, 2.0 ** -(info.maxexp * 31 // 64), jnp.ones_like(loudness))  # its own square is in range, too
    return factor, jnp.maximum(factor * (factor * epsilon), 2.0 ** -(info.maxexp * 45 // 64))  # over it twice no overflow, either


def _in_range(signal: Array, zero_mean: bool, epsilon: float | Array) -> tuple[Array, Array]:
    """A signal, less its mean if so wanted, in a range in which its squares do not overflow, and epsilon for its energy."""
    factor, floor = _range(epsilon, signal)
    return factor * _centred(signal, zero_mean), floor


def _projection(p: Array, s: Array, epsilon: float | Array) -> tuple[Array, Array]:
    """By how much the target is to be scaled to be nearest to the prediction, and its energy then."""
    energy = _energy(s)
    a = quotient(jnp.vdot(s, p, precision=lax.Precision.HIGHEST), energy + epsilon)
    return a, a * (a * energy)


def _decibels(signal: Array, noise: Array, max_db: float | Array | None, floor: Array, epsilon: float | Array) -> Array:
    """Minus the ratio of two energies in decibels. Less than rounding leaves of the signal is no noise: the ratio stays finite."""
    if max_db is not None:
        noise = noise + jnp.power(10.0, -max_db / 10) * signal
    floor = jnp.maximum(floor, float(jnp.finfo(signal.dtype).eps) ** 4 * lax.stop_gradient(signal))
    return -10 * jnp.log10(quotient(signal, noise + floor) + epsilon)


def _with_delays(s: Array, taps: int) -> tuple[Callable[[Array], Array], Callable[[Array], Array]]:
    """The inner products of a signal with the delays of s by 0 .. taps - 1, and their sum with weights.

    In blocks of three times the filter, whose transforms stay in the caches: `ci_sdr` of 65536 samples takes half the time of one long
    transform.
    """
    size = s.shape[0] + taps - 1
    length = min(_length(4 * taps), _length(size))
    block = length - taps + 1
    count = max(1, -(-s.shape[0] // block))
    delays = to_frequencies(frames(s, count, block, block), length)

    def correlate(x: Array) -> Array:
        return to_samples(jnp.sum(delays.conj() * to_frequencies(frames(x, count, block, length), length), axis=0), length)[:taps]

    def convolve(weights: Array) -> Array:
        pieces = to_samples(delays * to_frequencies(weights, length)[None], length)
        if count == 1:
            return pieces[0, :size]
        ahead, over = jnp.pad(pieces[:, :block], ((0, 1), (0, 0))), jnp.pad(pieces[:, block:], ((1, 0), (0, block - taps + 1)))
        return (ahead + over).reshape(-1)[:size]

    return correlate, convolve


def _length(size: int) -> int:
    """The next power of two, for a fast transform."""
    return 1 << max(size - 1, 1).bit_length()


def _conjugate_gradients(matrix: Callable[[Array], Array], inverse: Callable[[Array], Array], right: Array) -> Array:
    """Nearly the solution of matrix(x) = right, led by nearly the inverse."""
    nothing = jnp.zeros_like(right)

    def nearer(state: tuple[Array, Array, Array, Array], _: None) -> tuple[tuple[Array, Array, Array, Array], None]:
        x, residual, along, before = state
        ahead = inverse(residual)
        size = _dot(residual, ahead)
        along = ahead + safe_divide(size, before) * along
        image = matrix(along)
        far = safe_divide(size, jnp.maximum(_dot(along, image), 0.0))
        return (x + far * along, residual - far * image, along, size), None

    return lax.scan(nearer, (nothing, right, nothing, _dot(nothing, right)), None, length=STEPS)[0][0]


def _toeplitz(column: Array) -> Callable[[Array], Array]:
    """The product with the symmetric Toeplitz matrix of a first column."""
    size, length = column.shape[0], _length(2 * column.shape[0])
    ring = to_frequencies(jnp.concatenate([column, jnp.zeros_like(column, shape=(length - 2 * size + 1,)), column[:0:-1]]), length)
    return lambda x: to_samples(ring * to_frequencies(x, length), length)[:size]


def _inverse_of_toeplitz(column: Array) -> Callable[[Array], Array]:
    """The product with the inverse of that matrix, by Gohberg and Semencul's formula."""
    size, length = column.shape[0], _length(2 * column.shape[0])
    a, error = _predictor(column)
    forward = to_frequencies(a, length)
    backward = to_frequencies(jnp.roll(a[::-1], 1).at[0].set(0.0), length)

    def twice(spectrum: Array, x: Array) -> Array:
        """A A' x of the lower triangular Toeplitz matrix A of a filter."""
        inner = to_samples(spectrum.conj() * to_frequencies(x, length), length)[:size]
        return to_samples(spectrum * to_frequencies(inner, length), length)[:size]

    return lambda x: safe_divide(twice(forward, x) - twice(backward, x), error)


def _predictor(column: Array) -> tuple[Array, Array]:
    """The filter, 1 first, that predicts a signal of that autocorrelation best from its past, and its error: Levinson and Durbin."""
    least = column[0] * float(jnp.finfo(column.dtype).eps)
    lags = jnp.roll(column, -1)

    def longer(state: tuple[Array, Array, Array], _: None) -> tuple[tuple[Array, Array, Array], None]:
        ahead, back, error = state  # The filter, and the same backwards.
        k = _dot(lags, back) / error
        back = jnp.roll(back, 1)
        return (ahead - k * back, back - k * ahead, jnp.maximum(error * (1 - k * k), least)), None

    first = jnp.zeros_like(column).at[0].set(1.0)
    (ahead, _, error), _ = lax.scan(longer, (first, first, column[0]), None, length=column.shape[0] - 1)
    return ahead, error


def _dot(a: Array, b: Array) -> Array:
    return jnp.vdot(a, b, precision=lax.Precision.HIGHEST)


def _between(share: Array, rest: Array, epsilon: float | Array) -> Array:
    """A share of energy kept between epsilon and one less it, without gradient there and where only rounding tells it from them.

    `rest` is what the share lacks of 1, to the last digit.
    """
    least = jnp.asarray(epsilon).astype(share.dtype)
    limit = least * (1 + float(jnp.finfo(share.dtype).eps) ** 0.5)
    return select(share < limit, least, select(rest < limit, 1 - least, share))
