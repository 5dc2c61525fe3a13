#!/usr/bin/env bash
# fairlearn 0.15.0: in a group without a positive example the share of them that is found is taken as 0, so that a classifier without an error
# is as unfair as can be: the true positive rate divides 0 by 0.
#
# Guess: predictions that equal the labels have differences of 0 between groups and ratios of 1, whatever the labels are, or nan.
# Seen:  1 for equal_opportunity_difference and equalized_odds_difference, 0 for their ratios, if one group of three has no positive label. If
#        all is predicted positive and one group has no negative label, its false positive rate is 0 and equalized odds differ by 1, too. With
#        several sensitive features, whose combinations are small groups, such a group is soon there, and nothing warns.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install -q "numpy==2.4.6" "fairlearn==0.15.0"
cd "$work"
"$work/env/bin/python" - <<'END'
import fairlearn
import numpy as np
from fairlearn import metrics

groups = np.repeat(list("abc"), 4)
labels = np.array([0, 1, 0, 1, 1, 0, 1, 0, 0, 0, 0, 0])
full = np.where(groups == "c", [0, 1, 0, 1] * 3, labels)
names = ["equal_opportunity_difference", "equalized_odds_difference", "equal_opportunity_ratio", "equalized_odds_ratio"]


def scores(labels, predictions):
    return [round(float(getattr(metrics, name)(labels, predictions, sensitive_features=groups)), 4) for name in names]


found = {"all groups have both": scores(full, full), "one has no positive": scores(labels, labels)}
always = {"all groups have both": scores(1 - full, np.ones(12, int)), "one has no negative": scores(1 - labels, np.ones(12, int))}
rates = metrics.MetricFrame(metrics=metrics.true_positive_rate, y_true=labels, y_pred=labels, sensitive_features=groups).by_group
print("fairlearn", fairlearn.__version__, names, "perfect:", found, "always 1:", always, "rates:", rates.to_dict())
assert found["all groups have both"] == always["all groups have both"] == [0, 0, 1, 1]
assert found["one has no positive"] == [1, 1, 0, 0] and rates["c"] == 0, "groups without a positive example have changed"
assert always["one has no negative"] == [0, 1, 1, 0], "groups without a negative example have changed"
END
