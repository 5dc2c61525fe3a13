#!/usr/bin/env bash
# segmentation-models-pytorch 0.6.0: of the losses that can be told that predictions are probabilities, from_logits=False, two are wrong about
# it with several classes: FocalLoss takes the sigmoid of their logarithms, p / (1 + p), and LovaszLoss their softmax.
#
# Guess: probabilities that are right and certain have the loss 0, as from DiceLoss, JaccardLoss and TverskyLoss with the same argument.
# Seen:  0.0578 and 0.4239 for one-hot predictions of three classes that are all right: no prediction can do better, and half a focal loss
#        is about a certainty of 1 that counts as 1/2. In binary mode FocalLoss is right, and LovaszLoss has 0.5, as it takes probabilities
#        for logits: for it a pixel is right only from 1 on, and one of background from -1 down, which no probability is.
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

# The losses need nothing of what the package itself loads, models and data sets: its folder is enough.
folder = importlib.util.find_spec("segmentation_models_pytorch").submodule_search_locations
package = sys.modules["segmentation_models_pytorch"] = types.ModuleType("segmentation_models_pytorch")
package.__path__ = list(folder)
from segmentation_models_pytorch import losses  # noqa: E402

classes, binary = torch.tensor([[[0, 1, 2]]]), torch.tensor([[[[1.0, 0.0]]]])
onehot = torch.eye(3)[None, :, None, :]
names = ("DiceLoss", "JaccardLoss", "TverskyLoss", "FocalLoss", "LovaszLoss")
found = {}
for name in names:
    pair = [getattr(losses, name)(mode, from_logits=False) for mode in ("multiclass", "binary")]
    found[name] = [round(float(pair[0](onehot.clone(), classes)), 4), round(float(pair[1](binary.clone(), binary)), 4)]
print("segmentation-models-pytorch 0.6.0, torch", torch.__version__, "several classes, one:", found)
assert all(found[name] == [0, 0] for name in names[:3])
assert found["FocalLoss"] == [0.0578, 0] and found["LovaszLoss"] == [0.4239, 0.5], "what probabilities are taken for has changed"
END
