"""Decoding with batched verification emits the text of the definitions, request by request."""

from dataclasses import dataclass
from types import SimpleNamespace
from typing import ClassVar

import numpy as np
import pytest

from spectheory.decoding.decoder import Decoder, Request
from spectheory.decoding.draft_source import DraftJob, ModelDraft
from spectheory.decoding.executors import verifier_for
from spectheory.decoding.lookup import PromptLookup
from spectheory.decoding.ngram import NgramModel
from spectheory.decoding.ngram_draft import NgramDraft
from spectheory.decoding.pruned_head import PrunedHead
from spectheory.decoding.sampling import Sampling
from spectheory.decoding.tabular import TabularModel
from spectheory.decoding.tape import Tape
from spectheory.decoding.verifier import Block, LevelByLevel
from spectheory.drafting.iid import IndependentDrafts
from spectheory.errors import InputError, SchemeMismatch
from spectheory.transport.grouped_plan import grouped_plan
from spectheory.verification.rule import VerificationRule

torch = pytest.importorskip("torch")

from spectheory.batched.rule import BatchedRule, batched_rule, batched_rules  # noqa: E402
from spectheory.decoding.batched_verifier import BatchedLevels, laws_of  # noqa: E402

V = 31
SAMPLINGS = [
    Sampling(),
    Sampling(0.7),
    Sampling(0),
    Sampling(1.3, top_k=7),
    Sampling(0.7, top_p=0.8),
    Sampling(1.1, top_k=12, top_p=0.9),
]


@dataclass(frozen=True)
class GroupedScores(VerificationRule):
    """The optimal rule by scores drawn from a grouped plan: what its executor does, row by row."""

    key: ClassVar[str] = "optimal_iid"
    reference: ClassVar[str] = "spectheory2026optimal"
    lossless_under: ClassVar[tuple[str, ...]] = ("iid",)

    def _verdict(self, target, draft, drafts):
        raise NotImplementedError

    def verdict(self, target, draft, drafts):
        return Scores(grouped_plan(target, draft, drafts.shape[-1]), drafts)


class Scores:
    """Stands for a verdict that is only sampled."""

    def __init__(self, plan, drafts):
        self.plan, self.drafts, self.accept = plan, drafts, np.empty(drafts.shape)

    def sample(self, uniforms):
        return self.plan.sample(self.drafts, uniforms)


def scheme_of(rule):
    covered = rule.definition.schemes
    return "iid" if "iid" in covered else covered[0]


def trees(rule):
    """Chains, sequences side by side, and a tree, as far as the rule takes so many drafts."""
    most, least = rule.definition.most_drafts or 4, rule.definition.least_drafts
    every = [(1, 1, 1), (2, 1), (2, 2), (4, 1, 1)]
    found = [tree for tree in every if least <= min(tree) and max(tree) <= most]
    return found or [(2, 2), (4, 2)]


CASES = [(rule, tree) for rule in batched_rules().values() for tree in trees(rule)]


def texts(target, draft, verifier, branching, scheme="iid", seeds=range(12)):
    """Requests of all samplings in ragged batches."""
    decoder = Decoder(target, draft, rule=verifier, scheme=scheme, branching=branching, batch=5)
    requests = [
        Request(
            prompt=[0, *range(1, 1 + seed % 4)],
            new_tokens=10 + seed,
            seed=seed,
            sampling=SAMPLINGS[seed % len(SAMPLINGS)],
            draft_sampling=Sampling(1.2),
        )
        for seed in seeds
    ]
    return [done.tokens for done in decoder.generate(requests)]


@pytest.fixture(scope="module")
def tabular():
    generator = np.random.default_rng(5)
    return tuple(TabularModel.random(V, m, generator, exact=False) for m in (1, 1))


@pytest.fixture(scope="module")
def llamas():
    """Two small random transformers; the draft is the target with noise in its weights."""
    transformers = pytest.importorskip("transformers")
    from spectheory.decoding.transformer import TransformerModel

    torch.manual_seed(0)
    sizes = {"vocab_size": V, "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2}
    sizes |= {"num_attention_heads": 2, "num_key_value_heads": 1, "max_position_embeddings": 64}
    modules = [transformers.LlamaForCausalLM(transformers.LlamaConfig(**sizes)) for _ in range(2)]
    with torch.no_grad():
        modules[0].lm_head.weight.mul_(30)  # laws far from uniform
        modules[1].load_state_dict(modules[0].state_dict())
        modules[1].lm_head.weight.add_(torch.randn(V, 16) * 0.3)
    return tuple(TransformerModel(module, None, f"llama {i}") for i, module in enumerate(modules))


def definition_of(rule):
    return LevelByLevel(GroupedScores() if rule.key == "optimal_iid" else rule.definition)


@pytest.mark.parametrize("models", ["tabular", "llamas"])
@pytest.mark.parametrize(("rule", "tree"), CASES, ids=lambda v: getattr(v, "key", str(v)))
def test_texts_are_those_of_the_definition(rule, tree, models, request):
    target, draft = request.getfixturevalue(models)
    scheme = scheme_of(rule)
    got = texts(target, ModelDraft(draft), BatchedLevels.of(rule), tree, scheme)
    assert got == texts(target, ModelDraft(draft), definition_of(rule), tree, scheme)


@pytest.mark.parametrize("source", ["lookup", "ngram", "none"])
def test_texts_with_drafts_that_are_no_transformer_s(llamas, source):
    taught = NgramModel(V, 2)
    taught.update(np.arange(200) % 7)
    draft = {"lookup": PromptLookup(V), "ngram": NgramDraft(taught), "none": None}[source]
    branching = (1, 1) if draft else ()
    got = texts(llamas[0], draft, "rejection", branching)
    assert got == texts(
        llamas[0], draft, LevelByLevel(batched_rule("rejection").definition), branching
    )


class FromLogits(BatchedLevels):
    """Draft laws are made of the draft's logits, as they are where those lie on a GPU."""

    def _declared(self, level, device):
        return self._laws([at.drafted.tree.origin(at.node) for at in level], device)


@pytest.mark.parametrize("source", ["model", "pruned", "lookup"])
def test_texts_with_draft_laws_made_of_logits(llamas, source):
    target, model = llamas
    draft = {
        "model": ModelDraft(model),
        "pruned": ModelDraft(PrunedHead(model.early_exit(1), np.arange(0, V, 2))),
        "lookup": PromptLookup(V),
    }[source]
    rule = batched_rule("rejection")
    got, want = (
        texts(target, draft, kind.of(rule), (1, 1), seeds=range(6))
        for kind in (FromLogits, BatchedLevels)
    )
    assert got == want


def test_a_tree_remembers_what_its_laws_were_made_of(llamas):
    scheme, sampling = IndependentDrafts(), Sampling(1.2, top_k=9)
    job = DraftJob([0, 3, 5], (2, 1), sampling, Tape(0), 0)
    [tree] = ModelDraft(llamas[1]).open(1).propose([job], scheme)
    assert tree.origins.keys() == tree.laws.keys()
    nodes = list(tree.laws)
    made = laws_of([tree.origin(node) for node in nodes], torch.device("cpu"))
    np.testing.assert_allclose(made.dense(), [tree.laws[node] for node in nodes], rtol=1e-12)


def test_a_nucleus_is_handed_on_as_the_drafts_were_drawn_from_it(llamas):
    scheme, sampling = IndependentDrafts(), Sampling(1.0, top_p=0.8)
    job = DraftJob([0, 3, 5], (2,), sampling, Tape(0), 0)
    [tree] = ModelDraft(llamas[1]).open(1).propose([job], scheme)
    [node] = tree.laws
    rows, row, left = tree.origin(node)
    assert left.top_p is None
    np.testing.assert_array_equal(rows.law(row, left), tree.laws[node])


class Reused(BatchedRule):
    """Wrong on purpose: the uniform that decided the first draft decides all that follows."""

    key: ClassVar[str] = "recursive"

    def _draw(self, target, draft, drafts, uniforms):
        return batched_rule(self.key)._draw(
            target, draft, drafts, uniforms[:, :1].expand_as(uniforms)
        )


@pytest.mark.parametrize("models", ["tabular", "llamas"])
@pytest.mark.parametrize("tree", [(1, 1, 1), (2, 2)])
def test_a_uniform_used_twice_is_caught(models, tree, request):
    target, draft = request.getfixturevalue(models)
    right, wrong = (
        texts(target, ModelDraft(draft), verifier, tree)
        for verifier in ("recursive", BatchedLevels.of(Reused()))
    )
    assert right != wrong


def test_the_executor_is_chosen_by_where_the_target_runs(tabular, llamas):
    names = {
        (model.name, executor): Decoder(model, rule="k_seq", executor=executor).verifier.name
        for model in (tabular[0], llamas[0])
        for executor in ("auto", "definition", "batched")
    }
    assert list(names.values()) == [
        "k_seq", "k_seq", "k_seq, batched",
        "k_seq, batched", "k_seq", "k_seq, batched",
    ]  # fmt: skip
    assert Decoder(llamas[0], rule="threshold").verifier.name == "threshold"  # has no executor


def test_nothing_batched_runs_without_float64():
    there = SimpleNamespace(module=SimpleNamespace(device=torch.device("mps")))
    assert verifier_for("k_seq", there).name == "k_seq"
    with pytest.raises(InputError, match="no float64"):
        verifier_for("k_seq", there, "batched")


@pytest.mark.parametrize(
    ("rule", "executor", "reason"),
    [
        ("k_seq", "torch", "`executor` is 'torch'; expected auto, definition, batched, triton"),
        ("threshold", "batched", "rule `threshold` does not have"),
        (Block(), "batched", "`block` does not have"),
    ],
)
def test_executors_that_there_are_not(rule, executor, reason):
    with pytest.raises(InputError, match=reason):
        verifier_for(rule, None, executor)


def test_trees_that_the_rule_does_not_cover_are_refused(tabular):
    with pytest.raises(SchemeMismatch, match="rejection"):
        texts(tabular[0], ModelDraft(tabular[1]), BatchedLevels.of(batched_rule("rejection")), (2,))
