"""Other libraries' names and semantics on jloss cores: `jloss.compat.torch`, `jloss.compat.keras`."""

from jloss._core.exports import lazy_names as _lazy_names

__getattr__, __dir__ = _lazy_names(__name__)  # a module when it is asked for
