"""Simulations: one experiment a file, a frozen ``Config`` and ``run(config)`` -> table (polars)."""
