"""Sources: the bibliography, and every number taken from a paper with where it stands."""
