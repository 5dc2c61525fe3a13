"""Short-time Fourier transforms: frames of a signal, windowed, and their spectra."""

import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from jloss._core.backend import by_platform
from jloss._core.domains import is_known


def spectrum(name: str, signal: Array, fft_size: int, hop_size: int, window_length: int | None) -> Array:
    """The complex spectrum ``(g, f)`` of a signal ``(t)``, as of `torch.stft`: reflected at its ends, periodic Hann window, not scaled."""
    window_length = fft_size if window_length is None else window_length
    check(name, signal, fft_size, hop_size, window_length)
    padded, count, left = reflected(signal, fft_size, hop_size, window_length)
    return of_frames(frames(padded, count, hop_size, left, window_length), left, fft_size)


def reflected(signal: Array, fft_size: int, hop_size: int, window_length: int) -> tuple[Array, int, int]:
    """A signal with its ends reflected, how many frames it has, and where the first window begins."""
    padded = jnp.pad(signal, fft_size // 2, mode="reflect")
    return padded, 1 + (padded.shape[0] - fft_size) // hop_size, (fft_size - window_length) // 2


def of_frames(framed: Array, left: int, fft_size: int) -> Array:
    """The spectra of frames under a window that lies at `left` among `fft_size` samples."""
    length = framed.shape[1]
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(length) / length)
    framed = framed * window[None].astype(framed.dtype)

    def fast(x: Array) -> Array:
        return jnp.fft.rfft(jnp.pad(x, ((0, 0), (left, fft_size - left - length))))

    # Where a batch lies on several devices, jax 0.10 gathers it for an FFT, and TPUs have none of their own. CPUs take 2.5 times as long
    # for the products of matrices.
    return by_platform(framed, cpu=fast, default=lambda x: by_matrices(x, left, fft_size))


def to_frequencies(x: Array, size: int) -> Array:
    """The spectra of signals with zeros up to `size`, where `spectrum` has its reasons for matrices."""

    def by_products(x: Array) -> Array:
        return by_matrices(x.reshape(-1, x.shape[-1]), 0, size).reshape(*x.shape[:-1], size // 2 + 1)

    return by_platform(x, cpu=lambda x: jnp.fft.rfft(x, size), default=by_products)


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


def frames(signal: Array, count: int, hop: int, start: int, length: int) -> Array:
    """So many stretches of a signal, one every `hop` samples, put together of blocks of one hop, so that the gradient needs no scatter."""
    blocks = -(-length // hop)
    missing = max(0, start + (count - 1 + blocks) * hop - signal.shape[0])
    signal = jnp.pad(signal, (0, missing))
    columns = [lax.slice(signal, (start + i * hop,), (start + (i + count) * hop,)).reshape(count, hop) for i in range(blocks)]
    return jnp.concatenate(columns, axis=1)[:, :length]


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
