"""Biased samplers in miniature, each after a bug, or a setting, that has been public.

An audit is only worth what it catches. Every entry reproduces one mechanism, says where it was
reported, has its exact bias where that can be computed, and can be mended: the same miniature with
the mistake taken out, which an audit must let pass.
"""
