"""Losses that train generative models: adversarial, variational, likelihoods, diffusion and flow matching, tokens, energies.

Networks, noise schedules and samplers stay outside: losses take arrays. Adversarial losses take logits; a datum of a diffusion loss has
three axes (an image) unless `spatial_ndim` says otherwise, and a number such as its log-SNR is an input, one for each datum. Likelihoods
are in nats. Start with `flow_matching`, with `gaussian_kl` for a VAE, and with `hinge_discriminator` for a GAN.
"""

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
