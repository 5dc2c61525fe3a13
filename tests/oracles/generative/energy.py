"""Energies and bounds from the papers' formulas."""

import math

import numpy as np

from tests.oracles import oracle
from tests.oracles.generative.gan import kept


@oracle("convex zero_at_match", options=[{"alpha": 0.1}, {"alpha": 2.0}])
def contrastive_divergence(data_energies, sample_energies, alpha=0.0):
    return data_energies - sample_energies + alpha * (data_energies**2 + sample_energies**2)


def log_chance(a):
    """Of a logit."""
    return -np.logaddexp(0.0, -a)


@oracle("nonnegative convex shift_invariant")
def noise_contrastive_estimation(data_scores, data_log_noise, noise_scores, noise_log_noise):
    m = len(noise_scores)
    if m == 0:
        return 0.0
    total = -log_chance(data_scores - data_log_noise - math.log(m))
    for s, q in zip(noise_scores, noise_log_noise, strict=True):
        total -= log_chance(-(float(s) - float(q) - math.log(m)))
    return total


@oracle("convex", options=[{"clip": 0.5}])
def donsker_varadhan(joint_scores, marginal_scores, joint_mask=None, marginal_mask=None, clip=None):
    joint, marginal = kept(joint_scores, joint_mask), kept(marginal_scores, marginal_mask)
    if 0 in (len(joint), len(marginal)):
        return 0.0
    if clip is not None:
        marginal = np.clip(marginal, -clip, clip)
    return np.logaddexp.reduce(marginal) - math.log(len(marginal)) - joint.mean()


@oracle("convex")
def nwj(joint_scores, marginal_scores, joint_mask=None, marginal_mask=None):
    joint, marginal = kept(joint_scores, joint_mask), kept(marginal_scores, marginal_mask)
    if 0 in (len(joint), len(marginal)):
        return 0.0
    with np.errstate(over="ignore"):
        return np.mean(np.exp(marginal - 1)) - joint.mean()
