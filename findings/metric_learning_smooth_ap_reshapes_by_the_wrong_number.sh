#!/usr/bin/env bash
# pytorch-metric-learning 2.9.0: SmoothAPLoss cuts the batch into groups as if there were as many classes as examples of a class, and never
# looks at which label stands where: with 16 classes of 4 most of its "positives" are of other classes.
#
# Guess: embeddings that are the same within a class and orthogonal between classes have an average precision of 1, the loss 0, for any
#        number of classes, in any order, as the labels are an argument.
# Seen:  0 for 2 x 2, 3 x 3 and 4 x 4 in order of class. 0.1818 for 4 classes of 2, with a gradient of 1.4 that takes a perfect batch apart,
#        0.4 for 2 of 4 and 0.5217 for 16 of 4. The same 4 x 4 batch with its classes in turn has 0.6857, whatever the labels say.
#        FastAPLoss is 0 for all.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install -q "torch==2.13.0" "numpy==2.4.6" "scikit-learn==1.9.1" tqdm
"$work/env/bin/pip" install -q --no-deps "pytorch-metric-learning==2.9.0"
cd "$work"
"$work/env/bin/python" -W ignore - <<'END'
import pytorch_metric_learning
import torch
from pytorch_metric_learning import losses


def perfect(loss, classes, examples, in_turn=False):
    labels = torch.arange(classes).repeat(examples) if in_turn else torch.arange(classes).repeat_interleave(examples)
    embeddings = torch.eye(classes)[labels].requires_grad_()
    value = loss()(embeddings, labels)
    value.backward()
    return round(value.item(), 4), round(embeddings.grad.abs().max().item(), 2)


sizes = [(2, 2), (3, 3), (4, 4), (4, 2), (2, 4), (16, 4)]
found = {size: perfect(losses.SmoothAPLoss, *size) for size in sizes}
turned = perfect(losses.SmoothAPLoss, 4, 4, in_turn=True)
other = [perfect(losses.FastAPLoss, *size, in_turn=turn)[0] for size in sizes for turn in (False, True)]
print("pytorch-metric-learning", pytorch_metric_learning.__version__, "torch", torch.__version__, found, "in turn", turned, "FastAP", other)
assert all(abs(value) < 1e-5 for value in other) and all(found[n, n] == (0, 0) for n in (2, 3, 4))
assert found[4, 2][0] == 0.1818 and found[4, 2][1] > 1 and found[2, 4][0] == 0.4 and found[16, 4][0] == 0.5217, "SmoothAPLoss has changed"
assert turned[0] == 0.6857, "SmoothAPLoss has changed"
END
