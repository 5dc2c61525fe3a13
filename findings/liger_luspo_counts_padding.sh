#!/usr/bin/env bash
# liger-kernel 0.8.5: the loss "luspo" with its default, token-level ratio depends on what stands in the padding.
#
# Guess: responses of 3 tokens and of 1 with token losses (-1.2, -0.5, -1) and (2): the mean of the sums per response, (-2.7 + 2) / 2 = -0.35,
#        which TRL 1.16.0 gives, whose line it says it matches exactly.
# Seen:  -0.6833 with ratios of 1 in the two padded places, and 0.3167 with ratios of 4 there: lengths multiply, but nothing masks.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install -q "torch==2.13.0" numpy
"$work/env/bin/pip" install -q --no-deps "liger-kernel==0.8.5"
cd "$work"
"$work/env/bin/python" - <<'END'
import torch
from liger_kernel.chunked_loss.grpo_loss import LigerFusedLinearGRPOFunction

mask = torch.tensor([[1.0, 1, 1], [1, 0, 0]])
old = torch.full((2, 3), 0.25).log()


def loss(padding):
    ratios = torch.tensor([[1.5, 0.5, 1.0], [2.0, padding, padding]])
    options = {"old_per_token_logps": old, "beta": 0.0, "loss_type": "luspo"}
    return float(LigerFusedLinearGRPOFunction.ppo_loss_fn(old + ratios.log(), mask, torch.tensor([1.0, -1.0]), mask, **options)[0])


found = [round(loss(padding), 4) for padding in (1.0, 4.0)]
print("liger-kernel 0.8.5, torch", torch.__version__, "luspo with padding of ratio 1 and 4:", found, "without padding: -0.35")
assert found == [-0.6833, 0.3167], "what padding does has changed"
END
