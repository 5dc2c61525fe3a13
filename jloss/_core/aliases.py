"""What other libraries and papers call what is here, so that a name people know leads to ours. None of these names can be called.

Only imported when a name is missing. Spellings need no line of their own: case, underscores and an ending in "loss" do not count, so
`HuberLoss` and `huber_loss` lead to `huber` by themselves. A new loss adds one line where its domain stands.
"""

import functools
import re

from jloss._core.exports import exports

# What to write here, and what it is called elsewhere. Where a name stands in several lines, the first is the likeliest.
ELSEWHERE = {
    # regression
    "squared_error": "mse, mean_squared_error, quadratic, euclidean, least_squares",
    "0.5 * squared_error": "l2_loss, half_squared_error",
    "absolute_error": "mae, l1_loss, mean_absolute_error, least_absolute_deviations",
    "squared_log_error": "msle, mean_squared_logarithmic_error, mean_squared_log_error",
    "absolute_percentage_error": "mape",
    "100 * absolute_percentage_error": "mean_absolute_percentage_error",
    "symmetric_absolute_percentage_error": "smape, symmetric_mean_absolute_percentage_error",
    "quantile": "pinball, quantile_regression, check_loss",
    "expectile": "asymmetric_least_squares",
    "epsilon_insensitive": "svr, eps_insensitive",
    "squared_epsilon_insensitive": "l2_epsilon_insensitive",
    "linex": "linear_exponential",
    "bias_error": "mean_bias_error, mbe",
    "general_robust": "barron, adaptive_robust",
    "cauchy": "lorentzian",
    "welsch": "leclerc, correntropy",
    "tukey_biweight": "tukey, bisquare, biweight",
    # probabilistic
    "poisson_nll": "poisson, poisson_deviance",
    "gaussian_nll": "normal_nll, heteroscedastic",
    "gamma_nll": "gamma, gamma_deviance",
    "tweedie_deviance": "tweedie, compound_poisson",
    # classification
    "cross_entropy": """ce, xent, softmax_loss, softmax_cross_entropy_with_integer_labels, sparse_categorical_crossentropy,
        sparse_softmax_cross_entropy_with_logits, multinomial_logistic, make_fenchel_young_loss""",
    "cross_entropy(..., label_smoothing=0.1)": "label_smoothing, smooth_labels, label_smoothing_cross_entropy",
    "cross_entropy(..., z_loss=1e-4)": "z_loss",
    "cross_entropy(..., weights=w[labels])": "class_weights, class_weight, weighted_cross_entropy",
    "cross_entropy(..., where=labels != -100)": "ignore_index, ignore_class, masked_cross_entropy",
    "soft_cross_entropy": """softmax_cross_entropy, safe_softmax_cross_entropy, categorical_crossentropy, soft_target_cross_entropy,
        softmax_cross_entropy_with_logits, ranking_softmax_loss, mixup""",
    "nll": "negative_log_likelihood, NLLLoss2d",
    "log_loss": "categorical_crossentropy",
    "binary_cross_entropy": "bce",
    "sigmoid_cross_entropy": """bce_with_logits, binary_cross_entropy_with_logits, sigmoid_binary_cross_entropy, binary_crossentropy,
        sigmoid_cross_entropy_with_logits""",
    "sigmoid_cross_entropy(..., positive_weight=2.0)": "weighted_cross_entropy_with_logits, pos_weight, weighted_bce",
    "sigmoid_focal": "focal, binary_focal, binary_focal_crossentropy, retinanet",
    "softmax_focal": "focal, categorical_focal, categorical_focal_crossentropy",
    "poly1_cross_entropy": "poly_loss, poly1, poly_loss_cross_entropy",
    "1 - zero_one": "binary_accuracy",
    "1 - multiclass_zero_one": "accuracy",
    "brier": "brier_score",
    "logit_adjusted": "logit_adjustment, balanced_softmax",
    "ldam": "label_distribution_aware_margin",
    "asymmetric": "asl, asymmetric_multilabel",
    "ghm": "ghm_c, gradient_harmonizing, gradient_harmonized",
    "equalized_focal": "efl",
    "class_balanced_weights": "class_balanced, cb_loss, effective_number, class_weights, class_weight",
    "adaptive_log_softmax": "adaptive_softmax, adaptive_log_softmax_with_loss",
    "hinge": "svm, max_margin",
    "exponential": "adaboost",
    "logistic": "soft_margin, logistic_regression",
    "multiclass_hinge": "crammer_singer, multiclass_svm",
    "margin_ranking": "pairwise_ranking",
    "generalized_cross_entropy": "gce, categorical_generalized_cross_entropy",
    "symmetric_cross_entropy": "sce, symmetric_learning",
    "reverse_cross_entropy": "rce",
    "normalized_cross_entropy": "nce",
    "normalized_focal": "nfl",
    "bi_tempered_logistic": "bi_tempered, tempered_logistic",
    "early_learning": "elr, early_learning_regularization",
    "coral": "ordinal_regression, ordinal",
    "corn": "ordinal_regression, ordinal",
    "squared_emd": "ordinal, earth_mover_squared",
    "sparsemax": "multiclass_sparsemax, fenchel_young, make_fenchel_young_loss",
    "entmax15": "entmax, fenchel_young, make_fenchel_young_loss",
    "distillation": "kd, knowledge_distillation",
    "reverse_kl": "reverse_kld, minillm",
    "generalized_jsd": "gkd",
    "decoupled_distillation": "dkd, decoupled_kd",
    # distributions
    "kl_divergence": "kl, kld, kl_div, kullback_leibler, relative_entropy",
    "kl_divergence_with_log_targets": "kl_div",
    "generalized_kl_divergence": "convex_kl_divergence",
    "js_divergence": "js, jsd, jensen_shannon",
    "renyi_divergence": "renyi",
    "hellinger": "hellinger_distance",
    "total_variation": "tvd, total_variation_distance",
    "chi_squared": "chi2, chi_square, pearson_divergence",
    "itakura_saito": "is_divergence",
    "wasserstein_1d": "wasserstein, emd, earth_mover, earth_movers_distance",
    # vision
    "iou": "bbox_iou, box_iou, intersection_over_union",
    "pairwise_iou": "box_iou, iou_matrix",
    "giou": "generalized_iou, generalized_box_iou, generalized_intersection_over_union",
    "diou": "distance_iou, distance_box_iou, distance_intersection_over_union",
    "ciou": "complete_iou, complete_box_iou, complete_intersection_over_union",
    "eiou": "efficient_iou",
    "siou": "scylla_iou",
    "wiou_v3": "wiou, wise_iou",
    "nwd": "normalized_wasserstein, normalized_gaussian_wasserstein_distance",
    "quality_focal": "qfl, generalized_focal",
    "distribution_focal": "dfl, generalized_focal",
    "varifocal": "vfl",
    "detr": "hungarian, set_prediction, bipartite_matching, set_criterion",
    "match": "hungarian, hungarian_algorithm, hungarian_matcher, linear_sum_assignment",
    "gwd": "gaussian_wasserstein_distance",
    "rotated_kld": "gaussian_kld",
    "dice": "soft_dice, binary_dice, f1_loss, sorensen_dice",
    "jaccard": "soft_iou, mask_iou",
    "generalized_dice": "gdl, multiclass_generalized_dice",
    "mcc": "matthews_correlation, phi_coefficient",
    "combo": "dice_bce, bce_dice",
    "unified_focal": "asymmetric_unified_focal",
    "lovasz_hinge": "lovasz, binary_lovasz",
    "lovasz_softmax": "lovasz",
    "boundary": "surface_loss",
    "hausdorff_dt": "hausdorff",
    "hausdorff_er": "hausdorff",
    "cldice": "soft_cldice, centerline_dice",
    # representation
    "info_nce": "contrastive, cpc, moco, multiple_negatives_ranking, in_batch_negatives, nce",
    "nt_xent": "simclr, normalized_temperature_scaled_cross_entropy",
    "supervised_contrastive": "sup_con, ntxent",
    "decoupled_contrastive": "dcl",
    "clip": "contrastive, open_clip, image_text_contrastive",
    "siglip": "sigmoid_loss",
    "cosine_distance": "cosine, cosine_proximity",
    "1 - cosine_distance": "cosine_similarity",
    "squared_euclidean": "sum_squared_error",
    "contrastive_pair": "contrastive, siamese",
    "triplet_margin": "triplet",
    "compat.torch.triplet_margin_with_distance_loss": "triplet_margin_with_distance",
    "batch_hard_triplet": "triplet, triplet_hard, hard_triplet",
    "batch_semi_hard_triplet": "triplet_semi_hard, semi_hard_triplet",
    "arcface": "additive_angular_margin, aam_softmax",
    "cosface": "am_softmax, large_margin_cosine, additive_margin_softmax",
    "sphereface": "a_softmax, angular_softmax",
    "normalized_softmax": "normface, cosine_softmax",
    "center": "centre",
    "multi_similarity": "ms_loss",
    "pair_margin": "margin_loss",
    "barlow_twins": "barlow",
    "koleo": "kozachenko_leonenko",
    "sigreg": "lejepa, epps_pulley",
    "matryoshka": "mrl",
    # sequence
    "ctc": "connectionist_temporal_classification, ctc_loss_with_forward_probs, warp_ctc",
    "crf": "conditional_random_field, crf_log_likelihood, linear_chain_crf",
    "rnnt": "transducer, rnn_transducer",
    "rnnt_pruned": "pruned_transducer, pruned_rnnt",
    "soft_dtw": "dtw, sdtw, dynamic_time_warping",
    "smith_waterman": "local_alignment",
    # language
    "sequence_cross_entropy": "causal_lm, next_token, seq2seq",
    "router_z": "router_z_loss",
    "load_balancing": "moe_aux, switch_transformer",
    "token_log_probs": "selective_log_softmax, token_logps",
    "dpo": "direct_preference_optimization, preference",
    'dpo(..., variant="ipo")': "ipo",
    'dpo(..., variant="robust")': "rdpo, robust_dpo",
    "kto": "kahneman_tversky, kahneman_tversky_optimization",
    "simpo": "simple_preference_optimization",
    "orpo": "odds_ratio_preference, odds_ratio",
    "bradley_terry": "reward_model, reward_modeling",
    "slic": "slic_hf",
    "npo": "unlearning",
    # reinforcement
    "ppo_clip": "ppo, clipped_surrogate, dual_clip_ppo",
    'grpo(..., ratio="sequence")': "gspo",
    "reinforce": "policy_gradient, rloo, a2c, actor_critic",
    "ppo_value": "clipped_value",
    "kl_estimate": "approx_kl, k3, schulman_kl",
    "awr": "awac, advantage_weighted_regression",
    "sac_policy": "sac, soft_actor_critic",
    "sac_temperature": "sac, sac_alpha",
    "q_learning": "dqn, double_dqn, double_q_learning",
    "td_learning": "td_error, temporal_difference",
    "vtrace": "impala",
    "quantile_td": "qr_dqn, iqn, quantile_huber",
    "categorical_td": "c51",
    "gae": "generalized_advantage_estimation",
    # generative
    "non_saturating_generator": "gan, generator, adversarial",
    "minimax_discriminator": "gan, discriminator, adversarial",
    "hinge_discriminator": "gan_hinge, hinge_gan",
    "wasserstein_discriminator": "wgan, critic",
    "wasserstein_generator": "wgan, hinge_generator",
    "least_squares_discriminator": "lsgan",
    "least_squares_generator": "lsgan",
    "relativistic_discriminator": "rpgan, r3gan",
    "relativistic_average_discriminator": "ragan",
    "lecam_penalty": "lecam",
    "gaussian_kl": "vae, vae_kl, beta_vae, elbo",
    "vector_quantization": "vq, vq_vae, commitment",
    "optimal_sigma_nll": "sigma_vae",
    "iwae": "importance_weighted_autoencoder",
    "diffusion": "ddpm, noise_prediction, epsilon_prediction",
    'diffusion(..., weighting="min_snr")': "min_snr",
    "flow_matching": "rectified_flow, conditional_flow_matching, stochastic_interpolant",
    "consistency_model": "consistency_training, consistency",
    "variational_diffusion": "vdm",
    "variational_bound": "vlb",
    "flow_nll": "normalizing_flow, change_of_variables",
    "discretized_logistic_mixture": "discretized_mix_logistic, pixelcnn",
    "masked_diffusion": "mdlm",
    "score_entropy": "sedd",
    "score_distillation": "sds, dmd",
    "denoising_score_matching": "dsm",
    "donsker_varadhan": "mine, mutual_information",
    "nwj": "f_mine, mutual_information",
    "noise_contrastive_estimation": "nce",
    # audio
    "si_sdr": "si_snr, scale_invariant_signal_to_distortion_ratio",
    "snr": "signal_to_noise_ratio",
    "ci_sdr": "sdr, signal_distortion_ratio, bss_eval, convolutive_transfer_function_invariant_sdr",
    "stft": "spectral_convergence",
    "multi_resolution_stft": "mrstft, multi_scale_spectral",
    "mel": "log_mel, mel_spectrogram",
    "mixture_invariant": "mixit",
    "esr": "error_to_signal",
    # regularization
    "l1": "lasso, l1_regularization, l1_penalty",
    "l2": "ridge, weight_decay, l2_regularization, l2_penalty",
    "orthogonal": "orthogonality, orthonormal",
    "spectral": "spectral_regularization",
    "jacobian_penalty": "jacobian, contractive",
    "gradient_penalty": "wgan_gp",
    "gradient_penalty(..., target=0.0)": "r1, r1_penalty",
    "total_variation_penalty": "tv, total_variation_denoising",
    "entropy_penalty": "entropy, entropy_minimization",
    # transforms
    "linear_head(cross_entropy)": """linear_cross_entropy, fused_linear_cross_entropy, liger_fused_linear_cross_entropy, cut_cross_entropy,
        chunked_cross_entropy""",
    "hardest": "ohem, hard_example_mining, bootstrapped_cross_entropy",
    "trimmed": "small_loss, co_teaching",
    "tilted": "tilted_empirical_risk",
    "weighted_sum": "multi_task, dice_ce",
    "uncertainty_weighted": "uncertainty_weighting, homoscedastic, automatic_weighted",
    "permutation_invariant": "pit, permutation_invariant_training",
}


def names_elsewhere() -> dict[str, list[str]]:
    """What others call each of our names: ``{"squared_error": ["mse", ...]}``."""
    found: dict[str, list[str]] = {}
    for ours, theirs in ELSEWHERE.items():
        found.setdefault(name_in(ours), []).extend(listed(theirs))
    return found


def name_in(ours: str) -> str:
    """The name in what to write: of ``"0.5 * squared_error"`` the loss."""
    found = re.search(r"[a-zA-Z][\w.]*", ours)
    return found[0] if found else ours


def listed(theirs: str) -> list[str]:
    """The names of a line."""
    return re.split(r",\s*", theirs)


def find(name: str) -> list[str]:
    """What to write here for a name from elsewhere, the likeliest first; nothing if no loss is called so."""
    whole = spelling(name)
    known = _by_spelling()
    return known.get(whole) or known.get(re.sub(r"(loss|lossfn|criterion)$", "", whole)) or []


def answer(name: str) -> str:
    """``"it is `squared_error`"``, or nothing."""
    return "it is " + " or ".join(f"`{ours}`" for ours in found) if (found := find(name)) else ""


def spelling(name: str) -> str:
    """A name without case and marks."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


@functools.cache
def _by_spelling() -> dict[str, list[str]]:
    found = {spelling(name): [name] for name in exports("jloss")}
    for ours, theirs in ELSEWHERE.items():
        for name in listed(theirs):
            found.setdefault(spelling(name), []).append(ours)
    return found
