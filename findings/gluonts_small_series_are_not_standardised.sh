#!/usr/bin/env bash
# gluonts 0.17.0, torch 2.13.0: StdScaler divides by the root of the variance plus 1e-5, its minimum_scale, which by its documentation is the
# scale of what is constantly zero: a series with a deviation below 0.003 is not brought to one of 1.
#
# Guess: a series is scaled to a deviation of 1, whatever its unit, unless it is constant, whose scale is then 1e-5.
# Seen:  a deviation of 0.3 if it was 0.001, of 0.03 if it was 0.0001, and 0.95 for 0.01. The scale of a constant one is 0.00316. Daily returns
#        and shares, in units of 1, go into the network as if they hardly moved, and what it is to predict is as small. MeanScaler brings them
#        to 1.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install -q "torch==2.13.0" "numpy==2.4.6"
"$work/env/bin/pip" install -q "gluonts==0.17.0" "lightning==2.6.6" "scipy==1.17.1"
cd "$work"
"$work/env/bin/python" - <<'END'
import gluonts
import torch
from gluonts.torch.scaler import MeanScaler, StdScaler

torch.manual_seed(0)
noise = torch.randn(1, 1000)
noise = (noise - noise.mean()) / noise.std(correction=0)
seen = torch.ones_like(noise)
found = {deviation: round(float(StdScaler()(deviation * noise, seen)[0].std()), 3) for deviation in (1.0, 0.01, 0.001, 0.0001)}
constant = float(StdScaler()(torch.full((1, 10), 0.5), torch.ones(1, 10))[2])
mean = {deviation: round(float(MeanScaler()(deviation * noise, seen)[0].abs().mean()), 3) for deviation in (1.0, 0.0001)}
print("gluonts", gluonts.__version__, "torch", torch.__version__, "deviations:", found, "scale of a constant:", constant, "MeanScaler:", mean)
assert found[1.0] == 1 and set(mean.values()) == {1}
assert [found[key] for key in (0.01, 0.001, 0.0001)] == [0.954, 0.302, 0.032], "small deviations have changed"
assert abs(constant - 1e-5**0.5) < 1e-7, "the scale of constant series has changed"
END
