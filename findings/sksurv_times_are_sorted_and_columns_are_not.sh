#!/usr/bin/env bash
# scikit-survival 0.28.0: brier_score, integrated_brier_score and cumulative_dynamic_auc sort the times that they are given, and not the
# columns of the estimate that belong to them: with times that do not rise, each column is scored at another time.
#
# Guess: by the documentation column i of the estimate belongs to times[i]: the order does not matter, or times that do not rise are refused.
# Seen:  with the times 2 and 0.5, and the columns in that order, Brier scores of 0.348 and 0.251 for 0.182 and 0.127, an integral of 0.300 for
#        0.154 and dynamic areas of 0.787 and 0.159 for 0.213 and 0.841. as_integrated_brier_score_scorer asks its model at the times as they
#        are given, so that in a grid search it has 0.298 for 0.154. brier_score returns the times, in the order of its scores, and so shows
#        it.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install -q "numpy==2.4.6" "scikit-survival==0.28.0"
cd "$work"
"$work/env/bin/python" - <<'END'
import numpy as np
import sksurv
from sksurv.linear_model import CoxPHSurvivalAnalysis
from sksurv.metrics import as_integrated_brier_score_scorer, brier_score, cumulative_dynamic_auc, integrated_brier_score
from sksurv.util import Surv

rng = np.random.default_rng(0)
feature = rng.normal(size=(200, 1))
lifetimes, censored = rng.exponential(np.exp(-feature[:, 0])), rng.exponential(2, 200)
seen = Surv.from_arrays(lifetimes <= censored, np.minimum(lifetimes, censored))
rising, falling = np.array([0.5, 2.0]), np.array([2.0, 0.5])
model = CoxPHSurvivalAnalysis().fit(feature, seen)


def survival(times):
    return np.exp(-np.outer(np.exp(feature[:, 0]), times))


def risks(times):
    """Of late deaths by the feature, of early ones by minus the feature."""
    return np.where(times > 1, feature, -feature)


def rounded(numbers):
    return [round(float(number), 3) for number in np.atleast_1d(numbers)]


found = {}
for name, times in {"rising": rising, "falling": falling}.items():
    found[name] = {
        "Brier": rounded(brier_score(seen, seen, survival(times), times)[1]),
        "integrated": rounded(integrated_brier_score(seen, seen, survival(times), times)),
        "area": rounded(cumulative_dynamic_auc(seen, seen, risks(times), times)[0]),
        "scorer": rounded(as_integrated_brier_score_scorer(CoxPHSurvivalAnalysis(), times).fit(feature, seen).score(feature, seen)),
    }
print("scikit-survival", sksurv.__version__, found)
assert found["rising"] == {"Brier": [0.182, 0.127], "integrated": [0.154], "area": [0.213, 0.841], "scorer": [-0.154]}
assert found["falling"] == {"Brier": [0.348, 0.251], "integrated": [0.3], "area": [0.787, 0.159], "scorer": [-0.298]}, "falling times have changed"
END
