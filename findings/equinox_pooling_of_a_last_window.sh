#!/usr/bin/env bash
# equinox 0.13.8, jax 0.10.2: adaptive pooling of a length that is no multiple of its target cuts the input into parts of two lengths, instead of
# windows that overlap, and AvgPool with use_ceil divides a last, incomplete window by the size of a whole one.
#
# Guess: as torch 2.13.0, whose names and arguments these layers have: 1 to 7 in three windows are (2, 4, 6), in five (1.5, 2.5, 4, 5.5, 6.5),
#        and 1 to 6 by threes with stride 2 and ceil are (2, 4, 5.5).
# Seen:  (2, 4.5, 6.5), (1.5, 3.5, 5, 6, 7) and (2, 4, 3.667): of five parts the first two have two numbers and the others one, so that an image
#        is scaled unevenly. 1 to 6 in three are the same in both. A network that was trained in torch gives other numbers.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install -q "torch==2.13.0" numpy
"$work/env/bin/pip" install -q "jax==0.10.2" "jaxlib==0.10.2" "equinox==0.13.8"
cd "$work"
JAX_PLATFORMS=cpu "$work/env/bin/python" -W ignore - <<'END'
import equinox
import jax.numpy as jnp
import numpy as np
import torch
from torch import nn

layers = {
    "seven in three": (equinox.nn.AdaptiveAvgPool1d(3), nn.AdaptiveAvgPool1d(3), 7),
    "seven in five": (equinox.nn.AdaptiveAvgPool1d(5), nn.AdaptiveAvgPool1d(5), 7),
    "largest of five": (equinox.nn.AdaptiveMaxPool1d(5), nn.AdaptiveMaxPool1d(5), 7),
    "ceil": (equinox.nn.AvgPool1d(3, 2, use_ceil=True), nn.AvgPool1d(3, 2, ceil_mode=True), 6),
    "six in three": (equinox.nn.AdaptiveAvgPool1d(3), nn.AdaptiveAvgPool1d(3), 6),
    "padding": (equinox.nn.AvgPool1d(3, 2, padding=1), nn.AvgPool1d(3, 2, padding=1), 7),
}
found = {}
for name, (ours, theirs, size) in layers.items():
    numbers = np.arange(1.0, 1 + size, dtype=np.float32)[None]
    found[name] = np.asarray(ours(jnp.array(numbers)))[0].round(4).tolist(), theirs(torch.tensor(numbers))[0].numpy().round(4).tolist()
print("equinox", equinox.__version__, "torch", torch.__version__, "equinox, torch:", found)
assert found["six in three"] == ([1.5, 3.5, 5.5],) * 2 and found["padding"][0] == found["padding"][1]
wanted = {
    "seven in three": ([2, 4.5, 6.5], [2, 4, 6]),
    "seven in five": ([1.5, 3.5, 5, 6, 7], [1.5, 2.5, 4, 5.5, 6.5]),
    "largest of five": ([2, 4, 5, 6, 7], [2, 3, 5, 6, 7]),
    "ceil": ([2, 4, 3.6667], [2, 4, 5.5]),
}
for name, pair in wanted.items():
    np.testing.assert_allclose(found[name][0], pair[0], rtol=1e-4, err_msg=f"{name} has changed in equinox")
    np.testing.assert_allclose(found[name][1], pair[1], rtol=1e-4, err_msg=f"{name} has changed in torch")
END
