#!/usr/bin/env bash
# pytorch_toolbelt 0.8.0: LovaszLoss takes logits by its argument's name, and in the README's sum of FocalLoss and LovaszLoss of one output, but
# uses them as probabilities. SoftF1Loss with ignore_index looks for that number among the zeros and ones of one-hot rows.
#
# Guess: logits of 10 and -10 that are all right have the loss 0, and better ones have less. ignore_index=c is the loss of the rows
#        whose class is not c: 0.8689 for the second row below, beside a first one of class 0 or of class 1.
# Seen:  9.5, and 99.5 for logits of 100: the least loss is where the right logit is 1 and the others are 0, probabilities of 0.58 of three
#        classes. With a softmax before it is 0. 0.2951 where class 0 is ignored, as only the probabilities of the right class are left, of both
#        rows; 1, the worst, where class 1 is, whatever was predicted, as only wrong classes are.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install -q "torch==2.13.0" numpy
"$work/env/bin/pip" install -q --no-deps "pytorch_toolbelt==0.8.0"
cd "$work"
"$work/env/bin/python" -W ignore - <<'END'
import importlib.metadata
import importlib.util
import sys
import types

import numpy as np
import torch

# The losses need nothing of what reads and draws images: their folders are enough.
folder = importlib.util.find_spec("pytorch_toolbelt").submodule_search_locations[0]
for name, path in {"pytorch_toolbelt": "", "pytorch_toolbelt.utils": "/utils"}.items():
    sys.modules[name] = types.ModuleType(name)
    sys.modules[name].__path__ = [folder + path]
from pytorch_toolbelt.utils import support  # noqa: E402

sys.modules["pytorch_toolbelt.utils"].pytorch_toolbelt_deprecated = support.pytorch_toolbelt_deprecated
from pytorch_toolbelt.losses import LovaszLoss, SoftF1Loss  # noqa: E402

right, pixels, lovasz = torch.tensor([[[[1.0, -1]], [[-1, 1]]]]), torch.tensor([[[0, 1]]]), LovaszLoss()
logits = torch.tensor([[2.0, 0, -1], [0, 2, 1]])
found = {
    "lovasz": [lovasz(scale * right, pixels) for scale in (10, 100)],
    "least": lovasz((right + 1) / 2, pixels),
    "softmax": lovasz((10 * right).softmax(1), pixels),
    "kept": SoftF1Loss()(logits[1:], torch.tensor([2])),
    "ignored": [SoftF1Loss(ignore_index=c)(logits, torch.tensor([c, 2])) for c in (0, 1)],
    "others": [SoftF1Loss(ignore_index=1)(torch.tensor(rows), torch.tensor([1, 2])) for rows in ([[0.0, 9, 0], [0, 0, 9]], [[9.0, 0, 0]] * 2)],
}
found = {name: torch.as_tensor(values).tolist() for name, values in found.items()}
print("pytorch_toolbelt", importlib.metadata.version("pytorch_toolbelt"), "torch", torch.__version__, found)
assert found["least"] == 0 and found["softmax"] < 1e-6
np.testing.assert_allclose(found["kept"], 0.8689, rtol=1e-3)
np.testing.assert_allclose(found["lovasz"], [9.5, 99.5], rtol=1e-5, err_msg="what LovaszLoss takes has changed")
np.testing.assert_allclose(found["ignored"], [0.2951, 1], rtol=1e-3, err_msg="what SoftF1Loss ignores has changed")
np.testing.assert_allclose(found["others"], 1, rtol=1e-5, err_msg="what SoftF1Loss ignores has changed")
END
