"""The optimum over all lossless rules: transport problem, dual over subsets, plans."""
