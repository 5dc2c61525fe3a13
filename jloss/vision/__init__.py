"""Losses of images: boxes, masks, boundaries, and the heads of detectors.

Boxes are corners (x0, y0, x1, y1) in one unit; masks are probabilities over spatial axes, two unless `spatial_ndim` says otherwise.
Start with `giou` for boxes and `dice` for masks.
"""

from jloss._core.assignment import match as match
from jloss.vision.boxes import ciou as ciou
from jloss.vision.boxes import diou as diou
from jloss.vision.boxes import eiou as eiou
from jloss.vision.boxes import from_center_size as from_center_size
from jloss.vision.boxes import giou as giou
from jloss.vision.boxes import inner_iou as inner_iou
from jloss.vision.boxes import iou as iou
from jloss.vision.boxes import log_iou as log_iou
from jloss.vision.boxes import mpdiou as mpdiou
from jloss.vision.boxes import nwd as nwd
from jloss.vision.boxes import pairwise_iou as pairwise_iou
from jloss.vision.boxes import shape_iou as shape_iou
from jloss.vision.boxes import siou as siou
from jloss.vision.boxes import to_center_size as to_center_size
from jloss.vision.combined import combo as combo
from jloss.vision.combined import unified_focal as unified_focal
from jloss.vision.detection import detr as detr
from jloss.vision.detection import distribution_focal as distribution_focal
from jloss.vision.detection import quality_focal as quality_focal
from jloss.vision.detection import varifocal as varifocal
from jloss.vision.focusing import alpha_iou as alpha_iou
from jloss.vision.focusing import focal_eiou as focal_eiou
from jloss.vision.focusing import wiou_v1 as wiou_v1
from jloss.vision.focusing import wiou_v2 as wiou_v2
from jloss.vision.focusing import wiou_v3 as wiou_v3
from jloss.vision.rotated import bhattacharyya as bhattacharyya
from jloss.vision.rotated import gwd as gwd
from jloss.vision.rotated import kfiou as kfiou
from jloss.vision.rotated import probiou as probiou
from jloss.vision.rotated import rotated_kld as rotated_kld
from jloss.vision.segmentation import dice as dice
from jloss.vision.segmentation import focal_tversky as focal_tversky
from jloss.vision.segmentation import generalized_dice as generalized_dice
from jloss.vision.segmentation import jaccard as jaccard
from jloss.vision.segmentation import log_cosh_dice as log_cosh_dice
from jloss.vision.segmentation import log_dice as log_dice
from jloss.vision.segmentation import mcc as mcc
from jloss.vision.segmentation import tversky as tversky
from jloss.vision.segmentation import wasserstein_dice as wasserstein_dice
from jloss.vision.surface import boundary as boundary
from jloss.vision.surface import cldice as cldice
from jloss.vision.surface import distance_map as distance_map
from jloss.vision.surface import hausdorff_dt as hausdorff_dt
from jloss.vision.surface import hausdorff_er as hausdorff_er
from jloss.vision.surface import lovasz_hinge as lovasz_hinge
from jloss.vision.surface import lovasz_softmax as lovasz_softmax
