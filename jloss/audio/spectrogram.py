"""Losses between spectrograms of two waveforms: for vocoders, codecs and enhancement.

The transform is that of `torch.stft` in all of them: the signal is reflected by ``fft_size // 2`` at both ends, a frame begins every
`hop_size` samples, 1 + t // hop_size of them, and a periodic Hann window of `window_length` samples lies in the middle of `fft_size`. So
a signal has more than ``fft_size // 2`` samples. A magnitude has a floor, at and below which its gradient is 0: silence is harmless.
In float32 signals are at most 1e15 loud, as the squares of larger magnitudes overflow. Beside a loud bin of its frame a silent one,
of a pure tone for example, holds what rounding leaves of the loud one, 1e-7 of it, where the true magnitude is 0. In `stft` and `mel`
that is below the floor of signals of usual loudness; `complex_stft` and `compressed_spectral` have a gradient of it.
"""

import functools
import operator
from typing import Literal, Unpack

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from jloss._core.arguments import check_static, known_number
from jloss._core.backend import gram, hint, select
from jloss._core.domains import is_known
from jloss._core.loss import loss
from jloss._core.signature import Reduce
from jloss.audio._distances import bands, distances, floored, power, squared, sums_of_terms, weighted
from jloss.audio._fourier import spectrum
from jloss.audio._mel import MEL_SCALES
from jloss.numerics import absolute, logsumexp, normalize, safe_divide


@loss("(t),(t),(b,f)->()", "real real nonnegative", epsilon="positive")
@hint(sizes={"t": 600, "f": 513}, needs={"b": "bands"})
def stft(
    predictions: Array,
    targets: Array,
    filters: Array | None = None,
    *,
    fft_size: int = 1024,
    hop_size: int = 256,
    window_length: int | None = None,
    convergence: float = 1.0,
    log_magnitude: float = 1.0,
    magnitude: float = 0.0,
    epsilon: float = 1e-8,
    **reduce: Unpack[Reduce],
) -> Array:
    r"""Distance of two magnitude spectrograms: spectral convergence for the loud parts, logarithms for the quiet ones.

    .. math::
        \ell = c\, \frac{\|Y - X\|_F}{\|Y\|_F} + l \operatorname{mean} |\log X - \log Y| + m \operatorname{mean} |X - Y|
        \qquad X = \sqrt{\max(|\mathrm{STFT}(\text{predictions})|^2, \epsilon)}

    and Y of the targets; c, l, m are `convergence`, `log_magnitude`, `magnitude`. Phase does not matter. Convergence is of one example:
    the libraries that take both norms over the whole batch let loud examples hide quiet ones. Gradient 0 at a match and where a magnitude
    is at its floor. One resolution alone can be fooled at the others: `multi_resolution_stft`.

    Args:
        predictions: Synthesised signals.
        targets: True signals.
        filters: Bands of frequencies, such as `mel_filterbank`, by which magnitudes are multiplied; none by default.
        fft_size: Samples in a frame.
        hop_size: Samples between frames.
        window_length: Samples under the window; `fft_size` by default.
        convergence: Weight of the spectral convergence.
        log_magnitude: Weight of the difference of logarithms.
        magnitude: Weight of the difference of magnitudes.
        epsilon: Floor of the squared magnitudes; of filtered magnitudes in the logarithm.

    >>> tone = jnp.sin(jnp.arange(1200.0))
    >>> stft(2 * tone, tone, convergence=1.0, log_magnitude=0.0)
    Array(1., dtype=float32)

    References:
        Arik, Jun, Diamos, Fast Spectrogram Inversion using Multi-head Convolutional Neural Networks, 2019.
        https://arxiv.org/abs/1808.06719
    """
    weights = (convergence, log_magnitude, magnitude)
    if filters is None:
        (distance,) = distances("stft", predictions, targets, [(fft_size, hop_size, window_length)], weights, epsilon)
        return distance
    x, y = (bands("stft", s, filters, fft_size, hop_size, window_length, epsilon) for s in (predictions, targets))
    sums = sums_of_terms(x, y, absolute(jnp.log(floored(x, epsilon) / floored(y, epsilon))), weights)
    return weighted(sums, x.size, weights, jnp.zeros_like(x, shape=()))


@loss("(t),(t)->()", "real real", epsilon="positive")
@hint(sizes={"t": 1100}, blocks=32, keeps=2)
def multi_resolution_stft(
    predictions: Array,
    targets: Array,
    *,
    fft_sizes: tuple[int, ...] = (1024, 2048, 512),
    hop_sizes: tuple[int, ...] = (120, 240, 50),
    window_lengths: tuple[int, ...] = (600, 1200, 240),
    convergence: float = 1.0,
    log_magnitude: float = 1.0,
    magnitude: float = 0.0,
    epsilon: float = 1e-8,
    **reduce: Unpack[Reduce],
) -> Array:
    r"""The mean of `stft` over several resolutions, so that none of them can be fooled: the usual loss of neural vocoders.

    .. math:: \ell = \frac1R \sum_{r=1}^R \ell_{\text{stft}}(\text{fft}_r, \text{hop}_r, \text{window}_r)

    A long window tells frequencies apart, a short one onsets. The defaults are those of Parallel WaveGAN at 24 kHz. DDSP's is
    ``convergence=0.0, magnitude=1.0`` with hops of a quarter of the window.

    Args:
        predictions: Synthesised signals.
        targets: True signals.
        fft_sizes: Samples in a frame, one number for each resolution.
        hop_sizes: Samples between frames.
        window_lengths: Samples under the window.
        convergence: Weight of the spectral convergence.
        log_magnitude: Weight of the difference of logarithms.
        magnitude: Weight of the difference of magnitudes.
        epsilon: Floor of the squared magnitudes.

    >>> tone = jnp.sin(jnp.arange(1200.0))
    >>> multi_resolution_stft(2 * tone, tone, log_magnitude=0.0)
    Array(1., dtype=float32)

    References:
        Yamamoto, Song, Kim, Parallel WaveGAN, 2020. https://arxiv.org/abs/1910.11480
        Engel, Hantrakul, Gu, Roberts, DDSP: Differentiable Digital Signal Processing, 2020. https://arxiv.org/abs/2001.04643
    """
    if not len(fft_sizes) == len(hop_sizes) == len(window_lengths) or not fft_sizes:
        raise ValueError(
            "multi_resolution_stft: `fft_sizes`, `hop_sizes` and `window_lengths` must have one number for each resolution, "
            f"got {fft_sizes}, {hop_sizes} and {window_lengths}."
        )
    resolutions = list(zip(fft_sizes, hop_sizes, window_lengths, strict=True))
    weights = (convergence, log_magnitude, magnitude)
    each = distances("multi_resolution_stft", predictions, targets, resolutions, weights, epsilon)
    return functools.reduce(operator.add, each) / len(each)


@loss("(t),(t),(b,f)->()", "real real nonnegative", epsilon="positive")
@hint(sizes={"t": 600, "f": 513}, needs={"b": "bands"})
def mel(
    predictions: Array,
    targets: Array,
    filters: Array,
    *,
    fft_size: int = 1024,
    hop_size: int = 256,
    window_length: int | None = None,
    epsilon: float = 1e-5,
    **reduce: Unpack[Reduce],
) -> Array:
    r"""Mean difference of two log-mel spectrograms: what HiFi-GAN and the neural codecs add to their adversarial losses.

    .. math:: \ell = \operatorname{mean} |\log \max(M X, \epsilon) - \log \max(M Y, \epsilon)|

    with the filters M and magnitudes X, Y of predictions and targets. Natural logarithms; libraries with base 10 have this over 2.303.
    Gradient 0 at a match and in bands at the floor. Codecs add several sizes, each with its own filters.

    Args:
        predictions: Synthesised signals.
        targets: True signals.
        filters: Bands of frequencies: `mel_filterbank`.
        fft_size: Samples in a frame.
        hop_size: Samples between frames.
        window_length: Samples under the window; `fft_size` by default.
        epsilon: Floor of the filtered magnitudes.

    >>> chirp = jnp.sin(jnp.arange(1200.0) ** 2)
    >>> mel(2 * chirp, chirp, mel_filterbank(20, 1024, 16000))  # log 2
    Array(0.6931471, dtype=float32)

    References:
        Kong, Kim, Bae, HiFi-GAN, 2020. https://arxiv.org/abs/2010.05646
    """
    x, y = (floored(bands("mel", s, filters, fft_size, hop_size, window_length, 1e-9), epsilon) for s in (predictions, targets))
    return jnp.mean(absolute(jnp.log(x / y)))


@loss("(t),(t)->()", "real real", epsilon="positive")
@hint(sizes={"t": 600})
def complex_stft(
    predictions: Array,
    targets: Array,
    *,
    fft_size: int = 1024,
    hop_size: int = 256,
    window_length: int | None = None,
    magnitude: float = 1.0,
    epsilon: float = 1e-8,
    **reduce: Unpack[Reduce],
) -> Array:
    r"""Difference of real parts, of imaginary parts and of magnitudes of two spectrograms: for enhancement, where phase counts.

    .. math:: \ell = \operatorname{mean}\bigl(|\Re(x - y)| + |\Im(x - y)| + m\, \bigl||x| - |y|\bigr|\bigr)

    of complex spectrograms x and y of predictions and targets. Real and imaginary parts alone favour magnitudes that are too small where
    the phase is uncertain; the third term, whose weight is `magnitude`, makes up for that. Gradient 0 at a match.

    Args:
        predictions: Estimated signals.
        targets: True signals.
        fft_size: Samples in a frame.
        hop_size: Samples between frames.
        window_length: Samples under the window; `fft_size` by default.
        magnitude: Weight of the difference of magnitudes.
        epsilon: Floor of the squared magnitudes.

    >>> tone = jnp.sin(jnp.arange(1200.0))
    >>> complex_stft(-tone, tone) > complex_stft(0.5 * tone, tone)
    Array(True, dtype=bool)

    References:
        Wang, Wang, Wang, Complex Spectral Mapping for Single- and Multi-Channel Speech Enhancement, 2020. https://arxiv.org/abs/2010.01710
        Wang et al., TF-GridNet, 2023. https://arxiv.org/abs/2211.12433
    """
    x, y = (spectrum("complex_stft", s, fft_size, hop_size, window_length) for s in (predictions, targets))
    gap = jnp.sqrt(power(x, epsilon)) - jnp.sqrt(power(y, epsilon))
    return jnp.mean(absolute(x.real - y.real) + absolute(x.imag - y.imag) + magnitude * absolute(gap))


@loss("(t),(t)->()", "real real", compression="unit", complex_weight="unit", epsilon="positive")
@hint(sizes={"t": 300})
def compressed_spectral(
    predictions: Array,
    targets: Array,
    *,
    fft_size: int = 512,
    hop_size: int = 256,
    window_length: int | None = None,
    compression: float = 0.3,
    complex_weight: float = 0.3,
    epsilon: float = 1e-8,
    **reduce: Unpack[Reduce],
) -> Array:
    r"""Squared difference of spectrograms whose magnitudes are raised to a small power, as loudness is heard: for speech enhancement.

    .. math::
        \ell = \operatorname{mean}\bigl((1 - w)(|x|^c - |y|^c)^2 + w\, \bigl||x|^c e^{i \arg x} - |y|^c e^{i \arg y}\bigr|^2\bigr)

    of complex spectrograms x and y of predictions and targets; c is `compression`, w is `complex_weight`. The first part ignores the
    phase, the second does not. 0 with gradient 0 at a match.

    Args:
        predictions: Estimated signals.
        targets: True signals.
        fft_size: Samples in a frame.
        hop_size: Samples between frames.
        window_length: Samples under the window; `fft_size` by default.
        compression: The power; 1 for none.
        complex_weight: Weight of the part with phases.
        epsilon: Floor of the squared magnitudes.

    >>> tone = jnp.sin(jnp.arange(1200.0))
    >>> compressed_spectral(-tone, tone, complex_weight=0.0)  # the magnitudes are equal
    Array(0., dtype=float32)

    References:
        Braun, Tashev, A Consolidated View of Loss Functions for Supervised Deep Learning-based Speech Enhancement, 2021.
        https://arxiv.org/abs/2009.12286
    """
    x, y = (spectrum("compressed_spectral", s, fft_size, hop_size, window_length) for s in (predictions, targets))
    (loud, turned), (loud_y, turned_y) = (_compressed(z, compression, epsilon) for z in (x, y))
    as_loud = (jnp.abs(x.real) == jnp.abs(y.real)) & (jnp.abs(x.imag) == jnp.abs(y.imag))
    louder, gap = _apart(loud, loud_y, as_loud), _apart(turned, turned_y, x == y)
    return jnp.mean((1 - complex_weight) * jnp.square(louder) + complex_weight * squared(gap))


@loss("(g,f),(g,f)->()", "real real")
def phase(predictions: Array, targets: Array, **reduce: Unpack[Reduce]) -> Array:
    r"""Difference of two phase spectrograms, wrapped, of their slopes along frequency and of those along time.

    .. math::
        \ell = \operatorname{mean} a(d) + \operatorname{mean} a(\Delta_f d) + \operatorname{mean} a(\Delta_g d)
        \qquad d = \text{predictions} - \text{targets}, \quad a(x) = \bigl|x - 2\pi \operatorname{round}(x / 2\pi)\bigr|

    The slopes are the group delay and the instantaneous frequency. Whole turns do not matter: an error of 359 degrees is one of 1
    degree (without the wrapping, as in auraloss, it would be the largest of all). Gradient 0 at a match; at half a turn, where both ways
    round are as long, it points one way. A single bin or a single frame has no slope, and that term is 0.

    Args:
        predictions: Estimated phases in radians, frames by frequencies.
        targets: True phases in radians.

    >>> phase(jnp.array([[0.1, 0.1]]), jnp.array([[0.1, 0.1 + 2 * jnp.pi]]))
    Array(0., dtype=float32)
    >>> phase(jnp.array([[0.5, 0.5]]), jnp.array([[0.0, 0.0]]))
    Array(0.5, dtype=float32)

    References:
        Ai, Ling, APNet: An All-Frame-Level Neural Vocoder Incorporating Direct Prediction of Amplitude and Phase Spectra, 2023.
        https://arxiv.org/abs/2305.07952
    """
    gap = predictions - targets
    return _mean_turn(gap) + _mean_turn(jnp.diff(gap, axis=1)) + _mean_turn(jnp.diff(gap, axis=0))


@loss("(n,d),(n,k),(n)->()", "real real mask")
@hint(time="d^2 k^2", memory="d^2 k^2")
def deep_clustering(embeddings: Array, assignments: Array, mask: Array | None = None, **reduce: Unpack[Reduce]) -> Array:
    r"""Embeddings of time-frequency bins whose inner products say which bins belong to one source; any number of sources.

    .. math:: \ell = \frac1n \|V V^\top - Y Y^\top\|_F^2 = \frac1n \bigl(\|V^\top V\|_F^2 - 2 \|V^\top Y\|_F^2 + \|Y^\top Y\|_F^2\bigr)

    of embeddings V and assignments Y, the number n of kept bins. No n x n matrix is held. V is taken as given: normalise it, usually, and
    mask the bins in which nobody speaks. 0 with gradient 0 where V = Y. Nothing kept: 0. The three terms cancel, in float32 to some
    1e-7 of the largest, so long embeddings that nearly match leave a value of rounding.

    Args:
        embeddings: A vector for each bin.
        assignments: The source of each bin, one-hot, or its share in each.
        mask: Which bins count; all by default.

    >>> deep_clustering(jnp.eye(2), jnp.array([[1.0], [1.0]]))  # two apart that belong together
    Array(1., dtype=float32)

    References:
        Hershey, Chen, Le Roux, Watanabe, Deep Clustering, 2016. https://arxiv.org/abs/1508.04306
    """
    kept = jnp.full_like(embeddings, embeddings.shape[0], shape=())
    if mask is not None:
        embeddings, assignments = (select(jnp.broadcast_to(mask[:, None], x.shape), x, 0.0) for x in (embeddings, assignments))
        kept = jnp.sum(mask.astype(embeddings.dtype))

    def inner(a: Array, b: Array) -> Array:
        return _product(a.T, b)

    products = gram(inner, embeddings), inner(assignments, embeddings), gram(inner, assignments)
    same, across, true = (jnp.sum(jnp.square(p)) for p in products)
    return safe_divide(same - 2 * across + true, kept)


@loss("(n,m,d)->()", "real", scale="positive")
@hint(sizes={"n": 3}, time="n^2", memory="n^2")
def ge2e(
    embeddings: Array,
    *,
    scale: float = 10.0,
    bias: float = -5.0,
    method: Literal["softmax", "contrast"] = "softmax",
    **reduce: Unpack[Reduce],
) -> Array:
    r"""Generalized end-to-end loss of speaker verification: an utterance is nearer to its own speaker's centroid than to any other.

    .. math::
        \ell = \operatorname*{mean}_{i, j} \Bigl(\log \sum_k e^{s_{ijk}} - s_{iji}\Bigr) \quad\text{or}\quad
        \operatorname*{mean}_{i, j} \Bigl(1 - \sigma(s_{iji}) + \max_{k \ne i} \sigma(s_{ijk})\Bigr)
        \qquad s_{ijk} = \text{scale} \cdot \cos(e_{ij}, c_k) + \text{bias}

    for utterance j of speaker i; the centroid c of a speaker is the mean of its embeddings, each normalised here, and that of the
    utterance's own speaker leaves the utterance out. The second form, ``method="contrast"``, looks at the hardest other speaker alone and
    suits text-independent data less. In the first `bias` cancels. A single speaker gives 0.

    Args:
        embeddings: Speakers by utterances by features, at least two utterances of each.
        scale: Multiplies the cosines; positive, may be learned.
        bias: Added to them; may be learned.
        method: ``"softmax"`` or ``"contrast"``.

    >>> ge2e(jnp.array([[[1.0, 0.0], [2.0, 0.0]], [[0.0, 1.0], [0.0, 3.0]]]), scale=1.0)  # log(1 + 1/e)
    Array(0.3132617, dtype=float32)

    References:
        Wan, Wang, Papir, Moreno, Generalized End-to-End Loss for Speaker Verification, 2018. https://arxiv.org/abs/1710.10467
    """
    speakers, utterances, features = embeddings.shape
    if is_known(utterances) and utterances < 2:
        raise ValueError(f"ge2e: `embeddings` must have two or more utterances of each speaker, got {utterances}.")
    unit = normalize(embeddings)
    total = jnp.sum(unit, axis=1)
    own = jnp.sum(unit * _direction(total[:, None] - unit, utterances), axis=-1)
    cosines = _product(unit.reshape(speakers * utterances, features), _direction(total, utterances).T)
    cosines = cosines.reshape(speakers, utterances, speakers)
    is_own = jnp.broadcast_to(jnp.eye(speakers, dtype=bool)[:, None], cosines.shape)
    scores = scale * select(is_own, jnp.broadcast_to(own[..., None], cosines.shape), cosines) + bias
    if method == "softmax":
        return jnp.mean(logsumexp(scores) - (scale * own + bias))
    if speakers == 1:
        return 0 * jnp.sum(scores)
    hardest = jnp.argmax(select(is_own, -jnp.inf, lax.stop_gradient(scores)), axis=-1, keepdims=True)
    others = jnp.sum(select(jnp.arange(speakers)[None, None] == hardest, scores, 0.0), axis=-1)
    return jnp.mean(jax.nn.sigmoid(-(scale * own + bias)) + jax.nn.sigmoid(others))


def _direction(total: Array, count: int) -> Array:
    """The unit vector of a sum of so many unit vectors. Where they cancel it has none, whatever rounding leaves."""
    energy = jnp.sum(jnp.square(lax.stop_gradient(total)), axis=-1, keepdims=True)
    rounding = energy <= (count * float(jnp.finfo(total.dtype).eps)) ** 2
    return normalize(jnp.where(rounding, 0.0, total))


@loss("(n,d),(n,d)->()", "real real", scale="positive")
@hint(time="n^2", memory="n^2")
def angular_prototypical(queries: Array, prototypes: Array, *, scale: float = 10.0, bias: float = -5.0, **reduce: Unpack[Reduce]) -> Array:
    r"""Each utterance should recognise its speaker's prototype among those of the batch: prototypical networks with a learned cosine.

    .. math::
        \ell = \operatorname*{mean}_i \Bigl(\log \sum_j e^{s_{ij}} - s_{ii}\Bigr)
        \qquad s_{ij} = \text{scale} \cdot \cos(\text{queries}_i, \text{prototypes}_j) + \text{bias}

    A prototype is the mean of the speaker's other utterances in the batch; both vectors are normalised here. `bias` cancels in the
    softmax, and is there because papers and libraries learn it. A single speaker gives 0. With every utterance in turn as the query it is
    `ge2e`.

    Args:
        queries: An utterance of each speaker.
        prototypes: The prototype of each speaker, in the same order.
        scale: Multiplies the cosines; positive, may be learned.
        bias: Added to them; may be learned.

    >>> angular_prototypical(jnp.eye(2), 3 * jnp.eye(2), scale=1.0)  # log(1 + 1/e)
    Array(0.3132617, dtype=float32)

    References:
        Chung et al., In Defence of Metric Learning for Speaker Recognition, 2020. https://arxiv.org/abs/2003.11982
    """
    scores = scale * _product(normalize(queries), normalize(prototypes).T) + bias
    own = jnp.sum(select(jnp.eye(scores.shape[0], dtype=bool), scores, 0.0), axis=-1)
    return jnp.mean(logsumexp(scores) - own)


def mel_filterbank(
    bands: int,
    fft_size: int,
    sample_rate: float,
    low: float = 0.0,
    high: float | None = None,
    scale: Literal["slaney", "htk"] = "slaney",
    area: bool = True,
) -> Array:
    """Triangular filters of equal width on the mel scale: ``(bands, fft_size // 2 + 1)``, as of `librosa.filters.mel`.

    Args:
        bands: How many. Too many for the size give filters between two frequencies, which are 0.
        fft_size: Samples in a frame.
        sample_rate: Samples in a second.
        low: The lowest frequency, in Hz.
        high: The highest, at most half the sample rate, the default.
        scale: ``"slaney"``, linear below 1000 Hz, or ``"htk"``.
        area: Whether each filter has the same area; otherwise each has the height 1.

    >>> mel_filterbank(2, 8, 8000, scale="htk", area=False)
    Array([[0.        , 0.675917  , 0.        , 0.        , 0.        ],
           [0.        , 0.32408297, 0.9055223 , 0.45276114, 0.        ]],      dtype=float32)
    """
    sample_rate, low = (known_number("mel_filterbank", n, x) for n, x in (("sample_rate", sample_rate), ("low", low)))
    high = sample_rate / 2 if high is None else known_number("mel_filterbank", "high", high)
    for n, size in (("bands", bands), ("fft_size", fft_size)):
        check_static("mel_filterbank", n, size, int)
    if bands < 1 or fft_size < 1:
        raise ValueError(f"mel_filterbank: `bands` and `fft_size` must be 1 or more, got {bands} and {fft_size}.")
    if not 0 <= low < high <= sample_rate / 2:
        raise ValueError(
            f"mel_filterbank: `low` < `high` must lie between 0 and half of `sample_rate`, got {low}, {high} and {sample_rate}."
        )
    if scale not in MEL_SCALES:
        raise ValueError(f'mel_filterbank: `scale` must be "slaney" or "htk", got {scale!r}.')
    to_mel, to_hertz = MEL_SCALES[scale]
    edges = to_hertz(np.linspace(to_mel(np.asarray(low)), to_mel(np.asarray(high)), bands + 2))[:, None]
    frequencies = np.arange(fft_size // 2 + 1) * sample_rate / fft_size
    rising, falling = (frequencies - edges[:-2]) / (edges[1:-1] - edges[:-2]), (edges[2:] - frequencies) / (edges[2:] - edges[1:-1])
    height = 2 / (edges[2:] - edges[:-2]) if area else 1.0
    return jnp.asarray(height * np.maximum(0, np.minimum(rising, falling)), float)


def _product(a: Array, b: Array) -> Array:
    return jnp.matmul(a, b, precision=lax.Precision.HIGHEST)


def _compressed(z: Array, compression: float | Array, epsilon: float | Array) -> tuple[Array, Array]:
    """The compressed magnitudes, and the spectrum with them."""
    squares = power(z, epsilon)
    gain = jnp.power(squares, 0.5 * (compression - 1))
    return gain * jnp.sqrt(squares), lax.complex(gain * z.real, gain * z.imag)


def _apart(x: Array, y: Array, same: Array) -> Array:
    """``x - y``, and 0 where both are functions of the `same`, with the derivatives that it has.

    They are products, of which CPUs subtract one before it is rounded and the other after.
    """
    gap = x - y
    return gap - lax.stop_gradient(jnp.where(same, gap, jnp.zeros_like(gap)))


def _mean_turn(angles: Array) -> Array:
    """The mean size of angles, the short way round; 0 of none."""
    return jnp.sum(absolute(angles - 2 * np.pi * jnp.round(angles / (2 * np.pi)))) / max(angles.size, 1)
