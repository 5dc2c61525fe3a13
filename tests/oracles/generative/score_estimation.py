"""Score matching from the papers' formulas."""

import numpy as np

from tests.oracles import oracle


@oracle("nonnegative convex scale_invariant", frozen=True)
def score_distillation(samples, direction, frozen=None):
    d = np.asarray(frozen["direction"], float)
    return np.sum(d**2) / 2 + np.sum(d * (samples - np.asarray(frozen["samples"], float)))


@oracle("nonnegative convex", options=[{"power": 0.0}, {"power": 1.0}, {"power": 3.0}], frozen=True)
def denoising_score_matching(scores, noise, sigma, power=2.0, frozen=None):
    s = float(frozen["sigma"])
    return 0.5 * s**power * np.sum((np.asarray(scores, float) + np.asarray(noise, float) / s) ** 2)


@oracle("convex")
def score_matching(scores, divergences):
    return 0.5 * np.sum(np.asarray(scores, float) ** 2) + divergences


@oracle("convex", frozen=True)
def sliced_score_matching(scores, directional, projections, frozen=None):
    v = np.asarray(frozen["projections"], float)
    return np.sum(v * directional) + 0.5 * np.sum(v * scores) ** 2
