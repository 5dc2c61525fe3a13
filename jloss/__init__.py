"""Differentiable losses for JAX under one contract: batched, masked, weighted, reduced, compiled."""

# core
from jloss._loss import CATALOGUE as CATALOGUE
from jloss._loss import Entry as Entry
from jloss._loss import OverClasses as OverClasses
from jloss._loss import PerClass as PerClass
from jloss._loss import Reduce as Reduce
from jloss._loss import Spatial as Spatial
from jloss._loss import SpatialOverClasses as SpatialOverClasses
from jloss._loss import StatefulLoss as StatefulLoss
from jloss._loss import entry as entry
from jloss._loss import loss as loss
from jloss._loss import reduce as reduce

# regression
from jloss.regression import huber as huber

# margin

# divergence

# classification
from jloss.classification import cross_entropy as cross_entropy

# boxes

# segmentation
from jloss.segmentation import dice as dice
from jloss.segmentation import focal_tversky as focal_tversky
from jloss.segmentation import jaccard as jaccard
from jloss.segmentation import tversky as tversky

# embedding

# contrastive

# language

# sequence
from jloss.sequence import ctc as ctc

# regularization

# transforms
