#!/usr/bin/env bash
# keras-rs 0.4.0, keras 3.15.1 on JAX: shuffle_ties=False does nothing in the ranking metrics: ties are drawn by lot all the same, and the
# lot falls anew in each call.
#
# Guess: items of equal score keep their order, so that a relevant item that is the last of four has an nDCG of 0.4307 and a reciprocal rank
#        of 0.25, in each evaluation.
# Seen:  any of 0.4307, 0.5, 0.6309 and 1, and 1/4, 1/3, 1/2 and 1. What decides is whether there is a mask, and inside of the metrics there
#        always is one. Of a model whose scores are equal, or saturated, two evaluations differ.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install -q "jax==0.10.2" "jaxlib==0.10.2" "numpy==2.4.6" "keras==3.15.1"
"$work/env/bin/pip" install -q --no-deps "keras-rs==0.4.0"
cd "$work"
KERAS_BACKEND=jax JAX_PLATFORMS=cpu "$work/env/bin/python" -W ignore - <<'END'
import importlib.metadata

import keras
import keras_rs
import numpy as np

relevance, scores = np.array([[0.0, 0, 0, 1]], np.float32), np.zeros((1, 4), np.float32)


def values(metric, scores):
    return {round(float(metric(shuffle_ties=False, seed=seed)(relevance, scores)), 4) for seed in range(32)}


found = {name: values(getattr(keras_rs.metrics, name), scores) for name in ("NDCG", "MeanReciprocalRank")}
apart = {name: values(getattr(keras_rs.metrics, name), scores - np.arange(4, dtype=np.float32)) for name in found}
print("keras-rs", importlib.metadata.version("keras-rs"), "keras", keras.__version__, "ties", found, "no ties", apart)
assert apart == {"NDCG": {0.4307}, "MeanReciprocalRank": {0.25}}
assert found["NDCG"] == {0.4307, 0.5, 0.6309, 1} and found["MeanReciprocalRank"] == {0.25, 0.3333, 0.5, 1}, "shuffle_ties has changed"
END
