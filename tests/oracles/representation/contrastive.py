"""Contrastive losses of one set, by loops over rows."""

import numpy as np

from tests.oracles import oracle
from tests.oracles.representation.embedding import cosine, kept_items, mean, sample_set, unit
from tests.oracles.representation.similarity import log_sum_exp

CHUNKS = [{"chunk_size": 2}, {"chunk_size": 5}]


@oracle(
    "nonnegative scale_invariant", options=[{"temperature": 0.7}, {"temperature": 0.01}, *CHUNKS, {"temperature": 0.001, "chunk_size": 100}]
)
def info_nce(queries, keys, mask=None, temperature=0.1, chunk_size=None):
    keep = kept_items(len(queries), mask)
    s = {(i, j): cosine(queries[i], keys[j]) / temperature for i in keep for j in keep}
    return mean([log_sum_exp([s[i, j] for j in keep]) - s[i, i] for i in keep])


def two_views(first, second, mask):
    """The kept views, and which item each is of."""
    keep = kept_items(len(first), mask)
    return [first[i] for i in keep] + [second[i] for i in keep], keep + keep


@oracle(
    "nonnegative symmetric scale_invariant",
    options=[{"temperature": 0.7}, {"temperature": 0.001}, *CHUNKS, {"temperature": 0.001, "chunk_size": 2}],
)
def nt_xent(first, second, mask=None, temperature=0.1, chunk_size=None):
    views, names = two_views(first, second, mask)
    losses = []
    for a in range(len(views)):
        s = {b: cosine(views[a], views[b]) / temperature for b in range(len(views)) if b != a}
        own = next(b for b in s if names[b] == names[a])
        losses.append(log_sum_exp(list(s.values())) - s[own])
    return mean(losses)


@oracle(
    "nonnegative scale_invariant",
    options=[{"temperature": 0.7}, {"temperature": 0.001}, *CHUNKS, {"temperature": 0.001, "chunk_size": 2}],
    sample=sample_set,
)
def supervised_contrastive(embeddings, labels, mask=None, temperature=0.1, chunk_size=None):
    keep = kept_items(len(labels), mask)
    losses = []
    for a in keep:
        s = {b: cosine(embeddings[a], embeddings[b]) / temperature for b in keep if b != a}
        own = [s[b] for b in s if labels[b] == labels[a]]
        if own:
            losses.append(np.mean([log_sum_exp(list(s.values())) - p for p in own]))
    return mean(losses)


@oracle(
    "symmetric scale_invariant",
    options=[{"temperature": 0.7}, {"sigma": 0.5}, {"temperature": 0.001}, *CHUNKS, {"sigma": 0.5, "chunk_size": 2}],
    frozen=True,
)
def decoupled_contrastive(first, second, mask=None, temperature=0.1, sigma=None, chunk_size=None, frozen=None):
    keep = kept_items(len(first), mask)
    if len(keep) < 2:
        return 0.0
    views, names = two_views(first, second, mask)
    weight = dict.fromkeys(keep, 1.0)
    if sigma is not None:
        powers = {i: np.exp(cosine(frozen["first"][i], frozen["second"][i]) / sigma) for i in keep}
        weight = {i: 2 - powers[i] / np.mean(list(powers.values())) for i in keep}
    losses = []
    for a, name in enumerate(names):
        far = [cosine(views[a], views[b]) / temperature for b, other in enumerate(names) if other != name]
        own = cosine(first[name], second[name]) / temperature
        losses.append(log_sum_exp(far) - weight[name] * own)
    return mean(losses)


@oracle(
    "nonnegative symmetric scale_invariant",
    options=[{"scale": 2.0}, {"scale": 100.0}, *CHUNKS, {"scale": 1000.0, "chunk_size": 2}],
)
def clip(images, texts, mask=None, scale=1 / 0.07, chunk_size=None):
    keep = kept_items(len(images), mask)
    z = {(i, j): scale * cosine(images[i], texts[j]) for i in keep for j in keep}
    return mean([0.5 * (log_sum_exp([z[i, j] for j in keep]) + log_sum_exp([z[j, i] for j in keep])) - z[i, i] for i in keep])


@oracle("nonnegative symmetric scale_invariant", options=[{"scale": 2.0, "bias": -1.0}, {"scale": 100.0}, *CHUNKS])
def siglip(images, texts, mask=None, scale=10.0, bias=-10.0, chunk_size=None):
    keep = kept_items(len(images), mask)
    total = sum(np.logaddexp(0.0, (-1 if i == j else 1) * (scale * cosine(images[i], texts[j]) + bias)) for i in keep for j in keep)
    return total / max(len(keep), 1)


@oracle("nonnegative zero_at_match symmetric scale_invariant")
def alignment(first, second, mask=None):
    return mean([np.sum((unit(first[i]) - unit(second[i])) ** 2) for i in kept_items(len(first), mask)])


@oracle("scale_invariant", options=[{"t": 1.0}, {"t": 100.0}, *CHUNKS])
def uniformity(embeddings, mask=None, t=2.0, chunk_size=None):
    keep = kept_items(len(embeddings), mask)
    if len(keep) < 2:
        return 0.0
    logs = [-t * np.sum((unit(embeddings[i]) - unit(embeddings[j])) ** 2) for i in keep for j in keep if i != j]
    return log_sum_exp(logs) - np.log(len(logs))
