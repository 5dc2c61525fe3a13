"""Losses of agents: policies and values, with the returns and advantages that both learn from.

An example is a step, or a sequence of steps (`grpo`, `td_lambda`). What comes from the past or from another network (old, reference,
next, selector), and advantages, rewards, returns, discounts and targets have no gradient. A discount is 0 at the end of an episode; what
is stored behind it does not matter. A mask drops steps from the mean. Start with `ppo_clip` for a policy, `grpo` for a language model,
`q_learning` for values of actions.
"""

from jloss.reinforcement.distributional import categorical_projection as categorical_projection
from jloss.reinforcement.distributional import categorical_td as categorical_td
from jloss.reinforcement.distributional import hl_gauss as hl_gauss
from jloss.reinforcement.distributional import quantile_td as quantile_td
from jloss.reinforcement.distributional import two_hot as two_hot
from jloss.reinforcement.policy import awr as awr
from jloss.reinforcement.policy import cispo as cispo
from jloss.reinforcement.policy import gmpo as gmpo
from jloss.reinforcement.policy import grpo as grpo
from jloss.reinforcement.policy import kl_estimate as kl_estimate
from jloss.reinforcement.policy import ppo_clip as ppo_clip
from jloss.reinforcement.policy import ppo_value as ppo_value
from jloss.reinforcement.policy import reinforce as reinforce
from jloss.reinforcement.policy import sac_policy as sac_policy
from jloss.reinforcement.policy import sac_temperature as sac_temperature
from jloss.reinforcement.policy import sapo as sapo
from jloss.reinforcement.returns import gae as gae
from jloss.reinforcement.returns import group_advantages as group_advantages
from jloss.reinforcement.returns import lambda_returns as lambda_returns
from jloss.reinforcement.returns import n_step_returns as n_step_returns
from jloss.reinforcement.returns import vtrace_targets as vtrace_targets
from jloss.reinforcement.value import expected_sarsa as expected_sarsa
from jloss.reinforcement.value import munchausen as munchausen
from jloss.reinforcement.value import q_learning as q_learning
from jloss.reinforcement.value import retrace as retrace
from jloss.reinforcement.value import sarsa as sarsa
from jloss.reinforcement.value import td_lambda as td_lambda
from jloss.reinforcement.value import td_learning as td_learning
from jloss.reinforcement.value import vtrace as vtrace
