#!/usr/bin/env bash
# allRank 1.4.3: what a query scores depends on the others in its batch. mrr gives 1 to a query without a relevant document, unless
# no query of the batch has one, and neuralNDCG with stochastic=True masks each query by the padding of another.
#
# Guess: the reciprocal rank of a query without a relevant document is 0, alone or not, and the loss of a batch is the mean of its queries' losses:
#        -0.7334 of -0.6061 and -0.8607, with stochastic=True and beta=0, which adds no noise, as with stochastic=False.
# Seen:  0 alone and 1 in a batch with another query, so that rare answers look like good ones; where relevance is graded it is the rank of
#        the best document, 1/3 where the first of three has relevance 1 and the last 2. -0.7805 with two samples: samples go through the
#        batch, padding is repeated query by query. With one sample, or queries of one length, it is right.
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
from allrank.models.losses import neuralNDCG  # noqa: E402
from allrank.models.metrics import mrr  # noqa: E402


def ranks(*relevance):
    return mrr(torch.tensor([[3.0, 2, 1]] * len(relevance)), torch.tensor(relevance))[:, 0].tolist()


scores, relevance = torch.tensor([[1.0, 2, 3, 0.5], [1, 0.5, 0, 0]]), torch.tensor([[2.0, 1, 0, 0], [1, 0, -1, -1]])


def ndcg(samples):
    options = {"stochastic": True, "beta": 0.0, "log_scores": False, "n_samples": samples} if samples else {}
    alone = [float(neuralNDCG(scores[k : k + 1], relevance[k : k + 1], **options)) for k in range(2)]
    return float(neuralNDCG(scores, relevance, **options)), alone


torch.manual_seed(0)
found = {
    "nothing": ranks([0.0, 0, 0]),
    "nothing beside another": ranks([0.0, 0, 1], [0.0, 0, 0]),
    "graded": ranks([1.0, 0, 2]),
    "ndcg": {samples: ndcg(samples) for samples in (0, 1, 2)},
}
print("allRank", importlib.metadata.version("allRank"), "torch", torch.__version__, found)
assert found["nothing"] == [0]
for samples, (_, alone) in found["ndcg"].items():
    np.testing.assert_allclose(alone, [-0.6061, -0.8607], rtol=1e-3)
np.testing.assert_allclose([found["ndcg"][samples][0] for samples in (0, 1)], -0.7334, rtol=1e-3)
np.testing.assert_allclose(found["nothing beside another"], [1 / 3, 1], rtol=1e-5, err_msg="mrr has changed")
np.testing.assert_allclose(found["graded"], 1 / 3, rtol=1e-5, err_msg="mrr has changed")
np.testing.assert_allclose(found["ndcg"][2][0], -0.7805, rtol=1e-3, err_msg="neuralNDCG has changed")
END
