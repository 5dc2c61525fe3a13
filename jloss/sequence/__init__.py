"""Losses of sequences whose alignment is not known: recognition, transduction, tagging, warping.

An example is one sequence; lengths say how much of it is real. Start with `ctc`, or `crf` where every step has a tag.
"""

from jloss.sequence.recognition import ctc as ctc
from jloss.sequence.recognition import ctc_alignment as ctc_alignment
from jloss.sequence.recognition import ctc_greedy_decode as ctc_greedy_decode
from jloss.sequence.tagging import crf as crf
from jloss.sequence.tagging import crf_decode as crf_decode
from jloss.sequence.tagging import crf_marginals as crf_marginals
from jloss.sequence.transducer import rnnt as rnnt
from jloss.sequence.transducer import rnnt_lattice as rnnt_lattice
from jloss.sequence.transducer import rnnt_prune as rnnt_prune
from jloss.sequence.transducer import rnnt_pruned as rnnt_pruned
from jloss.sequence.transducer import rnnt_ranges as rnnt_ranges
from jloss.sequence.transducer import rnnt_simple as rnnt_simple
from jloss.sequence.warping import smith_waterman as smith_waterman
from jloss.sequence.warping import soft_dtw as soft_dtw
from jloss.sequence.warping import soft_dtw_alignment as soft_dtw_alignment
from jloss.sequence.warping import soft_dtw_divergence as soft_dtw_divergence
