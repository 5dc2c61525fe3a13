#!/usr/bin/env bash
# gluonts 0.17.0, torch 2.13.0: the ranked probability score of DiscreteDistribution, which DeepNPTS is trained with, is best for a forecast
# that is certain, whatever may happen: it weighs all its quantile losses alike, at levels that the forecast chooses itself.
#
# Guess: the score of a forecast is best, on average, if it is the distribution of the outcomes, and the worst that it can be for one that is
#        certain of an outcome that hardly comes.
# Seen:  outcomes of 0 to 4 with the probabilities 0.4, 0.3, 0.1, 0.1 and 0.1: 0.352 for these, 0.16 for nearly all of it on 2, and 0 for a
#        forecast that is certain of 4, as no loss of the level 1 is left above the outcome. A fit of five logits ends with 0.9996 on 2, which
#        comes once in ten: each loss is linear in the distribution function, which jumps from 0 to 1 where the mean, 1.2, is passed. The true
#        score, the sum of squares, is 0.7, 1.4 and 2.8 for the three. Sample paths of such a model have no spread.
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
from gluonts.torch.distributions import DiscreteDistribution

outcomes = torch.tensor([0.0, 0, 0, 0, 1, 1, 1, 2, 3, 4])[:, None]
values = torch.arange(5.0).repeat(10, 1)


def theirs(probabilities):
    return -DiscreteDistribution(values, probabilities.repeat(10, 1), validate_args=False).log_prob(outcomes).mean()


def squares(probabilities):
    return float(((probabilities.cumsum(0) - (outcomes <= torch.arange(5.0)).float()) ** 2).sum(1).mean())


forecasts = {
    "true": torch.tensor([0.4, 0.3, 0.1, 0.1, 0.1]),
    "nearly 2": torch.tensor([1e-6, 1e-6, 1 - 4e-6, 1e-6, 1e-6]),
    "certainly 4": torch.tensor([0.0, 0, 0, 0, 1]),
}
found = {name: [round(number, 3) for number in (float(theirs(p)), squares(p))] for name, p in forecasts.items()}
logits = torch.zeros(5, requires_grad=True)
optimizer = torch.optim.Adam([logits], 0.05)
for _ in range(2000):
    optimizer.zero_grad()
    theirs(logits.softmax(0)).backward()
    optimizer.step()
fitted = [round(number, 3) for number in logits.softmax(0).tolist()]
print("gluonts", gluonts.__version__, "torch", torch.__version__, "score and sum of squares:", found, "fitted:", fitted)
assert [pair[1] for pair in found.values()] == [0.7, 1.4, 2.8]
assert [pair[0] for pair in found.values()] == [0.352, 0.16, 0.0], "the score has changed"
assert fitted[2] > 0.999, "what is learnt has changed"
END
