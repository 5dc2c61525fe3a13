#!/usr/bin/env bash
# torcheval 0.0.7: multiclass_binned_auroc is not the area of each class against the rest: it sums hits over the classes of one example, and
# gives one number per example. multiclass_recall is inf where only one class occurs.
#
# Guess: with 1001 thresholds it equals multiclass_auroc: 1 for each of the three classes of the four examples below, which are ranked
#        perfectly. The recall of predictions that are all right is 1.
# Seen:  four numbers for three classes, (1, 0.5, 1, 1), and a mean of 0.875: whether the probability of the right class is over those of
#        the others in the same example. MulticlassBinnedAUROC has the same; binary_binned_auroc of each class is right. The macro and weighted
#        recall of four right predictions of class 0 among three classes is inf; precision is 1.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install -q "torch==2.13.0" numpy
"$work/env/bin/pip" install -q "torcheval==0.0.7"
cd "$work"
"$work/env/bin/python" -W ignore - <<'END'
import torch
import torcheval
from torcheval.metrics import MulticlassBinnedAUROC, functional

scores = torch.tensor([[0.7, 0.2, 0.1], [0.5, 0.3, 0.2], [0.1, 0.6, 0.3], [0.2, 0.1, 0.7]])
labels, few, bins = torch.tensor([0, 1, 1, 2]), torch.zeros(4, dtype=torch.long), 1001
metric = MulticlassBinnedAUROC(num_classes=3, threshold=bins, average=None)
metric.update(scores, labels)
found = {
    "exact": functional.multiclass_auroc(scores, labels, num_classes=3, average=None),
    "binned": functional.multiclass_binned_auroc(scores, labels, num_classes=3, threshold=bins, average=None)[0],
    "mean": functional.multiclass_binned_auroc(scores, labels, num_classes=3, threshold=bins)[0],
    "class": metric.compute()[0],
    "binary": [functional.binary_binned_auroc(scores[:, k], (labels == k).long(), threshold=bins)[0] for k in range(3)],
    "recall": [functional.multiclass_recall(few, few, num_classes=3, average=average) for average in ("micro", "macro", "weighted")],
    "precision": functional.multiclass_precision(few, few, num_classes=3, average="macro"),
}
found = {name: torch.as_tensor(value).tolist() for name, value in found.items()}
print("torcheval", torcheval.__version__, "torch", torch.__version__, found)
assert found["exact"] == found["binary"] == [1, 1, 1] and found["precision"] == found["recall"][0] == 1
assert found["binned"] == found["class"] == [1, 0.5, 1, 1] and found["mean"] == 0.875, "the binned area has changed"
assert found["recall"][1:] == [float("inf")] * 2, "the recall of one class has changed"
END
