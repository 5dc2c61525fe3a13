#!/usr/bin/env bash
# auraloss 0.4.0: the spectral convergence of a batch is one quotient of two norms over all clips, not the mean of one quotient per clip,
# although its other terms and a reduction by the mean suggest that: quiet clips do not count.
#
# Guess: a loud clip that is right, 0, and one at 1 % of its level that is all wrong, 1.4065, have the mean 0.703.
# Seen:  0.0141, a hundredth of the second clip. STFTLoss of a stereo clip, and MultiResolutionSTFTLoss, do the same. The batch size and
#        what a clip happens to be drawn with change the gradient it gets by that factor, where the point of the quotient is that level does
#        not count.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install -q "torch==2.13.0" numpy
"$work/env/bin/pip" install -q --no-deps "auraloss==0.4.0"
cd "$work"
"$work/env/bin/python" -W ignore - <<'END'
import importlib.metadata
import importlib.util
import math
import sys
import types

import numpy as np
import torch

# The losses need nothing of what the package itself loads: its folder is enough.
folder = importlib.util.find_spec("auraloss").submodule_search_locations[0]
sys.modules["auraloss"] = types.ModuleType("auraloss")
sys.modules["auraloss"].__path__ = [folder]
from auraloss.freq import STFTLoss  # noqa: E402

time = torch.arange(4000) / 8000
tone, octave = (torch.sin(2 * math.pi * pitch * time)[None, None] for pitch in (440, 880))
loss = STFTLoss(w_log_mag=0.0)
alone = [float(loss(tone, tone)), float(loss(0.01 * octave, 0.01 * tone)), float(loss(octave, tone))]
batch = float(loss(torch.cat([tone, 0.01 * octave]), torch.cat([tone, 0.01 * tone])))
stereo = float(loss(torch.cat([tone, 0.01 * octave], 1), torch.cat([tone, 0.01 * tone], 1)))
print("auraloss", importlib.metadata.version("auraloss"), "torch", torch.__version__, "alone", alone, "batch", batch, "stereo", stereo)
np.testing.assert_allclose(alone, [0, 1.4065, 1.4065], rtol=1e-3, atol=1e-6)
np.testing.assert_allclose([batch, stereo], 0.0141, rtol=1e-2, err_msg="the convergence of a batch has changed")
END
