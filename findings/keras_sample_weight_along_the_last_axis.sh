#!/usr/bin/env bash
# keras 3.15.1 on JAX: sample_weight with one number per example goes along the last axis of a loss per step or pixel, and not along the
# batch, in losses; in metrics it goes along the batch. Where the sizes differ this is an error, where they are equal nobody notices.
#
# Guess: with weights (1, 0, 0) for three sequences of three steps the loss is that of the first sequence: fit and evaluate map them one to
#        one to samples, as they say, and a matrix of weights would be for steps.
# Seen:  that of the first step of each sequence: 5 for 0.5556, and evaluate shows the loss 5 beside a weighted metric of 1.6667, which is
#        3 * 0.5556. sample_weight of shape (3, 1) is right.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install -q "keras==3.15.1" "jax==0.10.2" "jaxlib==0.10.2"
cd "$work"
KERAS_BACKEND=jax JAX_PLATFORMS=cpu "$work/env/bin/python" - <<'END'
import keras
import numpy as np

predictions, targets = np.arange(9, dtype=np.float32).reshape(3, 3, 1), np.zeros((3, 3, 1), np.float32)
weights = np.array([1, 0, 0], np.float32)
loss, metric = keras.losses.MeanSquaredError(), keras.metrics.MeanSquaredError()
metric.update_state(targets, predictions, sample_weight=weights)
model = keras.Sequential([keras.Input((3, 1)), keras.layers.Rescaling(1.0)])
model.compile(optimizer="sgd", loss="mse", weighted_metrics=["mse"])
trained = model.evaluate(predictions, targets, sample_weight=weights, batch_size=3, verbose=0, return_dict=True)
found = {
    "loss": float(loss(targets, predictions, sample_weight=weights)),
    "loss of (3, 1)": float(loss(targets, predictions, sample_weight=weights[:, None])),
    "metric": float(metric.result()),
    "evaluate": [float(trained["loss"]), float(trained["mse"])],
    "first sequence": float((predictions[0] ** 2).sum() / 9),
    "first steps": float((predictions[:, 0] ** 2).sum() / 9),
}
try:
    loss(targets[:, :2], predictions[:, :2], sample_weight=weights)
except Exception as error:
    found["of two steps"] = type(error).__name__
print("keras", keras.__version__, found)
np.testing.assert_allclose([found["loss of (3, 1)"], found["metric"] / 3], found["first sequence"], rtol=1e-5)
assert found["first steps"] == 5 and "of two steps" in found
np.testing.assert_allclose([found["loss"], found["evaluate"][0]], 5, err_msg="keras has changed")
np.testing.assert_allclose(found["evaluate"][1], found["metric"], rtol=1e-5)
END
