#!/usr/bin/env bash
# keras 3.15.1 on JAX: the top-k accuracy of predictions that are all nan is 1. ops.in_top_k, and with it TopKCategoricalAccuracy and
# SparseTopKCategoricalAccuracy, counts the classes with a larger score, of which nan has none. On NumPy, too, classes of equal score are
# all among the first k, so that probabilities that have underflowed to 0 are hits.
#
# Guess: a model that has diverged to nan, and one that is sure of a wrong class, with 0 for the other 999, have the top-5 accuracy 0, or
#        about 5 / 1000.
# Seen:  1 for both on JAX; on NumPy nan has 0. The accuracy beside it is 0. Random logits with a deviation of 30 have 0.005 as logits, and
#        0.5 as float16 probabilities of mixed precision, where one that is 18 below the largest is 0. A constant prediction has 1, too.
#        Whoever keeps the weights of the best top-5 accuracy keeps the diverged ones.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install -q "keras==3.15.1" "numpy==2.4.6" "jax==0.10.2" "jaxlib==0.10.2"
cd "$work"
cat > accuracy.py <<'END'
import sys

import keras
import numpy as np

random = np.random.default_rng(0)
logits, labels = random.normal(0, 30, (2000, 1000)).astype(np.float32), random.integers(1, 1000, 2000)
sure = np.zeros((2000, 1000), np.float32)
sure[:, 0] = 1
half = keras.ops.convert_to_numpy(keras.ops.softmax(keras.ops.cast(logits, "float16")))
predictions = {"nan": np.full_like(sure, np.nan), "sure of a wrong class": sure, "logits": logits, "float16": half}
found = {}
for name, scores in predictions.items():
    metrics = keras.metrics.SparseTopKCategoricalAccuracy(k=5), keras.metrics.SparseCategoricalAccuracy()
    found[name] = []
    for metric in metrics:
        metric.update_state(labels, scores)
        found[name].append(round(float(metric.result()), 2))
print("keras", keras.__version__, "on", keras.backend.backend(), "top-5 accuracy and accuracy:", found)
assert found["nan"] == [float(sys.argv[1]), 0], "the top-k accuracy of nan has changed"
assert found["sure of a wrong class"] == [1, 0], "the top-k accuracy of equal scores has changed"
assert found["logits"][0] < 0.02 and found["float16"][0] > 0.4, "the top-k accuracy of float16 probabilities has changed"
END
KERAS_BACKEND=jax JAX_PLATFORMS=cpu "$work/env/bin/python" -W ignore accuracy.py 1
KERAS_BACKEND=numpy "$work/env/bin/python" -W ignore accuracy.py 0
