"""Short-time Fourier transforms: frames of a signal, windowed, and their spectra."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from jloss._core.backend import by_platform
from jloss._core.domains import is_known

REAL = 256  # samples whose spectrum is one real transform on CPUs


def spectrum(name: str, signal: Array, fft_size: int, hop_size: int, window_length: int | None) -> Array:
    """The complex spectrum ``(g, f)`` of a signal ``(t)``, as of `torch.stft`: reflected at its ends, periodic Hann window, not scaled."""
    framed, left = windowed(name, signal, fft_size, hop_size, window_length)
    right = fft_size - left - framed.shape[1]

    def fast(x: Array) -> Array:
        return jnp.fft.rfft(jnp.pad(x, ((0, 0), (left, right))))

    # Where a batch lies on several devices, jax 0.10 gathers it for an FFT, and TPUs have none of their own. CPUs take 2.5 times as long
    # for the products of matrices.
    return by_platform(framed, cpu=fast, default=lambda x: by_matrices(x, left, fft_size))


def spectrum_in_parts(frames: Array, size: int) -> list[Array]:
    """The spectra of frames ``(g, t)`` with zeros up to `size`, each frequency once, in the order of `columns_in_parts`; for CPUs.

    Of n real samples the odd frequencies, which come in conjugate pairs, are a complex transform of n / 4, and the even ones the real
    transform of n / 2. Its first step is computed as the frames are windowed. One real transform of 1024 samples takes 1.4 times as
    long, its derivative twice, and XLA computes one transform on one thread, but several beside each other.
    """
    quarter = size // 4
    if size <= REAL or size % 4:
        return [jnp.fft.rfft(with_zeros(frames, size))]
    count = -(-frames.shape[1] // quarter)
    frames = with_zeros(frames, count * quarter)
    pieces = lax.split(frames, (quarter,) * count, axis=1)
    quarters: list[Any] = [*pieces, 0.0, 0.0, 0.0]
    a, b, c, d = quarters[:4]
    real, imaginary = a - c, d - b
    angle = 2 * np.pi / size * np.arange(quarter)[None]
    cos, sin = (f(angle).astype(frames.dtype) for f in (np.cos, np.sin))
    odd = jnp.fft.fft(lax.complex(real * cos + imaginary * sin, imaginary * cos - real * sin))
    even = jnp.concatenate([a + c, b + d][:count], axis=1)
    return [odd, *spectrum_in_parts(even, size // 2)]


def with_zeros(frames: Array, size: int) -> Array:
    """Frames with zeros behind them, which XLA does not know to be zeros: on CPUs its `pad` is several times as slow as this."""
    more, rest = divmod(size - frames.shape[1], frames.shape[1])
    zeros = 0.0 * lax.stop_gradient(frames)
    return jnp.concatenate([frames, *[zeros] * more, zeros[:, :rest]], axis=1)


def columns_in_parts(matrix: Array, size: int) -> list[Array]:
    """A matrix with a column for each frequency, in the order of `spectrum_in_parts`: frequency n - k stands for k."""
    if size <= REAL or size % 4:
        return [matrix]
    return [jnp.concatenate([matrix[:, 1::4], matrix[:, 3::4][:, ::-1]], axis=1), *columns_in_parts(matrix[:, ::2], size // 2)]


def windowed(name: str, signal: Array, fft_size: int, hop_size: int, window_length: int | None) -> tuple[Array, int]:
    """The frames of a signal under their windows, ``(g, window_length)``, and where these begin among `fft_size` samples."""
    window_length = fft_size if window_length is None else window_length
    check(name, signal, fft_size, hop_size, window_length)
    heard, count = reflected(signal, fft_size, hop_size, window_length)
    return frames_of_rows(heard, count, window_length, hann(window_length)), (fft_size - window_length) // 2


def hann(length: int) -> np.ndarray:
    """The periodic window of Hann."""
    return 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(length) / length)


def reflected(signal: Array, fft_size: int, hop_size: int, window_length: int) -> tuple[Array, int]:
    """A signal, reflected at its ends as far as windows see it, in rows of one hop, and how many windows they are."""
    size, left = signal.shape[0], fft_size // 2 - (fft_size - window_length) // 2
    count = 1 + (size + fft_size // 2 * 2 - fft_size) // hop_size
    right = (count - 1) * hop_size + window_length - left - size
    if not is_known(size) or right < 0 or left + right + 2 > size:
        signal = jnp.pad(signal, fft_size // 2, mode="reflect")[(fft_size - window_length) // 2 :][: left + size + right]
    else:
        first, head, middle, tail, last = lax.split(signal, (1, left, size - left - right - 2, right, 1))
        signal = jnp.concatenate([head[::-1], first, head, middle, tail, last, tail[::-1]])
    return rows(signal, count - 1 - (-window_length // hop_size), hop_size), count


@functools.partial(jax.jit, static_argnames="size")
def to_frequencies(x: Array, size: int) -> Array:
    """The spectra of signals with zeros up to `size`, where `spectrum` has its reasons for matrices."""

    def by_products(x: Array) -> Array:
        return by_matrices(x.reshape(-1, x.shape[-1]), 0, size).reshape(*x.shape[:-1], size // 2 + 1)

    return by_platform(x, cpu=lambda x: jnp.fft.rfft(x, size), default=by_products)


@functools.partial(jax.jit, static_argnames="size")
def to_samples(z: Array, size: int) -> Array:
    """The signals of spectra. Hartley's transform, real part minus imaginary, is its own inverse."""

    def hartley(z: Array) -> Array:
        return jnp.concatenate([z.real - z.imag, (z.real + z.imag)[:, (size - 1) // 2 : 0 : -1]], axis=1)

    def inverse(z: Array) -> Array:
        rows = hartley(by_matrices(hartley(z.reshape(-1, z.shape[-1])), 0, size)) / size
        return rows.reshape(*z.shape[:-1], size)

    return by_platform(z, cpu=lambda z: jnp.fft.irfft(z, size), default=inverse)


def check(name: str, signal: Array, fft_size: int, hop_size: int, window_length: int) -> None:
    """Raises where there is no such transform of this signal."""
    if fft_size < 1 or hop_size < 1:
        raise ValueError(f"{name}: `fft_size` and `hop_size` must be 1 or more, got {fft_size} and {hop_size}.")
    if not 1 <= window_length <= fft_size:
        raise ValueError(f"{name}: `window_length` must be between 1 and `fft_size` = {fft_size}, got {window_length}.")
    if is_known(signal.shape[0]) and signal.shape[0] <= fft_size // 2:
        raise ValueError(
            f"{name}: signals must have more than `fft_size` // 2 = {fft_size // 2} samples, by which they are reflected at their ends, "
            f"got {signal.shape[0]}; pad them with zeros, or take a smaller `fft_size`."
        )


def frames(signal: Array, count: int, hop: int, length: int) -> Array:
    """So many stretches of a signal, one every `hop` samples; zeros where it has ended."""
    return frames_of_rows(rows(signal, count - 1 - (-length // hop), hop), count, length)


def rows(signal: Array, count: int, size: int) -> Array:
    """A signal, or its first samples, or zeros behind it, in so many rows."""
    missing = count * size - signal.shape[0]
    if not is_known(missing):
        signal = jnp.pad(signal, (0, max(0, missing)))
    elif missing > 0:
        signal = jnp.concatenate([signal, jnp.zeros_like(signal, shape=(missing,))])
    return signal[: count * size].reshape(count, size)


def frames_of_rows(rows: Array, count: int, length: int, window: np.ndarray | None = None) -> Array:
    """So many frames, one from the beginning of each row, under a window.

    Rows that all columns of frames see are set apart from those at the ends, so that the gradients of the columns are added in one
    loop, without zeros around each: CPUs take a third of the time.
    """
    hop = rows.shape[1]
    blocks = -(-length // hop)
    if is_known(count) and count >= blocks > 1:
        first, middle, last = lax.split(rows, (blocks - 1, count - blocks + 1, blocks - 1))
        columns = [jnp.concatenate([first[i:], middle, last[:i]]) for i in range(blocks)]
    else:
        columns = [lax.slice(rows, (i, 0), (i + count, hop)) for i in range(blocks)]
    columns[-1] = columns[-1][:, : length - (blocks - 1) * hop]
    if window is not None:
        columns = [column * window[None, i * hop : (i + 1) * hop].astype(column.dtype) for i, column in enumerate(columns)]
    return jnp.concatenate(columns, axis=1)


def by_matrices(x: Array, left: int, size: int) -> Array:
    """The spectra of frames that lie at `left` among `size` samples, by two products with small matrices.

    With size = a b, sample b i + j and frequency k + a q: the sum over i, a turn by j k / size, the sum over j.
    """
    b = max(d for d in range(1, int(size**0.5) + 1) if size % d == 0)
    a = size // b
    first, last = left // b, -(-(left + x.shape[1]) // b)  # of the rows that are not all zero
    rows = jnp.pad(x, ((0, 0), (left - first * b, last * b - left - x.shape[1]))).reshape(x.shape[0], last - first, b)
    i, j, k, q = np.arange(first, last), np.arange(b), np.arange(a), np.arange(size // 2 // a + 1)

    def turns(time: np.ndarray, frequency: np.ndarray, period: int) -> np.ndarray:
        angle = 2 * np.pi / period * (np.outer(time, frequency) % period)
        return np.exp(-1j * angle).astype(jnp.complex128 if x.dtype == jnp.float64 else jnp.complex64)

    def product(rows: Array, matrix: np.ndarray, axes: str) -> Array:
        return jnp.einsum(axes, rows, matrix, precision=lax.Precision.HIGHEST)

    inner = turns(i, k, a)
    summed = lax.complex(product(rows, inner.real, "gij,ik->gjk"), product(rows, inner.imag, "gij,ik->gjk"))
    return product(summed * turns(j, k, size)[None], turns(j, q, b), "gjk,jq->gqk").reshape(x.shape[0], -1)[:, : size // 2 + 1]
