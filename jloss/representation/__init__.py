"""Losses of embeddings: contrastive, of pairs and triplets in a set, of prototypes, and without negatives.

An example is one set of n items; an item is never compared with itself, and a mask drops items. Start with `info_nce`, with
`multi_similarity` where items have labels.
"""

from jloss.representation.contrastive import alignment as alignment
from jloss.representation.contrastive import clip as clip
from jloss.representation.contrastive import decoupled_contrastive as decoupled_contrastive
from jloss.representation.contrastive import info_nce as info_nce
from jloss.representation.contrastive import nt_xent as nt_xent
from jloss.representation.contrastive import siglip as siglip
from jloss.representation.contrastive import supervised_contrastive as supervised_contrastive
from jloss.representation.contrastive import uniformity as uniformity
from jloss.representation.embedding import batch_all_triplet as batch_all_triplet
from jloss.representation.embedding import batch_hard_triplet as batch_hard_triplet
from jloss.representation.embedding import batch_semi_hard_triplet as batch_semi_hard_triplet
from jloss.representation.embedding import contrastive_pair as contrastive_pair
from jloss.representation.embedding import cosine_distance as cosine_distance
from jloss.representation.embedding import cosine_embedding as cosine_embedding
from jloss.representation.embedding import squared_euclidean as squared_euclidean
from jloss.representation.embedding import triplet_margin as triplet_margin
from jloss.representation.prototypes import arcface as arcface
from jloss.representation.prototypes import center as center
from jloss.representation.prototypes import cosface as cosface
from jloss.representation.prototypes import normalized_softmax as normalized_softmax
from jloss.representation.prototypes import proxy_anchor as proxy_anchor
from jloss.representation.prototypes import proxy_nca as proxy_nca
from jloss.representation.prototypes import soft_triple as soft_triple
from jloss.representation.prototypes import soft_triple_regularizer as soft_triple_regularizer
from jloss.representation.prototypes import sphereface as sphereface
from jloss.representation.prototypes import subcenter_arcface as subcenter_arcface
from jloss.representation.self_distillation import barlow_twins as barlow_twins
from jloss.representation.self_distillation import byol as byol
from jloss.representation.self_distillation import dino as dino
from jloss.representation.self_distillation import ibot as ibot
from jloss.representation.self_distillation import koleo as koleo
from jloss.representation.self_distillation import sigreg as sigreg
from jloss.representation.self_distillation import simsiam as simsiam
from jloss.representation.self_distillation import swav as swav
from jloss.representation.self_distillation import vicreg as vicreg
from jloss.representation.similarity import angular as angular
from jloss.representation.similarity import circle as circle
from jloss.representation.similarity import fast_ap as fast_ap
from jloss.representation.similarity import histogram as histogram
from jloss.representation.similarity import lifted_structure as lifted_structure
from jloss.representation.similarity import multi_similarity as multi_similarity
from jloss.representation.similarity import n_pairs as n_pairs
from jloss.representation.similarity import pair_margin as pair_margin
from jloss.representation.similarity import ranked_list as ranked_list
from jloss.representation.similarity import tuplet_margin as tuplet_margin
