"""Other libraries' names and semantics on jloss cores: `jloss.compat.torch`, `jloss.compat.keras`."""
