"""Differentiable losses for JAX under one contract: batched, masked, weighted, reduced, compiled."""

import typing as _typing

from jloss._core.catalogue import CATALOGUE as CATALOGUE
from jloss._core.catalogue import Entry as Entry
from jloss._core.catalogue import entry as entry
from jloss._core.checks import checks as checks
from jloss._core.exports import lazy_names as _lazy_names
from jloss._core.exports import source as _source
from jloss._core.loss import loss as loss
from jloss._core.reduction import reduce as reduce
from jloss._core.signature import Datum as Datum
from jloss._core.signature import OverClasses as OverClasses
from jloss._core.signature import PerClass as PerClass
from jloss._core.signature import Reduce as Reduce
from jloss._core.signature import Spatial as Spatial
from jloss._core.signature import SpatialOverClasses as SpatialOverClasses
from jloss._core.stateful import StatefulLoss as StatefulLoss

__version__: str  # of the package that is installed

if _typing.TYPE_CHECKING or not _source(__name__):  # only bytecode is installed: everything at once
    from jloss.audio import *
    from jloss.classification import *
    from jloss.distributions import *
    from jloss.generative import *
    from jloss.language import *
    from jloss.probabilistic import *
    from jloss.regression import *
    from jloss.regularization import confidence_penalty as confidence_penalty
    from jloss.regularization import elastic_net as elastic_net
    from jloss.regularization import entropy_penalty as entropy_penalty
    from jloss.regularization import gradient_penalty as gradient_penalty
    from jloss.regularization import group_lasso as group_lasso
    from jloss.regularization import jacobian_penalty as jacobian_penalty
    from jloss.regularization import l1 as l1
    from jloss.regularization import l2 as l2
    from jloss.regularization import orthogonal as orthogonal
    from jloss.regularization import spectral as spectral
    from jloss.regularization import total_variation_penalty as total_variation_penalty
    from jloss.reinforcement import *
    from jloss.representation import *
    from jloss.sequence import *
    from jloss.transforms import *
    from jloss.vision import *
if not _typing.TYPE_CHECKING:  # a family when one of its names is asked for
    __getattr__, __dir__ = _lazy_names(__name__)
