#!/usr/bin/env bash
# monai 1.6.1: in MaskedDiceLoss with to_onehot_y=True masked pixels are background in the target and nothing in the prediction: the mask
# multiplies the class numbers, and 0 is a class. FocalLoss with use_softmax=True is the mean over pixels and classes.
#
# Guess: a perfect prediction has the loss 0 with every mask. With gamma=0 the focal loss is the cross entropy.
# Seen:  0 without a mask and 0.3333 with half of the pixels masked, whatever is predicted there: one of three classes, the background, is
#        wholly missed. include_background=False, or a one-hot target, is right. The focal loss of three classes is a third, so that its
#        weight beside a Dice loss depends on their number.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install -q "torch==2.13.0" numpy
"$work/env/bin/pip" install -q "monai==1.6.1"
cd "$work"
"$work/env/bin/python" -W ignore - <<'END'
import monai
import torch
from monai import losses
from torch.nn import functional

labels, mask = torch.tensor([[[[1, 2, 1, 2]]]]), torch.tensor([[[[1.0, 1, 0, 0]]]])
onehot = functional.one_hot(labels[:, 0], 3).permute(0, 3, 1, 2).float()


def dice(mask, **options):
    return round(float(losses.MaskedDiceLoss(softmax=True, **options)(100 * onehot, onehot if not options else labels, mask=mask)), 4)


scores = torch.tensor([[1.0, 0, -1], [0, 2, 1]]).T[None, :, None]
classes = torch.tensor([[[[0, 2]]]])
found = {
    "no mask": dice(torch.ones_like(mask), to_onehot_y=True),
    "mask": dice(mask, to_onehot_y=True),
    "without background": dice(mask, to_onehot_y=True, include_background=False),
    "one-hot target": dice(mask),
    "focal": float(losses.FocalLoss(to_onehot_y=True, use_softmax=True, gamma=0.0)(scores, classes)),
    "cross entropy": float(functional.cross_entropy(scores, classes[:, 0])),
}
print("monai", monai.__version__, "torch", torch.__version__, found)
assert found["no mask"] == found["without background"] == found["one-hot target"] == 0
assert found["mask"] == 0.3333, "what masked pixels count for has changed"
assert abs(found["focal"] - found["cross entropy"] / 3) < 1e-6, "the mean of the focal loss has changed"
END
