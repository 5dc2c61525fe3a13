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
from jloss.regression import absolute_error as absolute_error
from jloss.regression import squared_error as squared_error
from jloss.regression import huber as huber
from jloss.regression import smooth_l1 as smooth_l1
from jloss.regression import pseudo_huber as pseudo_huber
from jloss.regression import charbonnier as charbonnier
from jloss.regression import log_cosh as log_cosh
from jloss.regression import quantile as quantile
from jloss.regression import expectile as expectile
from jloss.regression import squared_log_error as squared_log_error
from jloss.regression import absolute_percentage_error as absolute_percentage_error
from jloss.regression import symmetric_absolute_percentage_error as symmetric_absolute_percentage_error
from jloss.regression import epsilon_insensitive as epsilon_insensitive
from jloss.regression import squared_epsilon_insensitive as squared_epsilon_insensitive
from jloss.regression import linex as linex
from jloss.regression import bias_error as bias_error

# robust
from jloss.robust import general_robust as general_robust
from jloss.robust import cauchy as cauchy
from jloss.robust import geman_mcclure as geman_mcclure
from jloss.robust import welsch as welsch
from jloss.robust import tukey_biweight as tukey_biweight

# likelihood
from jloss.likelihood import poisson_nll as poisson_nll
from jloss.likelihood import gaussian_nll as gaussian_nll
from jloss.likelihood import gamma_nll as gamma_nll
from jloss.likelihood import tweedie_deviance as tweedie_deviance

# margin
from jloss.margin import hinge as hinge
from jloss.margin import squared_hinge as squared_hinge
from jloss.margin import perceptron as perceptron
from jloss.margin import exponential as exponential
from jloss.margin import logistic as logistic
from jloss.margin import multiclass_hinge as multiclass_hinge
from jloss.margin import multiclass_perceptron as multiclass_perceptron
from jloss.margin import categorical_hinge as categorical_hinge
from jloss.margin import multi_margin as multi_margin
from jloss.margin import multilabel_margin as multilabel_margin
from jloss.margin import multilabel_soft_margin as multilabel_soft_margin
from jloss.margin import margin_ranking as margin_ranking
from jloss.margin import hinge_embedding as hinge_embedding

# divergence
from jloss.divergence import kl_divergence as kl_divergence
from jloss.divergence import kl_divergence_with_log_targets as kl_divergence_with_log_targets
from jloss.divergence import reverse_kl_divergence as reverse_kl_divergence
from jloss.divergence import generalized_kl_divergence as generalized_kl_divergence
from jloss.divergence import js_divergence as js_divergence
from jloss.divergence import renyi_divergence as renyi_divergence
from jloss.divergence import alpha_divergence as alpha_divergence
from jloss.divergence import hellinger as hellinger
from jloss.divergence import total_variation as total_variation
from jloss.divergence import chi_squared as chi_squared
from jloss.divergence import itakura_saito as itakura_saito
from jloss.divergence import wasserstein_1d as wasserstein_1d

# classification
from jloss.classification import binary_cross_entropy as binary_cross_entropy
from jloss.classification import brier as brier
from jloss.classification import cross_entropy as cross_entropy
from jloss.classification import log_loss as log_loss
from jloss.classification import multiclass_zero_one as multiclass_zero_one
from jloss.classification import nll as nll
from jloss.classification import poly1_cross_entropy as poly1_cross_entropy
from jloss.classification import sigmoid_cross_entropy as sigmoid_cross_entropy
from jloss.classification import sigmoid_focal as sigmoid_focal
from jloss.classification import soft_cross_entropy as soft_cross_entropy
from jloss.classification import softmax_focal as softmax_focal
from jloss.classification import zero_one as zero_one
from jloss.adaptive_softmax import adaptive_log_probs as adaptive_log_probs
from jloss.adaptive_softmax import adaptive_log_softmax as adaptive_log_softmax
from jloss.adaptive_softmax import init_adaptive_log_softmax as init_adaptive_log_softmax
from jloss.long_tail import asymmetric as asymmetric
from jloss.long_tail import class_balanced_weights as class_balanced_weights
from jloss.long_tail import equalized_focal as equalized_focal
from jloss.long_tail import ghm as ghm
from jloss.long_tail import ldam as ldam
from jloss.long_tail import ldam_margins as ldam_margins
from jloss.long_tail import logit_adjusted as logit_adjusted
from jloss.long_tail import seesaw as seesaw
from jloss.noise_robust import bi_tempered_logistic as bi_tempered_logistic
from jloss.noise_robust import early_learning as early_learning
from jloss.noise_robust import generalized_cross_entropy as generalized_cross_entropy
from jloss.noise_robust import normalized_cross_entropy as normalized_cross_entropy
from jloss.noise_robust import normalized_focal as normalized_focal
from jloss.noise_robust import reverse_cross_entropy as reverse_cross_entropy
from jloss.noise_robust import symmetric_cross_entropy as symmetric_cross_entropy
from jloss.ordinal import coral as coral
from jloss.ordinal import corn as corn
from jloss.ordinal import squared_emd as squared_emd
from jloss.sparse import entmax15 as entmax15
from jloss.sparse import sparsemax as sparsemax

# boxes
from jloss.boxes import ciou as ciou
from jloss.boxes import diou as diou
from jloss.boxes import eiou as eiou
from jloss.boxes import from_center_size as from_center_size
from jloss.boxes import giou as giou
from jloss.boxes import inner_iou as inner_iou
from jloss.boxes import iou as iou
from jloss.boxes import log_iou as log_iou
from jloss.boxes import mpdiou as mpdiou
from jloss.boxes import nwd as nwd
from jloss.boxes import pairwise_iou as pairwise_iou
from jloss.boxes import shape_iou as shape_iou
from jloss.boxes import siou as siou
from jloss.boxes import to_center_size as to_center_size
from jloss.focusing import alpha_iou as alpha_iou
from jloss.focusing import focal_eiou as focal_eiou
from jloss.focusing import wiou_v1 as wiou_v1
from jloss.focusing import wiou_v2 as wiou_v2
from jloss.focusing import wiou_v3 as wiou_v3
from jloss.rotated import bhattacharyya as bhattacharyya
from jloss.rotated import gwd as gwd
from jloss.rotated import kfiou as kfiou
from jloss.rotated import probiou as probiou
from jloss.rotated import rotated_kld as rotated_kld
from jloss.detection import detr as detr
from jloss.detection import distribution_focal as distribution_focal
from jloss.detection import match as match
from jloss.detection import quality_focal as quality_focal
from jloss.detection import varifocal as varifocal

# segmentation
from jloss.segmentation import combo as combo
from jloss.segmentation import dice as dice
from jloss.segmentation import focal_tversky as focal_tversky
from jloss.segmentation import generalized_dice as generalized_dice
from jloss.segmentation import jaccard as jaccard
from jloss.segmentation import log_cosh_dice as log_cosh_dice
from jloss.segmentation import log_dice as log_dice
from jloss.segmentation import mcc as mcc
from jloss.segmentation import tversky as tversky
from jloss.segmentation import unified_focal as unified_focal
from jloss.segmentation import wasserstein_dice as wasserstein_dice
from jloss.surface import boundary as boundary
from jloss.surface import cldice as cldice
from jloss.surface import distance_map as distance_map
from jloss.surface import hausdorff_dt as hausdorff_dt
from jloss.surface import hausdorff_er as hausdorff_er
from jloss.surface import lovasz_hinge as lovasz_hinge
from jloss.surface import lovasz_softmax as lovasz_softmax

# embedding
from jloss.embedding import batch_all_triplet as batch_all_triplet
from jloss.embedding import batch_hard_triplet as batch_hard_triplet
from jloss.embedding import batch_semi_hard_triplet as batch_semi_hard_triplet
from jloss.embedding import contrastive_pair as contrastive_pair
from jloss.embedding import cosine_distance as cosine_distance
from jloss.embedding import cosine_embedding as cosine_embedding
from jloss.embedding import squared_euclidean as squared_euclidean
from jloss.embedding import triplet_margin as triplet_margin

# similarity
from jloss.similarity import angular as angular
from jloss.similarity import circle as circle
from jloss.similarity import fast_ap as fast_ap
from jloss.similarity import histogram as histogram
from jloss.similarity import lifted_structure as lifted_structure
from jloss.similarity import multi_similarity as multi_similarity
from jloss.similarity import n_pairs as n_pairs
from jloss.similarity import pair_margin as pair_margin
from jloss.similarity import ranked_list as ranked_list
from jloss.similarity import tuplet_margin as tuplet_margin

# prototypes
from jloss.prototypes import arcface as arcface
from jloss.prototypes import center as center
from jloss.prototypes import cosface as cosface
from jloss.prototypes import normalized_softmax as normalized_softmax
from jloss.prototypes import proxy_anchor as proxy_anchor
from jloss.prototypes import proxy_nca as proxy_nca
from jloss.prototypes import soft_triple as soft_triple
from jloss.prototypes import soft_triple_regularizer as soft_triple_regularizer
from jloss.prototypes import sphereface as sphereface
from jloss.prototypes import subcenter_arcface as subcenter_arcface

# language
from jloss.language import load_balancing as load_balancing
from jloss.language import router_entropy as router_entropy
from jloss.language import router_z as router_z
from jloss.language import sequence_cross_entropy as sequence_cross_entropy
from jloss.language import sequence_log_prob as sequence_log_prob
from jloss.language import token_log_probs as token_log_probs
from jloss.language import unlikelihood as unlikelihood

# distillation
from jloss.distillation import decoupled_distillation as decoupled_distillation
from jloss.distillation import distillation as distillation
from jloss.distillation import generalized_jsd as generalized_jsd
from jloss.distillation import reverse_kl as reverse_kl

# sequence
from jloss.alignment import smith_waterman as smith_waterman
from jloss.alignment import soft_dtw as soft_dtw
from jloss.alignment import soft_dtw_alignment as soft_dtw_alignment
from jloss.alignment import soft_dtw_divergence as soft_dtw_divergence
from jloss.crf import crf as crf
from jloss.crf import crf_decode as crf_decode
from jloss.crf import crf_marginals as crf_marginals
from jloss.sequence import ctc as ctc
from jloss.sequence import ctc_alignment as ctc_alignment
from jloss.sequence import ctc_greedy_decode as ctc_greedy_decode
from jloss.transducer import rnnt as rnnt
from jloss.transducer import rnnt_lattice as rnnt_lattice
from jloss.transducer import rnnt_prune as rnnt_prune
from jloss.transducer import rnnt_pruned as rnnt_pruned
from jloss.transducer import rnnt_ranges as rnnt_ranges
from jloss.transducer import rnnt_simple as rnnt_simple

# contrastive (behind sequence: the loss `alignment` keeps its name from the module `alignment`)
from jloss.contrastive import alignment as alignment
from jloss.contrastive import clip as clip
from jloss.contrastive import decoupled_contrastive as decoupled_contrastive
from jloss.contrastive import info_nce as info_nce
from jloss.contrastive import matryoshka as matryoshka
from jloss.contrastive import nt_xent as nt_xent
from jloss.contrastive import siglip as siglip
from jloss.contrastive import supervised_contrastive as supervised_contrastive
from jloss.contrastive import uniformity as uniformity

# self-distillation
from jloss.self_distillation import barlow_twins as barlow_twins
from jloss.self_distillation import byol as byol
from jloss.self_distillation import dino as dino
from jloss.self_distillation import ibot as ibot
from jloss.self_distillation import koleo as koleo
from jloss.self_distillation import sigreg as sigreg
from jloss.self_distillation import simsiam as simsiam
from jloss.self_distillation import swav as swav
from jloss.self_distillation import vicreg as vicreg

# regularization
from jloss.regularization import l1 as l1
from jloss.regularization import l2 as l2
from jloss.regularization import elastic_net as elastic_net
from jloss.regularization import group_lasso as group_lasso
from jloss.regularization import orthogonal as orthogonal
from jloss.regularization import spectral as spectral
from jloss.regularization import jacobian_penalty as jacobian_penalty
from jloss.regularization import gradient_penalty as gradient_penalty
from jloss.regularization import entropy_penalty as entropy_penalty
from jloss.regularization import confidence_penalty as confidence_penalty
from jloss.regularization import total_variation_penalty as total_variation_penalty

# transforms
from jloss.transforms import chunked as chunked
from jloss.transforms import deep_supervision as deep_supervision
from jloss.transforms import hardest as hardest
from jloss.transforms import linear_head as linear_head
from jloss.transforms import permutation_invariant as permutation_invariant
from jloss.transforms import regularized as regularized
from jloss.transforms import smoothed_metric as smoothed_metric
from jloss.transforms import symmetric as symmetric
from jloss.transforms import tilted as tilted
from jloss.transforms import tolerant as tolerant
from jloss.transforms import trimmed as trimmed
from jloss.transforms import uncertainty_weighted as uncertainty_weighted
from jloss.transforms import weighted_sum as weighted_sum
