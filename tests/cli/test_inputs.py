"""Files and sampling parameters of ``optimum`` and ``compare``: what is read, what is refused."""

from __future__ import annotations

import numpy as np
import pytest

P = [0.5, 0.3, 0.2]
Q = [0.2, 0.3, 0.5]
LOGITS_P = np.array([[2.0, -1.0, 0.5, 0.0, 1.5], [0.0, 3.0, -2.0, 1.0, 0.25]])
LOGITS_Q = np.array([[0.5, 0.25, -1.0, 2.0, 1.0], [1.0, 1.5, 0.0, -3.0, 0.5]])


def softmax(logits: np.ndarray, temperature: float = 1.0) -> np.ndarray:
    if temperature == 0:
        return np.eye(len(logits))[np.argmax(logits)]
    weights = np.exp(logits / temperature)
    return weights / weights.sum()


def sampled(logits: np.ndarray, temperature: float, top_k: int | None, top_p: float | None):
    """Temperature, then top-k, then top-p, token by token in order of probability."""
    law = softmax(logits, temperature)
    order = sorted(range(len(law)), key=lambda x: -law[x])
    if top_k is not None:
        law = np.array([law[x] if x in order[:top_k] else 0.0 for x in range(len(law))])
        law /= law.sum()
    if top_p is not None:
        kept, mass = [], 0.0
        for x in order:
            if mass >= top_p:
                break
            kept.append(x)
            mass += law[x]
        law = np.array([law[x] if x in kept else 0.0 for x in range(len(law))])
        law /= law.sum()
    return law


@pytest.mark.parametrize(
    ("temperature", "top_k", "top_p"),
    [
        (1.0, None, None),
        (0.6, None, None),
        (1.7, None, None),
        (0.0, None, None),
        (1.0, 2, None),
        (1.0, 50, None),
        (1.0, None, 0.8),
        (1.0, None, 1.0),
        (0.7, 3, 0.75),
        (1.3, 4, 0.9),
    ],
)
@pytest.mark.parametrize("from_logits", [True, False], ids=["logits", "probabilities"])
def test_sampling_parameters_are_those_of_numpy(run, saved, from_logits, temperature, top_k, top_p):
    arrays = (LOGITS_P, LOGITS_Q)
    if not from_logits:
        arrays = tuple(np.stack([softmax(row) for row in array]) for array in arrays)
    flags = ["--temperature", temperature, *(["--logits"] if from_logits else [])]
    flags += ["--top-k", top_k] if top_k else []
    flags += ["--top-p", top_p] if top_p else []
    files = saved("p", arrays[0]), saved("q", arrays[1])
    p, q = (
        np.stack([sampled(row, temperature, top_k, top_p) for row in logits])
        for logits in (LOGITS_P, LOGITS_Q)
    )
    overlap = np.minimum(p, q).sum(axis=-1)
    one = run("optimum", *files, "--k", 1, "--json", *flags)
    assert (one.code, one.err) == (0, "")
    assert one.document["values"] == pytest.approx(overlap, abs=1e-12)
    two = run("compare", *files, "--k", 2, "--json", *flags)
    assert (two.code, two.err) == (0, "")
    nss = (p * (1 - (1 - q) ** 2)).sum(axis=-1).mean()
    assert two.document["rules"]["nss"]["acceptance"] == pytest.approx(nss, abs=1e-12)


def test_logits_may_mask_tokens_and_be_half_precision(run, saved):
    p = np.array([0.0, 1.0, -np.inf], dtype=np.float16)
    q = np.array([1.0, -np.inf, 0.0], dtype=np.float32)
    done = run("optimum", saved("p", p), saved("q", q), "--k", 1, "--logits", "--json")
    assert (done.code, done.err) == (0, "")
    assert done.document["value"] == pytest.approx(1 / (1 + np.e), abs=1e-12)


def test_float32_is_widened_with_a_note(run, saved):
    law = np.array([0.1, 0.2, 0.7], dtype=np.float32)
    done = run("optimum", saved("p", law), saved("q", Q), "--k", 1, "--json")
    assert done.code == 0
    assert done.document["value"] == pytest.approx(0.8, abs=1e-6)
    (line,) = done.err.splitlines()
    assert "float32" in line


def test_renormalise_divides_by_the_sum(run, saved):
    off = np.array([0.5, 0.3, 0.2]) * 1.005
    files = saved("p", off), saved("q", Q)
    assert "--renormalise" in run("optimum", *files, "--k", 1).complaint
    done = run("optimum", *files, "--k", 1, "--renormalise", "--json")
    assert (done.code, done.err) == (0, "")
    assert done.document["value"] == pytest.approx(0.7, abs=1e-12)


def test_each_renormalised_row_is_near_one(run, saved):
    files = saved("p", [P, [0.5, 0.3, 0.4]]), saved("q", [Q, Q])
    assert "target" in run("optimum", *files, "--k", 1, "--renormalise").complaint


BAD_LAWS = {
    "logits": ([2.0, -1.0, 0.5], "--logits"),
    "positive_logits": ([2.0, 1.0, 0.5], "--logits"),
    "nan": ([0.5, np.nan, 0.5], "NaN"),
    "infinite": ([0.5, np.inf, 0.5], "infinite"),
    "both_infinities": ([np.inf, -np.inf, 0.5], "infinite"),
    "overflowing": ([1e308, 1e308, 1e308], "infinite"),
    "negative": ([0.6, 0.5, -0.1], "negative"),
    "sum": ([0.5, 0.3, 0.1], "sums to"),
    "integers": (np.array([1, 0, 0]), "int64"),
    "float16": (np.array([0.5, 0.25, 0.25], dtype=np.float16), "float16"),
    "complex": (np.array([1j, 0, 0]), "complex"),
    "text": (np.array(["a", "b", "c"]), "real numbers"),
    "booleans": (np.array([True, False, False]), "bool"),
    "number": (np.array(1.0), "shape"),
    "empty": (np.zeros((0, 3)), "shape"),
    "no_tokens": (np.zeros((2, 0)), "shape"),
    "vocabulary": ([0.5, 0.5], "tokens"),
    "positions": ([P, P], "shape"),
    "three_axes": (np.full((1, 1, 3), 1 / 3), "shape"),
}


@pytest.mark.parametrize("command", ["optimum", "compare"])
@pytest.mark.parametrize("side", ["target", "draft"])
@pytest.mark.parametrize("bad", BAD_LAWS)
def test_bad_laws_are_refused_in_one_line(run, saved, command, side, bad):
    values, word = BAD_LAWS[bad]
    good, wrong = saved("good", P), saved("wrong", values)
    files = (wrong, good) if side == "target" else (good, wrong)
    complaint = run(command, *files, "--k", 2, "--json").complaint
    assert complaint.startswith(f"spectheory {command}: error: ")
    assert word in complaint
    assert side in complaint


@pytest.mark.parametrize(
    ("values", "word"),
    [
        (P, "probabilities already"),
        ([0.0, np.nan, 1.0], "NaN"),
        ([0.0, np.inf, 1.0], "inf"),
        ([np.inf, -np.inf, 1.0], "inf"),
        ([-np.inf, -np.inf, -np.inf], "masked"),
    ],
    ids=["probabilities", "nan", "infinite", "both", "all_masked"],
)
def test_bad_logits_are_refused_in_one_line(run, saved, values, word):
    files = saved("p", values), saved("q", [0.0, 1.0, 2.0])
    assert word in run("optimum", *files, "--k", 2, "--logits", "--json").complaint


@pytest.mark.parametrize(
    ("more", "word"),
    [
        (("--k", "0"), "--k"),
        (("--k", "-1"), "--k"),
        (("--k", "two"), "--k"),
        (("--k", "1.5"), "--k"),
        ((), "--k"),
        (("--k", "4", "--scheme", "distinct"), "support|probability"),
        (("--k", "4", "--scheme", "without_replacement"), "support|probability"),
        (("--k", "4", "--scheme", "greedy"), "support|probability"),
        (("--k", "2", "--top-k", "1", "--scheme", "distinct"), "support|probability"),
        (("--k", "2", "--scheme", "nonsense"), "nonsense"),
        (("--k", "2", "--scheme", "heterogeneous"), "heterogeneous"),
        (("--k", "2", "--top-p", "2"), "--top-p"),
        (("--k", "2", "--top-p", "0"), "--top-p"),
        (("--k", "2", "--top-p", "nan"), "--top-p"),
        (("--k", "2", "--top-k", "0"), "--top-k"),
        (("--k", "2", "--temperature", "-1"), "--temperature"),
        (("--k", "2", "--temperature", "inf"), "--temperature"),
        (("--k", "2", "--temperature", "warm"), "--temperature"),
        (("--k", "2", "--threads", "0"), "--threads"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_bad_parameters_are_refused_in_one_line(run, saved, more, word):
    complaint = run("optimum", saved("p", P), saved("q", Q), *more, "--json").complaint
    assert any(part in complaint for part in word.split("|")), complaint


def test_heterogeneous_draft_with_another_number_of_slots(run, saved):
    files = saved("p", P), saved("q", [P, Q, Q])
    command = ("optimum", *files, "--scheme", "heterogeneous", "--json")
    assert "k = 2" in run(*command, "--k", 2).complaint
    assert run(*command, "--k", 3).code == 0


@pytest.fixture
def good(saved):
    return saved("good", P)


def test_missing_file_and_folder(run, good, tmp_path):
    assert "no.npy" in run("optimum", tmp_path / "no.npy", good, "--k", 1).complaint
    assert "draft" in run("optimum", good, tmp_path, "--k", 1).complaint


def test_files_of_another_kind(run, good, tmp_path):
    archive, text, empty = (tmp_path / name for name in ("a.npz", "a.npy", "e.npy"))
    np.savez(archive, P)
    text.write_text("0.5 0.5\n")
    empty.write_bytes(b"")
    assert ".npz" in run("optimum", archive, good, "--k", 1).complaint
    assert "not a .npy" in run("optimum", text, good, "--k", 1).complaint
    assert "not a .npy" in run("optimum", good, empty, "--k", 1).complaint


def test_pickles_are_not_opened(run, good, tmp_path):
    path = tmp_path / "objects.npy"
    np.save(path, np.array([{}, {}, {}], dtype=object), allow_pickle=True)
    assert "cannot be read" in run("optimum", path, good, "--k", 1).complaint


@pytest.mark.parametrize("length", [6, 7, 9, 10, 40, 127, 128, 130, 151])
def test_file_cut_short(run, good, tmp_path, length):
    path = tmp_path / "cut.npy"
    path.write_bytes(good.read_bytes()[:length])
    assert "cannot be read" in run("optimum", path, good, "--k", 1).complaint


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"\x01\x00", b"\x09\x00"),
        (b"'descr'", b"'descr("),
        (b"'shape'", b"'s}ape'"),
        (b"'shape'", b"'sh\npe'"),
        (b"False", b"Fal\ne"),
        (b"<f8", b"<f9"),
        (b"(3,)", b"(9,)"),
        (b"(3,)", b"(-3)"),
        (b"{", b"\x00"),
        (b"'", b"\xff"),
    ],
)
def test_damaged_header(run, good, tmp_path, old, new):
    path = tmp_path / "damaged.npy"
    whole = good.read_bytes()
    assert old in whole
    path.write_bytes(whole.replace(old, new, 1))
    assert "cannot be read" in run("optimum", path, good, "--k", 1).complaint
