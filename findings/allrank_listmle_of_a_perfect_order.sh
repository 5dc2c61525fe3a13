#!/usr/bin/env bash
# allRank 1.4.3: listMLE of scores in the right order grows again once they are apart by more than 11.5: it adds 1e-10 inside of the
# logarithm, also for the last document, whose own term is the logarithm of a quotient of 1.
#
# Guess: log(1 + exp(-d)) for two documents in the right order, d apart: 0.3133, 4.5e-5, 2e-9, 9e-14 and 0 at 1, 10, 20, 30 and 100.
# Seen:  0.3133, 4.7e-5, 0.0474, 6.975 and 76.97. The gradient is reversed: at 30 it pushes the better document down with 0.9991. A list with
#        relevances of 4 to 0 and scores of 40 to 0 costs 24.0. So good models are pulled back, at a distance that depends on the scale of
#        the scores. In the wrong order, 30 apart, it is 30, as it should be.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install -q "torch==2.13.0" numpy
"$work/env/bin/pip" install -q --no-deps "allRank==1.4.3"
"$work/env/bin/pip" install -q scikit-learn
cd "$work"
"$work/env/bin/python" -W ignore - <<'END'
import importlib.metadata
import sys
import types

import numpy as np
import torch

# The losses need nothing of what reads files and images.
for name, parts in {"torchvision": ["transforms"], "torchvision.transforms": ["Compose"], "allrank.utils.file_utils": []}.items():
    sys.modules[name] = types.ModuleType(name)
    for part in [*parts, "open_local_or_gs", "is_gs_path", "copy_file_to_local"]:
        setattr(sys.modules[name], part, None)
from allrank.models.losses import listMLE  # noqa: E402


def loss(scores, relevance):
    scores = torch.tensor([scores], requires_grad=True)
    value = listMLE(scores, torch.tensor([relevance]))
    value.backward()
    return float(value), scores.grad[0].tolist()


distances = (1.0, 10.0, 20.0, 30.0, 100.0)
found = [loss([distance, 0.0], [1.0, 0.0]) for distance in distances]
long, wrong = loss([40.0, 30.0, 20.0, 10.0, 0.0], [4.0, 3.0, 2.0, 1.0, 0.0]), loss([0.0, 30.0], [1.0, 0.0])
print("allRank", importlib.metadata.version("allRank"), "torch", torch.__version__, dict(zip(distances, found)), "five:", long, "wrong:", wrong)
values, gradients = (np.array(column) for column in zip(*found))
np.testing.assert_allclose([values[0], wrong[0]], [0.3133, 30], rtol=1e-3)
np.testing.assert_allclose(gradients[0], [-0.2689, 0.2689], rtol=1e-3)
np.testing.assert_allclose(values[2:], [0.0474, 6.9751, 76.974], rtol=1e-3, err_msg="listMLE has changed")
np.testing.assert_allclose(gradients[3], [0.9991, -0.9991], rtol=1e-3, err_msg="listMLE has changed")
np.testing.assert_allclose(long[0], 23.9967, rtol=1e-3, err_msg="listMLE has changed")
END
