#!/usr/bin/env bash
# google-metrax 0.2.4, jax 0.10.2: where the labels do not vary, RSQUARED is 1, which is perfect, whatever is predicted: an error divided by
# a spread of 0 is taken as 0.
#
# Guess: no better than the mean of the labels: 0, as in scikit-learn for wrong predictions, or nan, or -inf.
# Seen:  1 for predictions of 5, 6 and 500 where the labels are 5, and for a single example. If rounding leaves a spread, the score is
#        anything: errors of 1 have -1.6e9 with six labels of 0.1, and 6.7e8, more than perfect, with ten. Whoever keeps the best of several
#        models by it keeps the one that was evaluated on a constant target, or on one example.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install -q "jax==0.10.2" "jaxlib==0.10.2" "google-metrax==0.2.4" "scikit-learn==1.9.1"
cd "$work"
JAX_PLATFORMS=cpu "$work/env/bin/python" - <<'END'
import jax.numpy as jnp
import metrax
from sklearn.metrics import r2_score


def score(predictions, labels):
    return float(metrax.RSQUARED.from_model_output(jnp.array(predictions), jnp.array(labels)).compute())


fives = [5.0, 5.0, 5.0, 5.0]
found = {p: (score([p] * 4, fives), r2_score(fives, [p] * 4)) for p in (5.0, 6.0, 500.0)}
single, tenths = score([3.0], [5.0]), [score([1.1] * n, [0.1] * n) for n in (6, 10)]
varied = score([1.0, 2.0, 4.0], [1.0, 2.0, 3.0])
print("metrax and scikit-learn for labels of 5:", found, "one example:", single, "six and ten of 0.1:", tenths, "labels that vary:", varied)
assert round(varied, 4) == 0.5 and found[5.0] == (1, 1) and found[6.0][1] == found[500.0][1] == 0
assert found[6.0][0] == found[500.0][0] == single == 1, "labels that do not vary have changed"
assert tenths[0] < -1e6 and tenths[1] > 1e6, "the spread by rounding has changed"
END
