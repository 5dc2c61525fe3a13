#!/usr/bin/env bash
# torchmetrics 1.9.0: binary metrics take the sigmoid of the scores of a batch of which one is outside 0..1, also where only the order of the
# scores counts (in float32, where it makes large scores equal), and in the hinge loss.
#
# Guess: scores 20, 19, 18, 17 of examples 1, 1, 0, 0 are ranked perfectly: AUROC and average precision are 1. Scores 2 and -2 of examples
#        1 and 0 are beyond the margin: the hinge loss is 0.
# Seen:  both 0.5, the value of chance: all four are 1 after the sigmoid (scores 16 to 13 give 1). The hinge loss is 0.6192, and no score
#        brings it under 0.5 for a balanced batch. With thresholds given it is the same.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install -q "torch==2.13.0" numpy
"$work/env/bin/pip" install -q "torchmetrics==1.9.0"
cd "$work"
"$work/env/bin/python" - <<'END'
import torch
import torchmetrics
from torchmetrics.functional import classification

labels = torch.tensor([1, 1, 0, 0])


def ranked(*scores):
    scores = torch.tensor(scores)
    return [float(f(scores, labels)) for f in (classification.binary_auroc, classification.binary_average_precision)]


found = {
    "large": ranked(20.0, 19.0, 18.0, 17.0),
    "smaller": ranked(16.0, 15.0, 14.0, 13.0),
    "hinge": [round(float(classification.binary_hinge_loss(torch.tensor([s, -s]), torch.tensor([1, 0]))), 4) for s in (2.0, 100.0)],
}
print("torchmetrics", torchmetrics.__version__, "torch", torch.__version__, found)
assert found["smaller"] == [1, 1]
assert found["large"] == [0.5, 0.5], "ranking has changed"
assert found["hinge"] == [0.6192, 0.5], "the hinge loss has changed"
END
