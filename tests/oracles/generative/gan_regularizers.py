"""Statistics of features and scores, from the papers."""

import numpy as np

from tests.oracles import oracle
from tests.oracles.generative.gan import kept


@oracle("nonnegative convex", options=[{"p": 1}], frozen=True)
def mean_feature_matching(fake_features, real_features, fake_mask=None, real_mask=None, p=2, frozen=None):
    f, r = kept(fake_features, fake_mask), kept(frozen["real_features"], real_mask)
    if 0 in (len(f), len(r)):
        return 0.0
    gap = f.mean(0) - r.mean(0)
    return np.sum(gap**2) if p == 2 else np.mean(np.abs(gap))


@oracle("nonnegative convex", frozen=True)
def lecam_penalty(real_logits, fake_logits, real_average, fake_average, frozen=None):
    above, below = real_logits - frozen["fake_average"], frozen["real_average"] - fake_logits
    return max(0.0, above) ** 2 + max(0.0, below) ** 2
