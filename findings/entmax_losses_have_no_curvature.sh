#!/usr/bin/env bash
# entmax 1.3: the gradient of its losses is written by hand and is a constant to torch: second derivatives are 0, without an error, and
# alpha, which may be a tensor, has no gradient.
#
# Guess: the second derivative of a Fenchel-Young loss is the derivative of its probabilities: for sparsemax 2/3 on the diagonal and -1/3
#        beside it for three classes in the support. alpha can be learned, as in entmax_bisect.
# Seen:  a matrix of zeros from torch.autograd.functional.hessian, for sparsemax_loss, entmax15_loss and entmax_bisect_loss, where the
#        Jacobians of sparsemax and entmax15 are right. Gradient penalties, Newton steps, influence functions and meta-learning leave this
#        loss out and do not say so. The gradient of alpha is None; from entmax_bisect and the formula it is -0.6174.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install -q "torch==2.13.0" "numpy==2.4.6" "entmax==1.3"
cd "$work"
"$work/env/bin/python" - <<'END'
import entmax
import torch
from torch.autograd.functional import hessian, jacobian

logits, target = torch.tensor([[0.3, 0.1, -0.2]]), torch.tensor([0])


def losses(alpha):
    """The loss of the package, and the same by its formula."""
    p = entmax.entmax_bisect(logits, alpha)
    formula = (1 - (p**alpha).sum()) / (alpha * (alpha - 1)) + (p * logits).sum() - logits[0, 0]
    return entmax.entmax_bisect_loss(logits, target, alpha).sum(), formula


functions = entmax.sparsemax_loss, entmax.entmax15_loss, entmax.entmax_bisect_loss
curvatures = {f.__name__: hessian(lambda x, f=f: f(x, target).sum(), logits).abs().max().item() for f in functions}
slopes = {p.__name__: round(jacobian(p, logits).max().item(), 4) for p in (entmax.sparsemax, entmax.entmax15)}
alpha = torch.tensor([[1.5]], requires_grad=True)
theirs, formula = losses(alpha)
(slope,) = torch.autograd.grad(formula, alpha)
logits.requires_grad_()
entmax.entmax_bisect_loss(logits, target, alpha).sum().backward()
print("largest second derivatives", curvatures, "largest slopes of the probabilities", slopes)
print("values", theirs.item(), formula.item(), "slopes in alpha", alpha.grad, slope.item())
assert slopes["sparsemax"] == 0.6667 and abs(theirs.item() - formula.item()) < 1e-6
assert set(curvatures.values()) == {0}, "second derivatives have changed"
assert alpha.grad is None and abs(slope.item()) > 0.1, "alpha has changed"
END
