#!/usr/bin/env bash
# speechbrain 1.1.2: the reduction "mean" of kldiv_loss, its default, is a sum as soon as label_smoothing is over 0, and length, which tells
# padding from speech, is not looked at any more.
#
# Guess: a smoothing of 1e-6 changes the loss in the sixth place: 1.4076 for two frames and for two hundred, and the same for the first half
#        of each utterance, length=0.5.
# Seen:  2.8152 and 281.52, with length=0.5, too; without smoothing all four are 1.4076. The learning rate is multiplied by the number of
#        frames in a batch, whatever the smoothing, and frames of padding are learned unless their label is pad_idx. That argument, 0
#        unless given, does nothing without smoothing; with it every frame of class 0 is dropped.
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
from speechbrain.nnet.losses import kldiv_loss  # noqa: E402

utterance = torch.tensor([[[1.0, 0, -1], [0, 2, 1]]]).log_softmax(-1)


def loss(smoothing, count, length, labels=(1, 2)):
    arrays = utterance.repeat(count, 1, 1), torch.tensor([labels]).repeat(count, 1)
    return round(float(kldiv_loss(*arrays, length=torch.full((count,), length), label_smoothing=smoothing)), 3)


plain, smooth = ([loss(s, count, length) for count in (1, 100) for length in (1.0, 0.5)] for s in (0.0, 1e-6))
zero = [loss(s, 1, 1.0, (1, 0)) for s in (0.0, 1e-6)]
print("speechbrain 1.1.2, torch", torch.__version__, "plain:", plain, "smoothed:", smooth, "with a frame of class 0:", zero)
assert plain == [1.408] * 4
assert smooth == [2.815, 2.815, 281.518, 281.518], "the mean of smoothed labels has changed"
assert zero == [1.908, 1.408], "what is done with class 0 has changed"
END
