"""Functions from losses to losses. What comes out keeps the contract: masks, weights, reductions, `axis_name`, jit, vmap, grad.

Some change the loss of one example (`tilted`, `tolerant`), others what is done with the losses of a batch (`regularized`,
`weighted_sum`). They compose in any order; the first kind acts below the second, so ``tilted(regularized(huber, l2))`` is
``regularized(tilted(huber), l2)``. Build a transformed loss once, outside of the training step: each one is compiled anew.
"""

from jloss.transforms.batches import hardest as hardest
from jloss.transforms.batches import regularized as regularized
from jloss.transforms.batches import trimmed as trimmed
from jloss.transforms.examples import matryoshka as matryoshka
from jloss.transforms.examples import mixture_invariant as mixture_invariant
from jloss.transforms.examples import permutation_invariant as permutation_invariant
from jloss.transforms.examples import symmetric as symmetric
from jloss.transforms.examples import tilted as tilted
from jloss.transforms.examples import tolerant as tolerant
from jloss.transforms.memory import chunked as chunked
from jloss.transforms.memory import linear_head as linear_head
from jloss.transforms.metrics import smoothed_metric as smoothed_metric
from jloss.transforms.several import deep_supervision as deep_supervision
from jloss.transforms.several import uncertainty_weighted as uncertainty_weighted
from jloss.transforms.several import weighted_sum as weighted_sum
