"""Losses that train generative models: adversarial, variational, likelihoods, diffusion and flow matching, tokens, energies.

Networks, noise schedules and samplers stay outside: losses take arrays. Adversarial losses take logits; a datum of a diffusion loss has
three axes (an image) unless `spatial_ndim` says otherwise, and a number such as its log-SNR is an input, one for each datum. Likelihoods
are in nats. Start with `flow_matching`, with `gaussian_kl` for a VAE, and with `hinge_discriminator` for a GAN.
"""

from jloss.generative.denoising import consistency_model as consistency_model
from jloss.generative.denoising import diffusion as diffusion
from jloss.generative.denoising import diffusion_weight as diffusion_weight
from jloss.generative.denoising import edm as edm
from jloss.generative.denoising import flow_matching as flow_matching
from jloss.generative.denoising import mean_flow as mean_flow
from jloss.generative.denoising import variational_bound as variational_bound
from jloss.generative.denoising import variational_diffusion as variational_diffusion
from jloss.generative.density import bits_per_dimension as bits_per_dimension
from jloss.generative.density import discretized_gaussian_nll as discretized_gaussian_nll
from jloss.generative.density import discretized_logistic_mixture as discretized_logistic_mixture
from jloss.generative.density import flow_nll as flow_nll
from jloss.generative.discrete_diffusion import discrete_flow_matching as discrete_flow_matching
from jloss.generative.discrete_diffusion import masked_diffusion as masked_diffusion
from jloss.generative.discrete_diffusion import score_entropy as score_entropy
from jloss.generative.energy import contrastive_divergence as contrastive_divergence
from jloss.generative.energy import donsker_varadhan as donsker_varadhan
from jloss.generative.energy import noise_contrastive_estimation as noise_contrastive_estimation
from jloss.generative.energy import nwj as nwj
from jloss.generative.gan import dual_contrastive as dual_contrastive
from jloss.generative.gan import hinge_discriminator as hinge_discriminator
from jloss.generative.gan import least_squares_discriminator as least_squares_discriminator
from jloss.generative.gan import least_squares_generator as least_squares_generator
from jloss.generative.gan import minimax_discriminator as minimax_discriminator
from jloss.generative.gan import minimax_generator as minimax_generator
from jloss.generative.gan import non_saturating_generator as non_saturating_generator
from jloss.generative.gan import relativistic_average_discriminator as relativistic_average_discriminator
from jloss.generative.gan import relativistic_average_generator as relativistic_average_generator
from jloss.generative.gan import relativistic_discriminator as relativistic_discriminator
from jloss.generative.gan import relativistic_generator as relativistic_generator
from jloss.generative.gan import wasserstein_discriminator as wasserstein_discriminator
from jloss.generative.gan import wasserstein_generator as wasserstein_generator
from jloss.generative.gan_regularizers import feature_matching as feature_matching
from jloss.generative.gan_regularizers import lecam_penalty as lecam_penalty
from jloss.generative.gan_regularizers import mean_feature_matching as mean_feature_matching
from jloss.generative.gan_regularizers import path_length_penalty as path_length_penalty
from jloss.generative.score_estimation import denoising_score_matching as denoising_score_matching
from jloss.generative.score_estimation import score_distillation as score_distillation
from jloss.generative.score_estimation import score_matching as score_matching
from jloss.generative.score_estimation import sliced_score_matching as sliced_score_matching
from jloss.generative.variational import categorical_kl as categorical_kl
from jloss.generative.variational import codebook_diversity as codebook_diversity
from jloss.generative.variational import codebook_orthogonality as codebook_orthogonality
from jloss.generative.variational import continuous_bernoulli_nll as continuous_bernoulli_nll
from jloss.generative.variational import gaussian_kl as gaussian_kl
from jloss.generative.variational import information_maximization as information_maximization
from jloss.generative.variational import iwae as iwae
from jloss.generative.variational import multivariate_gaussian_kl as multivariate_gaussian_kl
from jloss.generative.variational import optimal_sigma_nll as optimal_sigma_nll
from jloss.generative.variational import vector_quantization as vector_quantization
from jloss.generative.variational import von_mises_fisher_kl as von_mises_fisher_kl
