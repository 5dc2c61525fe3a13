#!/usr/bin/env bash
# lightly 1.6.0, torch 2.13.0: EMPSSLLoss adds the coding rate of the embeddings, which the paper has maximised so that they spread, instead of
# taking it off: the loss is best where all embeddings are the same.
#
# Guess: two equal views of 64 embeddings that are spread over the sphere have a lower loss than two of 64 equal embeddings, as the similarity
#        of views, the other term, is 1 for both.
# Seen:  -192.99 for spread ones and -198.14 for equal ones. Gradient descent on unit vectors in eight dimensions brings all onto one line: the
#        mean squared cosine of two of them goes from 0.125 to 1. With the rate taken off, as in the paper, it goes to 0.111. The loss falls as
#        it should while the features of different images become one.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install -q "torch==2.13.0" "numpy==2.4.6"
"$work/env/bin/pip" install -q --no-deps "lightly==1.6.0"
cd "$work"
"$work/env/bin/python" - <<'END'
import importlib.metadata
import importlib.util
import sysconfig

import torch

# The file of the loss by itself, without the models of lightly, which need torchvision.
path = sysconfig.get_paths()["purelib"] + "/lightly/loss/emp_ssl_loss.py"
spec = importlib.util.spec_from_file_location("emp_ssl_loss", path)
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
loss, rate = module.EMPSSLLoss(), module.tcr_loss
unit = torch.nn.functional.normalize


def similarity(embeddings):
    """The mean squared cosine of two different embeddings: 1 on a line, 1/8 if they are spread in eight dimensions."""
    squares = (unit(embeddings, dim=1) @ unit(embeddings, dim=1).T) ** 2
    return float((squares.sum() - squares.trace()) / (len(squares) * (len(squares) - 1)))


def trained(function, steps=500):
    free = torch.randn(64, 8, generator=torch.Generator().manual_seed(0)).requires_grad_()
    optimizer = torch.optim.Adam([free], 0.02)
    for _ in range(steps):
        optimizer.zero_grad()
        function([unit(free, dim=1)] * 2).backward()
        optimizer.step()
    return round(similarity(free.detach()), 3)


spread = unit(torch.randn(64, 8, generator=torch.Generator().manual_seed(0)), dim=1)
equal = spread[:1].repeat(64, 1)
values = {name: round(float(loss([views] * 2)), 2) for name, views in {"spread": spread, "equal": equal}.items()}
similar = {
    "before": round(similarity(spread), 3),
    "their loss": trained(loss),
    "rate taken off": trained(lambda views: loss(views) - 2 * rate(torch.stack(views), eps=0.2)),
}
print("lightly", importlib.metadata.version("lightly"), "torch", torch.__version__, "losses:", values, "mean squared cosine:", similar)
assert abs(similar["rate taken off"] - 0.111) < 2e-3
assert values["equal"] < values["spread"] - 4, "the sign of the coding rate has changed"
assert similar["their loss"] > 0.99, "what is learnt has changed"
END
