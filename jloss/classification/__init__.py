"""Losses of scores for classes: one of k, several of k, ordered, rare, or wrongly labelled ones; and of a teacher's scores.

`logits` have the classes on their last axis, or where `axis` says; `labels` are class indices. Start with `cross_entropy`, and with
`sigmoid_cross_entropy` where several classes may hold.
"""

from jloss.classification.adaptive_softmax import adaptive_log_probs as adaptive_log_probs
from jloss.classification.adaptive_softmax import adaptive_log_softmax as adaptive_log_softmax
from jloss.classification.adaptive_softmax import init_adaptive_log_softmax as init_adaptive_log_softmax
from jloss.classification.entropy import binary_cross_entropy as binary_cross_entropy
from jloss.classification.entropy import brier as brier
from jloss.classification.entropy import cross_entropy as cross_entropy
from jloss.classification.entropy import log_loss as log_loss
from jloss.classification.entropy import multiclass_zero_one as multiclass_zero_one
from jloss.classification.entropy import nll as nll
from jloss.classification.entropy import poly1_cross_entropy as poly1_cross_entropy
from jloss.classification.entropy import sigmoid_cross_entropy as sigmoid_cross_entropy
from jloss.classification.entropy import sigmoid_focal as sigmoid_focal
from jloss.classification.entropy import soft_cross_entropy as soft_cross_entropy
from jloss.classification.entropy import softmax_focal as softmax_focal
from jloss.classification.entropy import zero_one as zero_one
from jloss.classification.long_tail import asymmetric as asymmetric
from jloss.classification.long_tail import class_balanced_weights as class_balanced_weights
from jloss.classification.long_tail import equalized_focal as equalized_focal
from jloss.classification.long_tail import ghm as ghm
from jloss.classification.long_tail import ldam as ldam
from jloss.classification.long_tail import ldam_margins as ldam_margins
from jloss.classification.long_tail import logit_adjusted as logit_adjusted
from jloss.classification.long_tail import seesaw as seesaw
from jloss.classification.margin import categorical_hinge as categorical_hinge
from jloss.classification.margin import exponential as exponential
from jloss.classification.margin import hinge as hinge
from jloss.classification.margin import hinge_embedding as hinge_embedding
from jloss.classification.margin import logistic as logistic
from jloss.classification.margin import margin_ranking as margin_ranking
from jloss.classification.margin import multi_margin as multi_margin
from jloss.classification.margin import multiclass_hinge as multiclass_hinge
from jloss.classification.margin import multiclass_perceptron as multiclass_perceptron
from jloss.classification.margin import multilabel_margin as multilabel_margin
from jloss.classification.margin import multilabel_soft_margin as multilabel_soft_margin
from jloss.classification.margin import perceptron as perceptron
from jloss.classification.margin import squared_hinge as squared_hinge
from jloss.classification.noise_robust import bi_tempered_logistic as bi_tempered_logistic
from jloss.classification.noise_robust import early_learning as early_learning
from jloss.classification.noise_robust import generalized_cross_entropy as generalized_cross_entropy
from jloss.classification.noise_robust import normalized_cross_entropy as normalized_cross_entropy
from jloss.classification.noise_robust import normalized_focal as normalized_focal
from jloss.classification.noise_robust import reverse_cross_entropy as reverse_cross_entropy
from jloss.classification.noise_robust import symmetric_cross_entropy as symmetric_cross_entropy
from jloss.classification.ordinal import coral as coral
from jloss.classification.ordinal import corn as corn
from jloss.classification.ordinal import squared_emd as squared_emd
from jloss.classification.sparse import entmax15 as entmax15
from jloss.classification.sparse import sparsemax as sparsemax
from jloss.classification.teachers import decoupled_distillation as decoupled_distillation
from jloss.classification.teachers import distillation as distillation
from jloss.classification.teachers import generalized_jsd as generalized_jsd
from jloss.classification.teachers import reverse_kl as reverse_kl
