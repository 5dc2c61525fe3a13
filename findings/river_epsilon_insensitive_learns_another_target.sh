#!/usr/bin/env bash
# river 0.26.1: optim.losses.EpsilonInsensitiveHinge, a loss of regression by its class and its documentation, takes the targets for classes
# 0 and 1 and maps them to -1 and 1: the model learns 2y - 1 instead of y.
#
# Guess: a model with nothing but an intercept that sees targets of 10 ends at 10 or, within the tolerance of 0.1, just beside; the loss of
#        10 for 10 is 0.
# Seen:  it ends at 18.9, as with scikit-learn's loss of that name for targets of 19, and at -6.9 for targets of -3. The loss of 10 for
#        10 is 8.9, of 19 for 10 it is 0. Only a target of 1 is what it is. Absolute and Huber lead to 10. There is no error and no warning.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install -q "numpy==2.4.6" "scipy==1.17.1" "scikit-learn==1.9.1" "river==0.26.1"
cd "$work"
"$work/env/bin/python" - <<'END'
import numpy as np
from river import linear_model, optim
from sklearn.linear_model import SGDRegressor


def intercept(loss, target):
    model = linear_model.LinearRegression(loss=loss, intercept_lr=0.01)
    for _ in range(10_000):
        model.learn_one({}, target)
    return round(model.predict_one({}), 2)


def of_sklearn(target):
    options = {"loss": "epsilon_insensitive", "epsilon": 0.1, "learning_rate": "constant", "eta0": 0.01, "tol": None, "random_state": 0}
    model = SGDRegressor(max_iter=10_000, **options).fit(np.zeros((1, 1)), [target])
    return round(float(model.intercept_[0]), 2)


insensitive = optim.losses.EpsilonInsensitiveHinge()
found = {target: intercept(insensitive, target) for target in (10.0, -3.0, 1.0)}
others = [intercept(loss, 10.0) for loss in (optim.losses.Absolute(), optim.losses.Huber())]
peer = {target: of_sklearn(target) for target in (10.0, 19.0)}
values = [round(insensitive(10.0, prediction), 4) for prediction in (10.0, 19.0)]
print("intercepts for targets:", found, "Absolute and Huber:", others, "scikit-learn:", peer, "losses of 10 and 19 for 10:", values)
assert all(abs(x - 10) < 0.05 for x in others) and abs(peer[10.0] - 9.9) < 0.02 and found[1.0] == 0.9
assert found[10.0] == 18.9 and abs(peer[19.0] - 18.9) < 0.02 and abs(found[-3.0] + 6.9) < 0.02, "what is learnt has changed"
assert values == [8.9, 0], "the loss has changed"
END
