"""Densities: pairs, their exact overlap and bounds, couplings for one draft and for several."""
