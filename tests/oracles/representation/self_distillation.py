"""Losses without negatives; what is under stop_gradient comes from the frozen inputs."""

import jax
import numpy as np

from tests.oracles import oracle
from tests.oracles.representation.embedding import cosine, kept_items, mean, unit
from tests.oracles.representation.similarity import log_sum_exp


@oracle("nonnegative symmetric zero_at_match scale_invariant", frozen=True)
def byol(predictions, targets, frozen=None):
    return 2 - 2 * cosine(predictions, frozen["targets"])


@oracle("symmetric scale_invariant", frozen=True)
def simsiam(predictions, targets, frozen=None):
    return -cosine(predictions, frozen["targets"])


def sample_views(rng, batch):
    """Two views of six items, three at least kept."""
    mask = rng.uniform(size=(*batch, 6)) < 0.8
    mask[..., :3] = True
    return {"first": rng.normal(size=(*batch, 6, 3)), "second": rng.normal(size=(*batch, 6, 3)), "mask": mask}


def rows(x, mask):
    return np.asarray(x)[kept_items(len(x), mask)]


def standardized(x):
    centred = x - x.mean(0)
    deviation = np.sqrt((centred**2).mean(0))
    flat = deviation <= 1e-6 * np.abs(x).max(0, initial=0.0)
    return np.where(flat, 0.0, centred / np.where(flat, 1.0, deviation))


@oracle("nonnegative symmetric scale_invariant", options=[{"off_diagonal_weight": 0.5}], sample=sample_views)
def barlow_twins(first, second, mask=None, off_diagonal_weight=0.0051):
    x, y = rows(first, mask), rows(second, mask)
    if len(x) < 2:
        return 0.0
    c = standardized(x).T @ standardized(y) / len(x)
    return sum((1 - c[i, j]) ** 2 if i == j else off_diagonal_weight * c[i, j] ** 2 for i in range(len(c)) for j in range(len(c)))


@oracle(
    "nonnegative symmetric shift_invariant",
    options=[{"invariance": 1.0, "variance": 2.0, "covariance": 3.0, "epsilon": 0.1}],
    sample=sample_views,
)
def vicreg(first, second, mask=None, invariance=25.0, variance=25.0, covariance=1.0, epsilon=1e-4):
    x, y = rows(first, mask), rows(second, mask)
    if len(x) == 0:
        return 0.0
    total = invariance * np.mean((x - y) ** 2)
    if len(x) > 1:
        for z in (x, y):
            c = np.atleast_2d(np.cov(z.T, ddof=1))
            total += variance * np.mean(np.maximum(0.0, 1 - np.sqrt(np.diag(c) + epsilon)))
            total += covariance * np.sum((c - np.diag(np.diag(c))) ** 2) / len(c)
    return total


def log_softmax(x):
    return np.array(x) - log_sum_exp(list(x))


def distilled(student, teacher, center, keep, warm, cool):
    targets = {i: np.exp(log_softmax((teacher[i] - center) / cool)) for i in keep}
    return mean([-np.sum(targets[i] * log_softmax(student[i] / warm)) for i in keep])


@oracle("nonnegative shift_invariant convex", options=[{"student_temperature": 0.5, "teacher_temperature": 1.0}], frozen=True)
def dino(student, teacher, center, mask=None, student_temperature=0.1, teacher_temperature=0.04, frozen=None):
    keep = kept_items(len(student), mask)
    return distilled(student, frozen["teacher"], frozen["center"], keep, student_temperature, teacher_temperature)


@oracle("nonnegative shift_invariant convex", options=[{"student_temperature": 0.5, "teacher_temperature": 1.0}], frozen=True)
def ibot(student, teacher, center, mask=None, student_temperature=0.1, teacher_temperature=0.04, frozen=None):
    keep = kept_items(len(student), mask)
    return distilled(student, frozen["teacher"], frozen["center"], keep, student_temperature, teacher_temperature)


def assigned(scores, epsilon, iterations):
    """Sinkhorn on logarithms: clusters, then items."""
    logs = np.array(scores) / epsilon
    for _ in range(iterations):
        logs = logs - np.array([log_sum_exp(column) for column in logs.T])[None, :]
        logs = logs - np.array([log_sum_exp(row) for row in logs])[:, None]
    return np.exp(logs - np.array([log_sum_exp(row) for row in logs])[:, None])


@oracle(
    "nonnegative symmetric shift_invariant",
    options=[{"temperature": 0.5, "epsilon": 0.3}, {"iterations": 0}, {"iterations": 5}],
    frozen=True,
)
def swav(first, second, mask=None, temperature=0.1, epsilon=0.05, iterations=3, frozen=None):
    x, y = rows(first, mask), rows(second, mask)
    if len(x) == 0:
        return 0.0
    of_x, of_y = (assigned(rows(frozen[name], mask), epsilon, iterations) for name in ("first", "second"))
    losses = [
        -0.5 * np.sum(of_y[i] * log_softmax(x[i] / temperature)) - 0.5 * np.sum(of_x[i] * log_softmax(y[i] / temperature))
        for i in range(len(x))
    ]
    return mean(losses)


@oracle("scale_invariant", options=[{"epsilon": 0.1}, {"chunk_size": 2}, {"chunk_size": 100}])
def koleo(embeddings, mask=None, epsilon=1e-8, chunk_size=None):
    keep = kept_items(len(embeddings), mask)
    if len(keep) < 2:
        return 0.0
    z = {i: unit(embeddings[i]) for i in keep}
    return mean([-np.log(min(np.sqrt(np.sum((z[i] - z[j]) ** 2)) for j in keep if j != i) + epsilon) for i in keep])


@oracle("nonnegative", options=[{"slices": 8, "knots": 5, "t_max": 5.0}, {"slices": 3}])
def sigreg(embeddings, key, mask=None, slices=1024, knots=17, t_max=3.0):
    x = rows(embeddings, mask)
    if len(x) == 0:
        return 0.0
    directions = np.asarray(jax.random.normal(key, (slices, x.shape[1]), np.float64 if jax.config.jax_enable_x64 else np.float32), float)
    directions = directions / np.sqrt(np.sum(directions**2, axis=1, keepdims=True))
    t = np.linspace(0, t_max, knots)
    phase = np.exp(1j * t[:, None, None] * (x @ directions.T)[None]).mean(1)  # (knots, slices)
    difference = np.abs(phase - np.exp(-(t**2) / 2)[:, None]) ** 2 * np.exp(-(t**2) / 2)[:, None]
    inside = np.sum((difference[1:] + difference[:-1]) / 2 * np.diff(t)[:, None], axis=0)
    return len(x) * np.mean(2 * inside)
