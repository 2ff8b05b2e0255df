"""Block verification: losslessness by enumeration, optimality for one path by a program."""

from __future__ import annotations

import itertools
from fractions import Fraction

import numpy as np
import pytest
from scipy.optimize import linprog

from spectheory.transport.subset_dual import optimal_value
from spectheory.verification.block import block_verification
from spectheory.verification.rule import rule

SIZE, LENGTH = 2, 2


def random_law(rng, size=SIZE, low=0):
    weights = rng.integers(low, 7, size)
    weights[rng.integers(size)] += 1
    return np.array([Fraction(int(w), int(weights.sum())) for w in weights], dtype=object)


def random_tree(rng, low=0):
    """A law after every prefix of up to LENGTH tokens."""
    prefixes = (c for n in range(LENGTH + 1) for c in itertools.product(range(SIZE), repeat=n))
    return {prefix: random_law(rng, low=low) for prefix in prefixes}


def chance(tree, prefix):
    mass = Fraction(1)
    for i, token in enumerate(prefix):
        mass *= tree[prefix[:i]][token]
    return mass


def laws_along(tree, path, count):
    return np.stack([tree[path[:i]] for i in range(count)])


@pytest.mark.parametrize("seed", range(30))
def test_emitted_prefix_completed_by_the_target_has_the_target_law(seed):
    rng = np.random.default_rng(seed)
    target, draft = random_tree(rng), random_tree(rng)
    emitted = dict.fromkeys(itertools.product(range(SIZE), repeat=LENGTH + 1), Fraction(0))
    for path in itertools.product(range(SIZE), repeat=LENGTH):
        if not chance(draft, path):
            continue
        verdict = block_verification(
            laws_along(target, path, LENGTH + 1), laws_along(draft, path, LENGTH), np.array(path)
        )
        assert sum(verdict.kept) == 1
        for full in emitted:
            for kept in range(LENGTH + 1):
                if full[:kept] != path[:kept]:
                    continue
                mass = (
                    chance(draft, path) * verdict.kept[kept] * verdict.correction[kept, full[kept]]
                )
                for later in range(kept + 1, LENGTH + 1):  # the target completes the horizon
                    mass *= target[full[:later]][full[later]]
                emitted[full] += mass
    for full, mass in emitted.items():
        assert mass == chance(target, full)


def expected_kept(target, draft):
    kept = Fraction(0)
    for path in itertools.product(range(SIZE), repeat=LENGTH):
        if chance(draft, path):
            verdict = block_verification(
                laws_along(target, path, LENGTH + 1),
                laws_along(draft, path, LENGTH),
                np.array(path),
            )
            kept += chance(draft, path) * sum(n * m for n, m in enumerate(verdict.kept))
    return kept


def node_program(target, draft, paths):
    """Most expected kept tokens: max sum A(u), A(ux) <= A(u) p(x|u), antichains within coverage."""
    nodes = [c for n in range(1, LENGTH + 1) for c in itertools.product(range(SIZE), repeat=n)]
    place = {u: i for i, u in enumerate(nodes)}
    rows, bounds = [], []
    for u in nodes:
        row = np.zeros(len(nodes))
        row[place[u]] = 1
        share = float(target[u[:-1]][u[-1]])
        if len(u) > 1:
            row[place[u[:-1]]] = -share
        rows.append(row)
        bounds.append(0.0 if len(u) > 1 else share)
    for picked in itertools.product((0, 1), repeat=len(nodes)):
        chain = [u for u, keep in zip(nodes, picked, strict=True) if keep]
        if any(u != v and v[: len(u)] == u for u in chain for v in chain) or not chain:
            continue
        row = np.zeros(len(nodes))
        row[[place[u] for u in chain]] = 1
        rows.append(row)
        bounds.append(float(1 - (1 - sum(chance(draft, u) for u in chain)) ** paths))
    solution = linprog(-np.ones(len(nodes)), np.array(rows), bounds, method="highs")
    return -solution.fun


@pytest.mark.parametrize("seed", range(20))
def test_block_verification_attains_the_optimum_of_one_path(seed):
    rng = np.random.default_rng(seed)
    target, draft = random_tree(rng), random_tree(rng)
    best = node_program(target, draft, paths=1)
    assert float(expected_kept(target, draft)) == pytest.approx(best, abs=1e-9)


@pytest.mark.parametrize("seed", range(10))
def test_block_verification_keeps_at_least_as_many_tokens_as_rejection(seed):
    rng = np.random.default_rng(seed)
    target, draft = random_tree(rng), random_tree(rng)
    kept = Fraction(0)
    for path in itertools.product(range(SIZE), repeat=LENGTH):
        survive = chance(draft, path)
        for i, token in enumerate(path):
            if survive:
                verdict = rule("rejection").verdict(
                    target[path[:i]], draft[path[:i]], np.array([token])
                )
                survive *= verdict.accept[0]
                kept += survive
    assert expected_kept(target, draft) >= kept


@pytest.mark.parametrize("paths", [2, 3])
def test_node_program_at_depth_one_is_the_token_optimum(paths, monkeypatch):
    monkeypatch.setitem(globals(), "LENGTH", 1)
    rng = np.random.default_rng(paths)
    for _ in range(10):
        target, draft = random_tree(rng), random_tree(rng)
        best = float(optimal_value(target[()], draft[()], paths))
        assert node_program(target, draft, paths) == pytest.approx(best, abs=1e-9)


@pytest.mark.parametrize("seed", range(20))
def test_hierarchical_test_of_the_capped_ratio_is_the_same_rule(seed):
    """h = D(p, q) / D(q, p) on capped prefix ratios equals block verification's h term by term."""
    rng = np.random.default_rng(seed)
    length, size = 4, 5
    target = np.stack([random_law(rng, size, 1) for _ in range(length + 1)])
    draft = np.stack([random_law(rng, size, 1) for _ in range(length)])
    path = rng.integers(0, size, length)
    weight, tests = Fraction(1), []
    for i in range(length):
        above = sum(max(weight * p - q, 0) for p, q in zip(target[i], draft[i], strict=True))
        below = sum(max(q - weight * p, 0) for p, q in zip(target[i], draft[i], strict=True))
        tests.append(above / below if below else weight)
        weight = min(1, weight * target[i][path[i]] / draft[i][path[i]])
    verdict = block_verification(target, draft, path)
    reach = Fraction(1)
    assert verdict.kept[length] == weight
    reach -= weight
    for i in range(length - 1, 0, -1):
        assert verdict.kept[i] == reach * tests[i]
        reach *= 1 - tests[i]


@pytest.mark.parametrize("seed", range(5))
def test_fixed_tree_is_accepted_with_its_target_mass(seed):
    """For a deterministic tree, sampling the target accepts sum over its nodes of p(node)."""
    rng = np.random.default_rng(seed)
    target = random_tree(rng, low=1)
    tree = [(0,), (1,), (0, 1), (1, 0), (1, 1)]

    def expected_depth(prefix):
        children = [u for u in tree if u[:-1] == prefix]
        if not children:
            return Fraction(0)
        drafts = np.array([u[-1] for u in children])
        sure = np.array([Fraction(1, SIZE)] * SIZE, dtype=object)
        masses = rule("nss").verdict(target[prefix], sure, drafts).masses()
        return sum(m * (1 + expected_depth(u)) for m, u in zip(masses, children, strict=False))

    assert expected_depth(()) == sum(chance(target, u) for u in tree)


@pytest.mark.parametrize("seed", range(20))
def test_traversal_of_a_chain_is_block_verification(seed):
    """Leaf to root: accept with p, else the parent's residual takes over with its own p."""
    rng = np.random.default_rng(100 + seed)
    length, size = 3, 4
    target = np.stack([random_law(rng, size, 1) for _ in range(length + 1)])
    draft = np.stack([random_law(rng, size, 1) for _ in range(length)])
    path = rng.integers(0, size, length)
    arrived = [Fraction(1)]
    for i, token in enumerate(path):
        arrived.append(min(1, arrived[-1] * target[i][token] / draft[i][token]))
    kept, reach, accept = [Fraction(0)] * (length + 1), Fraction(1), arrived[length]
    for i in range(length, 0, -1):
        kept[i] = reach * accept
        reach *= 1 - accept
        left = [
            max(arrived[i - 1] * p - q, 0) for p, q in zip(target[i - 1], draft[i - 1], strict=True)
        ]
        mass = sum(left)
        miss = mass + 1 - arrived[i - 1]
        accept = mass / miss if miss else arrived[i - 1]
    kept[0] = reach
    assert list(block_verification(target, draft, path).kept) == kept


def full_program(target, draft, paths):
    """Most expected kept tokens of any lossless rule that sees all paths, as one linear program."""
    leaves = list(itertools.product(range(SIZE), repeat=LENGTH))
    trees = list(itertools.product(leaves, repeat=paths))
    columns, gains = [], []  # (tree, node, correction token)
    for number, tree in enumerate(trees):
        for node in {path[:n] for path in tree for n in range(LENGTH + 1)}:
            for token in range(SIZE):
                columns.append((number, node, token))
                gains.append(-len(node))
    rows, wanted = [], []
    for number, tree in enumerate(trees):
        rows.append([float(c[0] == number) for c in columns])
        wanted.append(float(np.prod([chance(draft, path) for path in tree])))
    for full in itertools.product(range(SIZE), repeat=LENGTH + 1):
        row = []
        for _, node, token in columns:
            emitted = (*node, token)
            mass = Fraction(int(full[: len(emitted)] == emitted))
            for later in range(len(emitted), LENGTH + 1):
                mass *= target[full[:later]][full[later]]
            row.append(float(mass))
        rows.append(row)
        wanted.append(float(chance(target, full)))
    solution = linprog(gains, A_eq=np.array(rows), b_eq=wanted, method="highs")
    assert solution.status == 0
    return -solution.fun


@pytest.mark.parametrize("paths", [1, 2])
@pytest.mark.parametrize("seed", range(5))
def test_node_program_is_the_full_information_program(seed, paths):
    rng = np.random.default_rng(seed)
    target, draft = random_tree(rng, low=1), random_tree(rng, low=1)
    full = full_program(target, draft, paths)
    assert node_program(target, draft, paths) == pytest.approx(full, abs=1e-8)
