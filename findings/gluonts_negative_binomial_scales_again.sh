#!/usr/bin/env bash
# gluonts 0.17.0, torch 2.13.0: NegativeBinomialOutput.distribution adds the logarithm of the scale to the logits that it is given, in place:
# each call with the same parameters is another distribution, and what the network returned is changed.
#
# Guess: two calls with the same parameters and scale give the same distribution: the mean 20 for a count of 2, logits of 0 and a scale of 10.
# Seen:  20, 200 and 2000. The loss of an outcome of 20 is 3.66, 6.38 and 10.79, so that a loss that is taken twice, or a loss and then a
#        forecast of the same parameters, are about different distributions. StudentTOutput has 20 each time.
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
from gluonts.torch.distributions import NegativeBinomialOutput, StudentTOutput

scale = torch.tensor([10.0])
counts = torch.tensor([2.0]), torch.tensor([0.0])
output = NegativeBinomialOutput()
means = [round(float(output.distribution(counts, scale=scale).mean), 1) for _ in range(3)]
after = float(counts[1])
again = torch.tensor([2.0]), torch.tensor([0.0])
losses = [round(float(output.loss(torch.tensor([20.0]), again, scale=scale)), 2) for _ in range(3)]
student = torch.tensor([5.0]), torch.tensor([2.0]), torch.tensor([1.0])
others = [float(StudentTOutput().distribution(student, scale=scale).mean) for _ in range(3)]
print("gluonts", gluonts.__version__, "torch", torch.__version__, "means:", means, "losses:", losses, "logits after:", after, "Student:", others)
assert others == [20, 20, 20]
assert means == [20, 200, 2000] and losses == [3.66, 6.38, 10.79] and after > 6.9, "the scale has changed"
END
