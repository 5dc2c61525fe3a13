#!/usr/bin/env bash
# piq 0.8.0: a flat image has no structure to compare, and what the metrics make of it differs: black is as good as grey, and perfect is
# infinite. Visual information fidelity and VSI, whose best value is 1, are 1 for a flat image of another brightness; HaarPSI of two black
# images is inf.
#
# Guess: black in the place of grey, or white in that of black, is far from perfect, as SSIM has it: 0.0004 and 0.0001. Two equal images
#        have 1.
# Seen:  vsi is 1 for each, and vif_p is 1 for white and for grey in the place of black, and 0 for black in that of grey. haarpsi is inf for
#        black and black, and 1 for grey and grey. One blank tile, or a padded one, makes the mean HaarPSI of a set inf, and rewards a VIF
#        loss whatever the model paints there.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install -q "torch==2.13.0" "numpy==2.4.6"
"$work/env/bin/pip" install -q --no-deps "piq==0.8.0" "scipy==1.17.1" requests tqdm urllib3 idna certifi charset-normalizer
cd "$work"
"$work/env/bin/python" -W ignore - <<'END'
import sys
from types import ModuleType, SimpleNamespace

import torch

# The metrics below need none of the networks of torchvision.
models = ModuleType("torchvision.models")
models.inception = SimpleNamespace(**{name: torch.nn.Module for name in ("InceptionA", "InceptionC", "InceptionE")})
for name in ("vgg16", "vgg19", "VGG16_Weights", "VGG19_Weights", "inception_v3"):
    setattr(models, name, None)
sys.modules["torchvision"] = ModuleType("torchvision")
sys.modules["torchvision"].models = sys.modules["torchvision.models"] = models
import piq  # noqa: E402

black, grey, white = (torch.full((1, 3, 64, 64), level) for level in (0.0, 0.5, 1.0))
pairs = {"black for grey": (black, grey), "grey for black": (grey, black), "white for black": (white, black)}
pairs |= {"black": (black, black.clone()), "grey": (grey, grey.clone())}
names = ("ssim", "vsi", "vif_p", "haarpsi")
found = {name: {pair: round(float(getattr(piq, name)(*images)), 4) for pair, images in pairs.items()} for name in names}
print("piq", piq.__version__, "torch", torch.__version__, found)
assert found["ssim"] == {"black for grey": 0.0004, "grey for black": 0.0004, "white for black": 0.0001, "black": 1, "grey": 1}
assert set(found["vsi"].values()) == {1}, "vsi has changed"
assert list(found["vif_p"].values())[:3] == [0, 1, 1], "vif_p has changed"
assert found["haarpsi"]["black"] == float("inf") and found["haarpsi"]["grey"] == 1, "haarpsi has changed"
END
