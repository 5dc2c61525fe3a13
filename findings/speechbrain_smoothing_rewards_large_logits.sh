#!/usr/bin/env bash
# speechbrain 1.1.2: label_smoothing in bce_loss takes the mean of the logits, times the smoothing, off the loss. It is the formula of nll_loss,
# whose predictions are logarithms of probabilities, and the mean over classes there is one over time here.
#
# Guess: labels of 0.95 and 0.05 for a smoothing of 0.1, so that the loss is positive and least at a finite logit, log(0.95 / 0.05) = 2.94:
#        0.1985 there, 0.5 at 10 and 5 at 100 for a label of 1.
# Seen:  0.62 at 0, -1 at 10 and -10 at 100: no end. At a label of 0, the loss at -100 is 10 for a prediction that is right, and its least value
#        is at a probability of 0.11. Of scores without a time axis two at 20 have -4 and four have -8: it is their sum there, so that the batch
#        size counts.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install -q "torch==2.13.0" numpy
"$work/env/bin/pip" install -q tqdm packaging hyperpyyaml scipy
"$work/env/bin/pip" install -q --no-deps "speechbrain==1.1.2"
cd "$work"
"$work/env/bin/python" - <<'END'
import importlib.util
import sys
import types

import torch

# The losses need nothing of what these packages load: their folders are enough. Nor is any sound read.
folder = importlib.util.find_spec("speechbrain").submodule_search_locations[0]
for name, path in {"speechbrain": "", "speechbrain.nnet": "/nnet", "speechbrain.decoders": "/decoders"}.items():
    sys.modules[name] = types.ModuleType(name)
    sys.modules[name].__path__ = [folder + path]
sys.modules["torchaudio"] = types.ModuleType("torchaudio")
sys.modules["torchaudio"].__version__ = "2"
from speechbrain.nnet.losses import bce_loss  # noqa: E402


def loss(logit, label, *shape, smoothing=0.1):
    return round(float(bce_loss(torch.full(shape, logit), torch.full(shape, label), label_smoothing=smoothing)), 4)


ones = [loss(logit, 1.0, 1, 4) for logit in (0.0, 10.0, 100.0)]
zeros = [loss(logit, 0.0, 1, 4) for logit in (-100.0, -2.0794, 0.0)]
flat = [loss(20.0, 1.0, count) for count in (1, 2, 4)]
plain = [loss(logit, 1.0, 1, 4, smoothing=0.0) for logit in (0.0, 10.0, 100.0)]
print("speechbrain 1.1.2, torch", torch.__version__, "label 1:", ones, "label 0:", zeros, "without time:", flat, "without smoothing:", plain)
assert plain == [0.6931, 0, 0]
assert ones == [0.6238, -1, -10] and zeros[0] == 10, "smoothing has changed"
assert flat == [-2, -4, -8], "smoothing of scores without a time axis has changed"
END
