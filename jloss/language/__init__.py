"""Losses of tokens and of routers of experts.

Logits may be left out: `jloss.transforms.linear_head` takes hidden states and the vocabulary's matrix instead. Start with
`sequence_cross_entropy`.
"""

from jloss.language.experts import load_balancing as load_balancing
from jloss.language.experts import router_entropy as router_entropy
from jloss.language.experts import router_z as router_z
from jloss.language.tokens import sequence_cross_entropy as sequence_cross_entropy
from jloss.language.tokens import sequence_log_prob as sequence_log_prob
from jloss.language.tokens import token_log_probs as token_log_probs
from jloss.language.tokens import unlikelihood as unlikelihood
