"""Ratios of energies, sample by sample."""

import numpy as np

from tests.oracles import Undetermined, oracle


def energy(x):
    return sum(v * v for v in np.ravel(x))


def decibels(predictions, signal, noise, max_db, epsilon):
    """Minus the ratio. Where the noise is what float32 rounds away from the signal, no answer in float32 is the right one."""
    if max_db is not None:
        noise = noise + signal / 10 ** (max_db / 10)
    if noise > 1e-3 * epsilon and noise + epsilon < 1e-11 * energy(predictions):
        raise Undetermined
    return -10 * np.log10(signal / (noise + epsilon) + epsilon)


def centred(x, zero_mean):
    return x - sum(x) / len(x) if zero_mean else x


def ratio(predictions, targets, zero_mean, max_db, epsilon, scale_signal, scale_noise):
    p, s = centred(predictions, zero_mean), centred(targets, zero_mean)
    a = sum(p * s) / (energy(s) + epsilon)
    return decibels(p, energy((a if scale_signal else 1) * s), energy(p - (a if scale_noise else 1) * s), max_db, epsilon)


SETTINGS = [{"zero_mean": False}, {"max_db": 3.0}, {"epsilon": 0.1}, {"zero_mean": False, "max_db": -5.0}]


@oracle(options=SETTINGS)
def si_sdr(predictions, targets, zero_mean=True, max_db=None, epsilon=1e-8):
    return ratio(predictions, targets, zero_mean, max_db, epsilon, True, True)


@oracle(options=SETTINGS)
def snr(predictions, targets, zero_mean=True, max_db=None, epsilon=1e-8):
    return ratio(predictions, targets, zero_mean, max_db, epsilon, False, False)


@oracle(options=SETTINGS)
def sd_sdr(predictions, targets, zero_mean=True, max_db=None, epsilon=1e-8):
    return ratio(predictions, targets, zero_mean, max_db, epsilon, True, False)


@oracle("nonnegative zero_at_match convex", options=[{"epsilon": 0.5}])
def esr(predictions, targets, epsilon=1e-8):
    return energy(targets - predictions) / (energy(targets) + epsilon)


@oracle("nonnegative zero_at_match convex", options=[{"epsilon": 0.5}])
def dc_error(predictions, targets, epsilon=1e-8):
    n = len(targets)
    return (sum(targets - predictions) / n) ** 2 / (energy(targets) / n + epsilon)


def draw_near(rng, batch):
    targets = rng.normal(size=(*batch, 3, 5))
    return {"predictions": targets + 0.6 * rng.normal(size=targets.shape), "targets": targets}


@oracle(options=[{"scale_invariant": False}, {"zero_mean": True}, {"epsilon": 0.1}], sample=draw_near)
def sa_sdr(predictions, targets, scale_invariant=True, zero_mean=False, epsilon=1e-8):
    p, s = (np.concatenate([centred(row, zero_mean) for row in x]) for x in (predictions, targets))
    a = sum(p * s) / (energy(s) + epsilon) if scale_invariant else 1.0
    return decibels(p, energy(a * s), energy(p - a * s), None, epsilon)


@oracle("scale_invariant", options=[{"filter_length": 1}, {"filter_length": 3, "epsilon": 0.01}])
def ci_sdr(predictions, targets, filter_length=512, epsilon=1e-8):
    """By ridge regression on all delays."""
    t = len(targets)
    if energy(predictions) == 0 or energy(targets) == 0:
        return -10 * np.log10(epsilon / (1 - epsilon))
    delays = np.zeros((filter_length, t + filter_length - 1))
    for k in range(filter_length):
        delays[k, k : k + t] = targets / np.sqrt(energy(targets))
    p = np.concatenate([predictions / np.sqrt(energy(predictions)), np.zeros(filter_length - 1)])
    taps = np.linalg.solve(delays @ delays.T + epsilon * np.eye(filter_length), delays @ p)
    share = np.clip(taps @ delays @ p, epsilon, 1 - epsilon)
    return -10 * np.log10(share / (1 - share))
