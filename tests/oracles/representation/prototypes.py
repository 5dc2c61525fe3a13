"""Losses against a vector per class, with angles by arccos."""

import numpy as np

from tests.oracles import oracle
from tests.oracles.representation.embedding import cosine, kept_items, mean, unit
from tests.oracles.representation.similarity import log1p_sum_exp, log_sum_exp


def angle(x, y):
    """The angle of two vectors, exact for small ones; a right angle where one is zero."""
    x, y = unit(x), unit(y)
    if not x.any() or not y.any():
        return np.pi / 2
    return 2 * np.arctan2(np.sqrt(np.sum((x - y) ** 2)), np.sqrt(np.sum((x + y) ** 2)))


def cross_entropy(logits, label, target):
    if not 0 <= label < len(logits):
        return np.nan
    changed = np.array(logits, float)
    changed[label] = target
    return log_sum_exp(changed) - target


def arc_margin(theta, margin):
    return np.cos(theta + margin) if theta <= np.pi - margin else np.cos(theta) - margin * np.sin(margin)


@oracle("nonnegative scale_invariant", options=[{"margin": 0.2, "scale": 5.0}, {"margin": 2.5, "scale": 2.0}])
def arcface(embeddings, labels, prototypes, margin=0.5, scale=64.0):
    theta = [angle(embeddings, p) for p in prototypes]
    return cross_entropy(scale * np.cos(theta), labels, scale * arc_margin(theta[labels], margin))


@oracle("nonnegative scale_invariant", options=[{"margin": 0.1, "scale": 5.0}])
def cosface(embeddings, labels, prototypes, margin=0.35, scale=64.0):
    cosines = np.array([cosine(embeddings, p) for p in prototypes])
    return cross_entropy(scale * cosines, labels, scale * (cosines[labels] - margin))


@oracle("nonnegative scale_invariant", options=[{"margin": 1, "scale": 5.0}, {"margin": 3, "scale": 2.0}])
def sphereface(embeddings, labels, prototypes, margin=4, scale=64.0):
    theta = np.array([angle(embeddings, p) for p in prototypes])
    turns = min(np.floor(margin * theta[labels] / np.pi), margin - 1)
    psi = (-1) ** turns * np.cos(margin * theta[labels]) - 2 * turns
    return cross_entropy(scale * np.cos(theta), labels, scale * psi)


@oracle("nonnegative scale_invariant", options=[{"margin": 0.2, "scale": 5.0}])
def subcenter_arcface(embeddings, labels, prototypes, margin=0.5, scale=64.0):
    theta = [min(angle(embeddings, p) for p in centres) for centres in prototypes]
    return cross_entropy(scale * np.cos(theta), labels, scale * arc_margin(theta[labels], margin))


@oracle("nonnegative scale_invariant", options=[{"temperature": 0.5}])
def normalized_softmax(embeddings, labels, prototypes, temperature=0.05):
    logits = np.array([cosine(embeddings, p) for p in prototypes]) / temperature
    return cross_entropy(logits, labels, logits[labels])


@oracle("nonnegative scale_invariant", options=[{"scale": 5.0, "gamma": 1.0, "margin": 0.2}])
def soft_triple(embeddings, labels, prototypes, scale=20.0, gamma=0.1, margin=0.01):
    similarity = []
    for centres in prototypes:
        s = np.array([cosine(embeddings, p) for p in centres])
        similarity.append(np.sum(np.exp(s / gamma - log_sum_exp(s / gamma)) * s))
    return cross_entropy(scale * np.array(similarity), labels, scale * (similarity[labels] - margin))


@oracle("nonnegative scale_invariant")
def soft_triple_regularizer(prototypes):
    k, c, _ = np.shape(prototypes)
    units = np.array([[unit(p) for p in centres] for centres in prototypes])
    total = sum(np.sqrt(np.sum((units[j, a] - units[j, b]) ** 2)) for j in range(k) for a in range(c) for b in range(a + 1, c))
    return total / (k * c * (c - 1))


def sample_proxies(rng, batch):
    """Items of three of five classes, two kept at least."""
    mask = rng.uniform(size=(*batch, 6)) < 0.7
    mask[..., :2] = True
    labels = rng.integers(0, 3, (*batch, 6)).astype(np.int32)
    return {"embeddings": rng.normal(size=(*batch, 6, 3)), "labels": labels, "proxies": rng.normal(size=(*batch, 5, 3)), "mask": mask}


@oracle("nonnegative scale_invariant", options=[{"scale": 20.0}], sample=sample_proxies)
def proxy_nca(embeddings, labels, proxies, mask=None, scale=3.0):
    losses = []
    for i in kept_items(len(labels), mask):
        logits = [-scale * np.sum((unit(embeddings[i]) - unit(p)) ** 2) for p in proxies]
        losses.append(cross_entropy(logits, labels[i], logits[labels[i]]))
    return mean(losses)


@oracle("nonnegative scale_invariant", options=[{"margin": 0.3, "alpha": 5.0}], sample=sample_proxies)
def proxy_anchor(embeddings, labels, proxies, mask=None, margin=0.1, alpha=32.0):
    keep = kept_items(len(labels), mask)
    drawn, pushed = [], []
    for p, proxy in enumerate(proxies):
        own = [cosine(embeddings[i], proxy) for i in keep if labels[i] == p]
        others = [cosine(embeddings[i], proxy) for i in keep if labels[i] != p]
        if own:
            drawn.append(log1p_sum_exp([-alpha * (s - margin) for s in own]))
        pushed.append(log1p_sum_exp([alpha * (s + margin) for s in others]))
    return mean(drawn) + mean(pushed)


@oracle("nonnegative convex")
def center(embeddings, labels, centers):
    if not 0 <= labels < len(centers):
        return np.nan
    return 0.5 * np.sum((embeddings - centers[labels]) ** 2)
