#!/usr/bin/env bash
# pyro-ppl 1.9.2, torch 2.13.0: ops.stats.weighed_quantile does not look at the weight of the smallest sample: the cumulative weights are
# stretched from theirs, not from 0, so that only the weights above it count.
#
# Guess: with weights of 0.98, 0.01 and 0.01 for the samples 0, 1 and 2 the median is 0, as of 98 zeros, a one and a two; and the median
#        of the negative samples is the negative of it.
# Seen:  1, as with equal weights, and as with a million times the weight on the first: a median where 1 percent of the mass lies. The other
#        way round, with 0.98 on the largest sample, it is 1.49. Quantiles of importance samples, whose weights are as uneven as that,
#        are wrong as soon as a heavy sample is the smallest. With equal weights it is the plain quantile.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install -q "torch==2.13.0" "numpy==2.4.6" "pyro-ppl==1.9.2"
cd "$work"
"$work/env/bin/python" - <<'END'
import numpy as np
import torch
from pyro.ops.stats import quantile, weighed_quantile

samples = torch.tensor([0.0, 1.0, 2.0])


def median(counts):
    return round(float(weighed_quantile(samples, [0.5], torch.tensor(counts).float().log(), 0)), 4)


def of_copies(counts):
    copies = np.repeat(samples.numpy(), counts)
    return float(np.median(copies)), float(quantile(torch.tensor(copies), 0.5))


cases = {"equal": [1, 1, 1], "smallest": [98, 1, 1], "all but nothing": [10**6, 1, 1], "largest": [1, 1, 98]}
found = {name: (median(counts), *of_copies(counts)) for name, counts in cases.items()}
print("torch", torch.__version__, "weighted medians, numpy's and pyro's of copies:", found)
assert found["equal"] == (1, 1, 1) and found["smallest"][1:] == found["all but nothing"][1:] == (0, 0) and found["largest"][1:] == (2, 2)
assert found["smallest"][0] == found["all but nothing"][0] == 1, "the smallest sample has changed"
assert found["largest"][0] == 1.4949, "the largest sample has changed"
END
