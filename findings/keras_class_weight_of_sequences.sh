#!/usr/bin/env bash
# keras 3.15.1: class_weight with integer labels of shape (batch, time) takes the labels for one-hot rows: the class of an example is
# the argmax over its time axis.
#
# Guess: labels [[0, 1, 1], [2, 0, 0]] under weights {0: 5, 1: 7, 2: 9} give a weight per step, or an error.
# Seen:  one weight per sequence, [7, 5]: the weights of "classes" 1 and 0, the places of the largest labels.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install -q "keras==3.15.1" "jax==0.10.2" "jaxlib==0.10.2"
cd "$work"
KERAS_BACKEND=jax JAX_PLATFORMS=cpu "$work/env/bin/python" - <<'END'
import keras
import numpy as np
from keras.src.trainers.data_adapters.data_adapter_utils import class_weight_to_sample_weights

labels = np.array([[0, 1, 1], [2, 0, 0]])
weights = np.asarray(class_weight_to_sample_weights(labels, {0: 5.0, 1: 7.0, 2: 9.0}))
print("keras", keras.__version__, "weights", weights.tolist(), "shape", weights.shape)
assert weights.tolist() == [7.0, 5.0], "class_weight has changed"
END
