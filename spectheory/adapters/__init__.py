"""Real samplers under audit: one public engine a file, called as it is installed.

A sampler of one's own needs no adapter. It is a callable in one file::

    # mine.py
    import numpy as np

    def sampler(target, draft, n, seed):
        rng = np.random.default_rng(seed)
        ...                      # call your engine: n tokens for one position
        return tokens            # (n,) integers, or (tokens, accepted)

and ``spectheory audit mine.py:sampler --target p.npy --draft q.npy`` audits it. An engine that
verifies several drafts at once becomes a class here: a subclass of
`spectheory.adapters.chain.ChainEngine` with the one method ``verify``, in a file of this folder or
of a package that names itself under the entry-point group ``spectheory``. From that follow the
sampler above, for all the tokens that it emits, and a stream over table models, for mistakes that
couple one step to the next.

An engine behind a server is audited from what it wrote: see `spectheory.adapters.completions`.
"""
