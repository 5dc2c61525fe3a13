#!/usr/bin/env bash
# lightgbm 4.7.0: the area under the curve of a validation set of one class is 1, a perfect score, and so are the average precision and the
# nDCG of one without a positive example; auc_mu is nan as soon as a class is missing.
#
# Guess: nan, as from xgboost, or 0.5, and in all cases no better than a model that ranks well.
# Seen:  1 for targets that are all 0, or all 1, from the first round on, whatever the model: early stopping keeps the first tree, and the
#        mean over folds, sites or queries is the better the more of them have one class only. auc_mu of three classes, of which one is
#        missing, is nan, although the other two can be compared. The log loss is right.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install -q "lightgbm==4.7.0" "numpy==2.4.6" "scipy==1.17.1"
cd "$work"
"$work/env/bin/python" -W ignore - <<'END'
import lightgbm
import numpy as np

x = np.random.default_rng(0).normal(size=(200, 2))
y = (x[:, 0] > 0).astype(int)


def scores(objective, metrics, train, target, **options):
    groups = {"group": [200]} if objective == "lambdarank" else {}
    data = lightgbm.Dataset(x, train, **groups)
    valid = lightgbm.Dataset(x, target, **groups)
    found = {}
    parameters = {"objective": objective, "metric": metrics, "verbose": -1, "num_threads": 1, **options}
    lightgbm.train(parameters, data, 2, valid_sets=[valid], valid_names=["valid"], callbacks=[lightgbm.record_evaluation(found)])
    return {name: [round(float(value), 4) for value in values] for name, values in found["valid"].items()}


binary = {name: scores("binary", ["auc", "average_precision", "binary_logloss"], y, np.full(200, name)) for name in (0, 1)}
ranks = scores("lambdarank", ["ndcg"], y, np.zeros(200), eval_at=5)
three = np.digitize(x[:, 0], [-0.5, 0.5])
missing = scores("multiclass", ["auc_mu", "multi_error"], three, np.minimum(three, 1), num_class=3)
print("lightgbm", lightgbm.__version__, binary, ranks, missing)
assert binary[0]["auc"] == binary[1]["auc"] == [1, 1], "auc has changed"
assert binary[0]["average_precision"] == [1, 1] and ranks["ndcg@5"] == [1, 1], "average precision or nDCG has changed"
assert binary[0]["binary_logloss"][0] > 0.3 and np.isnan(missing["auc_mu"]).all() and missing["multi_error"][0] > 0, "auc_mu has changed"
END
