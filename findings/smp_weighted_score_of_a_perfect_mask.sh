#!/usr/bin/env bash
# segmentation-models-pytorch 0.6.0: all metrics with class_weights are divided by the number of classes once more in the reductions "macro",
# "macro-imagewise" and "weighted-imagewise": weights that add up to 1 are multiplied in, and then the mean is taken.
#
# Guess: a mask that is predicted perfectly has the score 1 in every reduction, with every set of weights.
# Seen:  1 from "weighted", and 1/3 from the other three for three classes, with equal weights, too. "weighted-imagewise" cannot be had without
#        weights, so that an intersection over union of 0.33 is the best it has, and one of 20 classes cannot exceed 0.05. Without weights
#        "macro" is right.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install -q "torch==2.13.0" numpy
"$work/env/bin/pip" install -q --no-deps "segmentation-models-pytorch==0.6.0"
cd "$work"
"$work/env/bin/python" - <<'END'
import importlib.util
import sys
import types

import torch

# The metrics need nothing of what the package itself loads, models and data sets: its folder is enough.
folder = importlib.util.find_spec("segmentation_models_pytorch").submodule_search_locations
package = sys.modules["segmentation_models_pytorch"] = types.ModuleType("segmentation_models_pytorch")
package.__path__ = list(folder)
from segmentation_models_pytorch import metrics  # noqa: E402

mask = torch.tensor([[[0, 1], [2, 2]], [[2, 1], [0, 1]]])
counts = metrics.get_stats(mask, mask, "multiclass", num_classes=3)


def scores(weights, *reductions):
    return {name: round(float(metrics.iou_score(*counts, reduction=name, class_weights=weights)), 4) for name in reductions}


plain = scores(None, "micro", "macro", "macro-imagewise")
equal, skewed = (scores(w, "weighted", "macro", "macro-imagewise", "weighted-imagewise") for w in ([1.0, 1, 1], [0.2, 0.3, 0.5]))
print("segmentation-models-pytorch 0.6.0, torch", torch.__version__, "without weights", plain, "equal", equal, "skewed", skewed)
assert set(plain.values()) == {1.0}
for found in (equal, skewed):
    assert found.pop("weighted") == 1
    assert set(found.values()) == {0.3333}, "reductions with weights have changed"
END
