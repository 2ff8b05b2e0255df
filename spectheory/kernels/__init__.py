"""Compiled executors (numba). A kernel runs a definition; it never holds a second one."""
