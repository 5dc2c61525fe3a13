#!/usr/bin/env bash
# pytorch_toolbelt 0.8.0: CrossEntropyFocalLoss takes only its weight from a softmax; what it weighs is the sum of binary cross entropies of
# the logits. With reduced_threshold the weight is that of the hard examples turned round. Ignored pixels are in the sum that normalized=True
# divides by.
#
# Guess: with gamma=0 it is the cross entropy, 0.7887 for the two rows below, and the same with 100 added to all logits. A reduced focal loss
#        leaves hard examples as they are and makes easy ones smaller, as BinaryFocalLoss does with the same argument. What is ignored changes
#        nothing.
# Seen:  2.1333, and 200.5 with 100 added. An example that is right with a probability of 0.98 has 0.711 with reduced_threshold=0.5 and 0.0002
#        without it; one that is as wrong has 18.2 and 4.54. A batch with two ignored rows beside these two has 0.468 instead of 1.074.
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
from torch.nn import functional

# The losses need nothing of what reads and draws images: their folders are enough.
folder = importlib.util.find_spec("pytorch_toolbelt").submodule_search_locations[0]
for name, path in {"pytorch_toolbelt": "", "pytorch_toolbelt.utils": "/utils"}.items():
    sys.modules[name] = types.ModuleType(name)
    sys.modules[name].__path__ = [folder + path]
from pytorch_toolbelt.utils import support  # noqa: E402

sys.modules["pytorch_toolbelt.utils"].pytorch_toolbelt_deprecated = support.pytorch_toolbelt_deprecated
from pytorch_toolbelt.losses import BinaryFocalLoss, CrossEntropyFocalLoss  # noqa: E402

logits, labels = torch.tensor([[2.0, 0, -1], [0, 2, 1]]), torch.tensor([0, 2])
right_wrong, first = torch.tensor([[4.0, 0], [0, 4]]), torch.tensor([0, 0])
plain, summed = CrossEntropyFocalLoss(gamma=0.0), CrossEntropyFocalLoss(normalized=True, reduction="sum", ignore_index=9)
found = {
    "cross entropy": [functional.cross_entropy(logits + shift, labels) for shift in (0, 100)],
    "gamma=0": [plain(logits + shift, labels) for shift in (0, 100)],
    "focal": CrossEntropyFocalLoss(reduction="none")(right_wrong, first),
    "reduced": CrossEntropyFocalLoss(reduction="none", reduced_threshold=0.5)(right_wrong, first),
    "binary": BinaryFocalLoss(reduction="none", reduced_threshold=0.5)(torch.tensor([4.0, -4]), torch.ones(2)),
    "ignored": [summed(logits, labels), summed(logits.repeat(2, 1), torch.tensor([0, 2, 9, 9]))],
}
found = {name: torch.as_tensor(values).tolist() for name, values in found.items()}
print("pytorch_toolbelt", importlib.metadata.version("pytorch_toolbelt"), "torch", torch.__version__, found)
np.testing.assert_allclose(found["cross entropy"], 0.7887, atol=1e-3)
np.testing.assert_allclose(found["binary"], [2.35e-5, 4.0181], rtol=1e-2)
np.testing.assert_allclose(found["focal"], [0.00023, 4.5433], rtol=1e-2)
np.testing.assert_allclose(found["gamma=0"], [2.1333, 200.5], rtol=1e-3, err_msg="what is weighed has changed")
np.testing.assert_allclose(found["reduced"], [0.7113, 18.1734], rtol=1e-3, err_msg="the reduced weight has changed")
np.testing.assert_allclose(found["ignored"], [1.0735, 0.4684], rtol=1e-3, err_msg="what ignored rows do has changed")
END
