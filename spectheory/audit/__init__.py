"""Is this sampler's output law the target's? Enumeration, and tests of stated error rates."""
