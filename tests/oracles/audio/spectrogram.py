"""Spectrograms, frame by frame, and the distances between them."""

import functools

import numpy as np

from tests.oracles import Undetermined, oracle


@functools.cache
def windows(t, size, hop, length):
    """For each frame which samples lie in it, of a signal reflected at its first and its last; and the window."""
    places = np.array([np.abs(centre - size // 2 + np.arange(size)) for centre in range(0, t + 1 - size % 2, hop)])
    window = np.zeros(size)
    for i in range(length):
        window[(size - length) // 2 + i] = np.sin(np.pi * i / length) ** 2
    return np.where(places < t, places, 2 * (t - 1) - places), window


def spectra(signal, size, hop, length):
    """One row for each frame: what lies under a window around every `hop`-th sample."""
    places, window = windows(len(signal), size, hop, size if length is None else length)
    return np.fft.rfft(signal[places] * window)


def magnitudes(z, epsilon):
    return np.sqrt(np.maximum(np.abs(z) ** 2, epsilon))


def both(predictions, targets, size, hop, length, floor):
    """The two spectrograms; where some of their numbers are rounding errors in float32, but above the floor, no answer is the right one."""
    x, y = (spectra(signal, size, hop, length) for signal in (predictions, targets))
    for z in () if np.array_equal(predictions, targets) else (x, y):
        noise = 3e-7 * np.max(np.abs(z))
        if 10 * noise > floor and np.mean(np.abs(z) < 30 * noise) > 1e-3:
            raise Undetermined
    return x, y


def distance(x, y, bands_x, bands_y, convergence, log_magnitude, magnitude):
    total = 0.0
    size = np.sqrt(np.sum(y**2))
    if size > 0:
        total += convergence * np.sqrt(np.sum((y - x) ** 2)) / size
    return total + log_magnitude * np.mean(np.abs(np.log(bands_x) - np.log(bands_y))) + magnitude * np.mean(np.abs(x - y))


def draw_loud(rng, batch, samples=600):
    """Predictions much louder or quieter than targets, and numbers that are real (of the lowest and the highest frequency) far from 0.

    Where magnitudes are equal, or nearly 0, differences are no derivatives.
    """
    ends = np.arange(samples) % 2 * 2.0
    predictions, targets = (rng.normal(size=(*batch, samples)) + ends for _ in range(2))
    louder = rng.choice([True, False], (*batch, 1))
    return {"predictions": np.where(louder, 30, 1) * predictions, "targets": np.where(louder, 1, 30) * targets}


def draw_long(rng, batch):
    return draw_loud(rng, batch, samples=1100)


def draw_with_filters(rng, batch):
    return draw_loud(rng, batch) | {"filters": rng.uniform(size=(*batch, 3, 513))}


WEIGHTS = [{"convergence": 0.3, "log_magnitude": 0.7}, {"magnitude": 0.01, "epsilon": 0.5}, {"hop_size": 100, "window_length": 400}]


@oracle("nonnegative zero_at_match", options=WEIGHTS, sample=draw_with_filters)
def stft(
    predictions,
    targets,
    filters=None,
    fft_size=1024,
    hop_size=256,
    window_length=None,
    convergence=1.0,
    log_magnitude=1.0,
    magnitude=0.0,
    epsilon=1e-8,
):
    x, y = (magnitudes(z, epsilon) for z in both(predictions, targets, fft_size, hop_size, window_length, np.sqrt(epsilon)))
    if filters is None:
        return distance(x, y, x, y, convergence, log_magnitude, magnitude)
    x, y = x @ np.transpose(filters), y @ np.transpose(filters)
    return distance(x, y, np.maximum(x, epsilon), np.maximum(y, epsilon), convergence, log_magnitude, magnitude)


RESOLUTIONS = [
    {"fft_sizes": (16, 30, 7), "hop_sizes": (5, 10, 3), "window_lengths": (12, 30, 6)},
    {"fft_sizes": (64,), "hop_sizes": (16,), "window_lengths": (64,), "magnitude": 0.1, "convergence": 0.5, "log_magnitude": 2.0},
]


@oracle("nonnegative zero_at_match", options=RESOLUTIONS, sample=draw_long)
def multi_resolution_stft(
    predictions,
    targets,
    fft_sizes=(1024, 2048, 512),
    hop_sizes=(120, 240, 50),
    window_lengths=(600, 1200, 240),
    convergence=1.0,
    log_magnitude=1.0,
    magnitude=0.0,
    epsilon=1e-8,
):
    each = [
        stft(predictions, targets, None, *resolution, convergence, log_magnitude, magnitude, epsilon)
        for resolution in zip(fft_sizes, hop_sizes, window_lengths, strict=True)
    ]
    return sum(each) / len(each)


@oracle(
    "nonnegative zero_at_match symmetric", options=[{"hop_size": 100, "window_length": 400}, {"epsilon": 6500.0}], sample=draw_with_filters
)
def mel(predictions, targets, filters, fft_size=1024, hop_size=256, window_length=None, epsilon=1e-5):
    x, y = both(predictions, targets, fft_size, hop_size, window_length, 1e-9**0.5)
    logs = [np.log(np.maximum(magnitudes(z, 1e-9) @ np.transpose(filters), epsilon)) for z in (x, y)]
    return np.mean(np.abs(logs[0] - logs[1]))


@oracle(
    "nonnegative zero_at_match symmetric",
    options=[{"hop_size": 100, "window_length": 401}, {"magnitude": 0.2, "epsilon": 100.0}],
    sample=draw_loud,
)
def complex_stft(predictions, targets, fft_size=1024, hop_size=256, window_length=None, magnitude=1.0, epsilon=1e-8):
    x, y = (spectra(signal, fft_size, hop_size, window_length) for signal in (predictions, targets))
    gap = x - y
    return np.mean(np.abs(gap.real) + np.abs(gap.imag) + magnitude * np.abs(magnitudes(x, epsilon) - magnitudes(y, epsilon)))


@oracle(
    "nonnegative zero_at_match symmetric",
    options=[{"hop_size": 100, "window_length": 300}, {"compression": 0.6, "complex_weight": 0.9}, {"epsilon": 50.0}],
    sample=draw_loud,
)
def compressed_spectral(
    predictions, targets, fft_size=512, hop_size=256, window_length=None, compression=0.3, complex_weight=0.3, epsilon=1e-8
):
    x, y = both(predictions, targets, fft_size, hop_size, window_length, np.sqrt(epsilon))
    a, b = magnitudes(x, epsilon), magnitudes(y, epsilon)
    turned = x / a * a**compression - y / b * b**compression
    return np.mean((1 - complex_weight) * (a**compression - b**compression) ** 2 + complex_weight * np.abs(turned) ** 2)


def turn(angle):
    """The size of an angle, by its sine and cosine."""
    return np.abs(np.arctan2(np.sin(angle), np.cos(angle)))


@oracle("nonnegative zero_at_match symmetric shift_invariant")
def phase(predictions, targets):
    gap = predictions - targets
    terms = [gap, gap[:, 1:] - gap[:, :-1], gap[1:] - gap[:-1]]
    return sum(np.mean(turn(term)) for term in terms if term.size)


@oracle("nonnegative")
def deep_clustering(embeddings, assignments, mask=None):
    """By the n x n affinities."""
    keep = np.ones(len(embeddings), bool) if mask is None else mask
    v, y = embeddings[keep], assignments[keep]
    return np.sum((v @ v.T - y @ y.T) ** 2) / max(len(v), 1)


def cosine(a, b):
    sizes = np.sqrt(np.sum(a * a)) * np.sqrt(np.sum(b * b))
    return np.sum(a * b) / sizes if sizes > 0 else 0.0


def unit(v):
    size = np.sqrt(np.sum(v * v))
    return v / size if size > 0 else v


@oracle(
    "nonnegative scale_invariant",
    options=[{"scale": 3.0, "bias": 1.0}, {"method": "contrast"}, {"method": "contrast", "scale": 2.0, "bias": 0.5}],
)
def ge2e(embeddings, scale=10.0, bias=-5.0, method="softmax"):
    speakers, utterances, _ = embeddings.shape
    losses = []
    for i in range(speakers):
        for j in range(utterances):
            scores = []
            for k in range(speakers):
                others = [unit(v) for at, v in enumerate(embeddings[k]) if (k, at) != (i, j)]
                scores.append(scale * cosine(embeddings[i, j], sum(others) / len(others)) + bias)
            if method == "softmax":
                losses.append(np.logaddexp.reduce(scores) - scores[i])
            else:
                chances = 1 / (1 + np.exp(-np.array(scores)))
                losses.append(1 - chances[i] + max(np.delete(chances, i)) if speakers > 1 else 0.0)
    return np.mean(losses)


@oracle("nonnegative scale_invariant", options=[{"scale": 3.0, "bias": 1.0}])
def angular_prototypical(queries, prototypes, scale=10.0, bias=-5.0):
    scores = np.array([[scale * cosine(q, p) + bias for p in prototypes] for q in queries])
    return np.mean([np.logaddexp.reduce(row) - row[i] for i, row in enumerate(scores)])
