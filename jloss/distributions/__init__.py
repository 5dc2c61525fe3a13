"""How far one distribution is from another.

Both are over the same k outcomes, as probabilities or their logarithms, as each loss says. Start with `kl_divergence`.
"""

from jloss.distributions.divergence import alpha_divergence as alpha_divergence
from jloss.distributions.divergence import chi_squared as chi_squared
from jloss.distributions.divergence import generalized_kl_divergence as generalized_kl_divergence
from jloss.distributions.divergence import hellinger as hellinger
from jloss.distributions.divergence import itakura_saito as itakura_saito
from jloss.distributions.divergence import js_divergence as js_divergence
from jloss.distributions.divergence import kl_divergence as kl_divergence
from jloss.distributions.divergence import kl_divergence_with_log_targets as kl_divergence_with_log_targets
from jloss.distributions.divergence import renyi_divergence as renyi_divergence
from jloss.distributions.divergence import reverse_kl_divergence as reverse_kl_divergence
from jloss.distributions.divergence import total_variation as total_variation
from jloss.distributions.divergence import wasserstein_1d as wasserstein_1d
