"""Losses of tokens, of preferences between responses, and of routers of experts.

Logits may be left out: `jloss.transforms.linear_head` takes hidden states and the vocabulary's matrix instead. Start with
`sequence_cross_entropy`, or `dpo` for preferences.
"""

from jloss.language.experts import load_balancing as load_balancing
from jloss.language.experts import router_entropy as router_entropy
from jloss.language.experts import router_z as router_z
from jloss.language.feedback import bco as bco
from jloss.language.feedback import kto as kto
from jloss.language.feedback import npo as npo
from jloss.language.feedback import sppo as sppo
from jloss.language.preference import aot as aot
from jloss.language.preference import apo as apo
from jloss.language.preference import bradley_terry as bradley_terry
from jloss.language.preference import cpo as cpo
from jloss.language.preference import dpo as dpo
from jloss.language.preference import dpop as dpop
from jloss.language.preference import f_dpo as f_dpo
from jloss.language.preference import nca as nca
from jloss.language.preference import orpo as orpo
from jloss.language.preference import simpo as simpo
from jloss.language.preference import slic as slic
from jloss.language.tokens import sequence_cross_entropy as sequence_cross_entropy
from jloss.language.tokens import sequence_log_prob as sequence_log_prob
from jloss.language.tokens import token_log_probs as token_log_probs
from jloss.language.tokens import unlikelihood as unlikelihood
