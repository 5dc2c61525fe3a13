"""Rotated boxes as Gaussians: matrices, inverses, determinants and eigenvalues, as the papers write them."""

import numpy as np

from tests.oracles import oracle

MOST = 1e30  # documented: for the infinite ratio of a box without area


def gaussian(box, over):
    cx, cy, w, h, angle = (float(v) for v in box)
    w, h = max(w, 0.0), max(h, 0.0)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return np.array([cx, cy]), turn @ np.diag([w**2, h**2]) @ turn.T / over, w * h


def root(matrix):
    values, vectors = np.linalg.eigh(matrix)
    return vectors @ np.diag(np.sqrt(np.maximum(values, 0))) @ vectors.T


@oracle("nonnegative zero_at_match symmetric", options=[{"tau": 2.0}])
def gwd(predictions, targets, tau=1.0):
    (m, s, _), (n, t, _) = gaussian(predictions, 4), gaussian(targets, 4)
    cross = root(root(s) @ t @ root(s))
    squared = np.sum((m - n) ** 2) + np.trace(s + t - 2 * cross)
    return 1 - 1 / (tau + np.log1p(np.sqrt(max(squared, 0.0))))


@oracle("nonnegative zero_at_match", options=[{"tau": 2.0}])
def rotated_kld(predictions, targets, tau=1.0):
    (m, s, area), (n, t, target_area) = gaussian(predictions, 4), gaussian(targets, 4)
    if target_area == 0:
        divergence = MOST
    else:
        inverse = np.linalg.inv(t)
        growth = max(area / target_area, 1 / MOST)
        divergence = 0.5 * ((n - m) @ inverse @ (n - m) + np.trace(inverse @ s) - 2) - np.log(growth)
    return 1 - 1 / (tau + np.log1p(divergence))


@oracle("nonnegative symmetric")
def kfiou(predictions, targets):
    (_, s, area), (_, t, target_area) = gaussian(predictions, 4), gaussian(targets, 4)
    if area == 0 or target_area == 0:
        return 1.0
    both = np.sqrt(np.linalg.det(s - s @ np.linalg.inv(s + t) @ s))
    return 1 - both / (np.sqrt(np.linalg.det(s)) + np.sqrt(np.linalg.det(t)) - both)


@oracle("nonnegative zero_at_match symmetric")
def probiou(predictions, targets):
    return np.sqrt(-np.expm1(-max(bhattacharyya(predictions, targets), 0.0)))


@oracle("nonnegative zero_at_match symmetric")
def bhattacharyya(predictions, targets):
    (m, s, area), (n, t, target_area) = gaussian(predictions, 12), gaussian(targets, 12)
    middle = (s + t) / 2
    flat = np.linalg.det(middle) <= 0
    apart = 0.0 if flat else (m - n) @ np.linalg.inv(middle) @ (m - n) / 8
    if area == 0 or target_area == 0:
        return apart + 0.5 * np.log1p(MOST)
    return apart + 0.5 * np.log(np.linalg.det(middle) * 144 / (area * target_area))
