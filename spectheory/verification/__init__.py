"""Verification rules: one rule a file, each defined once as a function that returns a Verdict."""
