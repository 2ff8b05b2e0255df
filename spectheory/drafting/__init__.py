"""How k draft tokens are proposed: one draft scheme a file."""
