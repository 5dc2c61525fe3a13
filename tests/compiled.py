"""How XLA compiles for users, and not in tests, which compile a thousand programs to run each once; and how often it compiles."""

import jax
import jaxlib

AS_USERS = {"xla_backend_optimization_level": 3}
if jaxlib.__version__.startswith(("0.10.", "0.11.")):  # later ones know no other emitters
    AS_USERS["xla_cpu_use_fusion_emitters"] = True

PROGRAMS: list[str] = []
jax.monitoring.register_event_duration_secs_listener(
    lambda event, seconds, **_: PROGRAMS.append(event) if "backend_compile" in event else None
)


def compiled_by(call):
    """How many programs a call compiles."""
    before = len(PROGRAMS)
    call()
    return len(PROGRAMS) - before
