#!/usr/bin/env bash
# xgboost 3.2.0, lightgbm 4.7.0: weights that are the same for all examples change what reg:absoluteerror and quantile objectives learn: the
# leaves are quantiles, and the weighted quantile is not defined as the plain one is.
#
# Guess: a weight of 1, or of 2, for each example changes nothing, as for a squared error.
# Seen:  in xgboost the median of 0 and 10 is 5, and 0 with weights of 1; the quantile 0.8 of 1 to 5 is 4.8, and 4 with weights of 1, where
#        NumPy has 4.2. In lightgbm weights of 1 are as none, with weights of 2 the median is 0 there, too. A weighted fit moves for
#        this reason alone, most of all in small leaves, and in xgboost as soon as weights are given at all.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install -q "numpy==2.4.6" "scipy==1.17.1" "xgboost-cpu==3.2.0" "lightgbm==4.7.0"
cd "$work"
"$work/env/bin/python" - <<'END'
import lightgbm
import numpy as np
import xgboost


def xgb(targets, weight, objective, **options):
    """The one leaf of one round: no feature tells the examples apart."""
    features, targets = np.zeros((len(targets), 1)), np.array(targets, float)
    weights = None if weight is None else np.full(len(targets), float(weight))
    options |= {"objective": objective, "eta": 1, "lambda": 0, "min_child_weight": 0, "base_score": 0}
    model = xgboost.train(options, xgboost.DMatrix(features, targets, weight=weights), 1)
    return round(float(model.predict(xgboost.DMatrix(features))[0]), 4)


def lgb(targets, weight, objective):
    """The first of two equal leaves: each target comes once in each."""
    features, targets = np.tile([[0.0], [1.0]], (len(targets), 1)), np.repeat(np.array(targets, float), 2)
    weights = None if weight is None else np.full(len(targets), float(weight))
    options = {"objective": objective, "learning_rate": 1, "num_leaves": 2, "min_data_in_leaf": 1, "verbose": -1}
    model = lightgbm.train(options, lightgbm.Dataset(features, targets, weight=weights), 1)
    return round(float(model.predict(features)[0]), 4)


weights = (None, 1, 2)
found = {
    "xgboost, squares": [xgb([0, 10], w, "reg:squarederror") for w in weights],
    "xgboost, median": [xgb([0, 10], w, "reg:absoluteerror") for w in weights],
    "xgboost, 0.8": [xgb([1, 2, 3, 4, 5], w, "reg:quantileerror", quantile_alpha=0.8) for w in weights],
    "lightgbm, squares": [lgb([0, 10], w, "regression") for w in weights],
    "lightgbm, median": [lgb([0, 10], w, "regression_l1") for w in weights],
}
print("no weights, 1 and 2:", found)
assert found["xgboost, squares"] == found["lightgbm, squares"] == [5, 5, 5]
assert found["xgboost, median"] == [5, 0, 0] and found["xgboost, 0.8"] == [4.8, 4, 4], "xgboost has changed"
assert found["lightgbm, median"] == [5, 5, 0], "lightgbm has changed"
END
