#!/usr/bin/env bash
# xgboost 3.2.0: in survival:cox a weight multiplies the gradient of its own example and nothing else: an example of weight 0 stays in the
# risk set of all others, and the metric cox-nloglik takes no notice of weights.
#
# Guess: as for every other objective there, a weight of 2 is the example twice, and one of weight 0 is not there.
# Seen:  with three examples of weight 1 and three of weight 0 the two leaves are at 6 and 0.678, 5.32 apart, without the three at 3 and
#        -0.706, 3.71 apart. cox-nloglik is 1.062 with weights of 1, of 1 and 5, and with the three of 0. For the squared, gamma and
#        Poisson losses a weight of 0 is as good as no example. Sampling weights, and folds made by weights of 0, do not work here.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install -q "numpy==2.4.6" "scipy==1.17.1" "xgboost-cpu==3.2.0"
cd "$work"
"$work/env/bin/python" - <<'END'
import numpy as np
import xgboost

features = np.array([[0.0], [1.0], [0.0], [1.0], [0.0], [1.0]])
times, weights = np.array([1.0, 2.0, 3.0, 4.0, 5.0, 6.0]), np.array([1.0, 1.0, 0.0, 1.0, 0.0, 0.0])
options = {"max_depth": 1, "eta": 1, "lambda": 0, "min_child_weight": 0, "base_score": 1, "tree_method": "exact"}


def leaves(objective, *data, **weight):
    model = xgboost.train(options | {"objective": objective}, xgboost.DMatrix(*data, **weight), 1)
    found = model.predict(xgboost.DMatrix(np.array([[0.0], [1.0]])), output_margin=True)
    return [round(float(x), 4) for x in found]


kept = weights > 0
found = {
    objective: [leaves(objective, features, times, weight=weights), leaves(objective, features[kept], times[kept])]
    for objective in ("reg:squarederror", "reg:gamma", "count:poisson", "survival:cox")
}
model = xgboost.train(options | {"objective": "survival:cox"}, xgboost.DMatrix(features, times), 1)
metrics = [model.eval(xgboost.DMatrix(features, times, weight=w)) for w in (None, weights, 1 + 4 * weights)]
print("xgboost", xgboost.__version__, "weights of 0, and without those:", found, "cox-nloglik:", metrics)
assert all(a == b for name, (a, b) in found.items() if name != "survival:cox")
assert found["survival:cox"] == [[6.0, 0.6782], [3.0, -0.7059]], "the gradient has changed"
assert metrics[0] == metrics[1] == metrics[2] and "nloglik:1.06" in metrics[0], "the metric has changed"
END
