#!/usr/bin/env bash
# entmax 1.3: its losses depend on a constant that is added to all logits, although by their formulas they do not: the logits are
# multiplied by probabilities before they are subtracted from each other. In bfloat16 the loss of ordinary logits is negative.
#
# Guess: the loss of (0.5, 0.375, 0.25) for the first class is 0.2240 for sparsemax and 0.4475 for 1.5-entmax, with 2**20 added, too, as all
#        six numbers are float32 numbers; a loss is 0 or more.
# Seen:  0.3021 and 0.5233 with 2**20 added; in bfloat16 -1.0156 for 1.5-entmax of (100.5, 100.375, 100.25), which bfloat16 rounds to 100.5,
#        100.5 and 100, and float32 gives 0.4422 for those. The gradient with 2**20 added is right, so that training goes on as it should,
#        but nothing keeps the logits of a model from drifting together, and the loss that is reported then tells where they have gone.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install -q "torch==2.13.0" "numpy==2.4.6" "entmax==1.3"
cd "$work"
"$work/env/bin/python" - <<'END'
import torch
from entmax import entmax15_loss, sparsemax_loss

first, target = torch.tensor([[0.5, 0.375, 0.25]]), torch.tensor([0])


def both(logits):
    return [round(loss(logits, target).item(), 4) for loss in (sparsemax_loss, entmax15_loss)]


def gradient(logits):
    logits = logits.clone().requires_grad_()
    entmax15_loss(logits, target).sum().backward()
    return logits.grad


rounded = (first + 100).bfloat16()
found = {"at 0": both(first), "at 2**20": both(first + 2**20), "bfloat16": both(rounded), "the same in float32": both(rounded.float())}
print("entmax 1.3, torch", torch.__version__, found)
assert torch.allclose(gradient(first), gradient(first + 2**20), atol=1e-3)
assert found["at 0"] == [0.224, 0.4475] and found["the same in float32"] == [0.25, 0.4422]
assert found["at 2**20"] == [0.3021, 0.5233], "large logits have changed"
assert found["bfloat16"][1] < -1, "bfloat16 has changed"
END
