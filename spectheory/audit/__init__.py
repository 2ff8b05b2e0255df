"""Is this sampler's output law the target's? Exact enumeration, and tests that state their errors."""
