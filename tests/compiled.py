"""How XLA compiles for users, and not in tests, which compile a thousand programs to run each once."""

import jaxlib

AS_USERS = {"xla_backend_optimization_level": 3}
if jaxlib.__version__.startswith(("0.10.", "0.11.")):  # later ones know no other emitters
    AS_USERS["xla_cpu_use_fusion_emitters"] = True
