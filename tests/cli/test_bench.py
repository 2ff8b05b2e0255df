import argparse
import json
import os

import numpy as np
import pytest

from sims import bench_streams
from spectheory.cli.bench_cells import Cell, Choice, Peer
from spectheory.cli.bench_report import greedy_agreement, paired_ratio, summarise
from spectheory.cost.speedup import StepCost
from spectheory.errors import InputError

COMMAND = (
    "bench",
    "decode",
    "--limit",
    "1",
    "--apart",
    "1",
    "--new-tokens",
    "8",
    "--longest",
    "12",
)
COMMAND += ("--repeats", "1", "--rules", "rejection,block,k_seq:2", "--drafts", "lookup,exit:1")


def cells(*seconds, tokens=4, calls=2):
    phases = {"verify": 1.0, "draft": 0.5}
    return [Cell(s, list(range(tokens)), calls, [2], [1], [1, 1], phases) for s in seconds]


def test_ratios_are_paired_by_prompt():
    ratio = paired_ratio(cells(1.0, 10.0, 3.0), cells(2.0, 30.0, 3.0))
    assert ratio.median == 2
    assert (ratio.low, ratio.high) == (1, 3)


def test_a_summary_names_the_strongest_baseline_and_splits_the_gap():
    plain, fast = (Choice(draft, "rejection", 1, 0.0) for draft in ("none", "lookup"))
    step = {"draft": 0.25, "verify": 0.25, "sample": 0.0, "host": 0.0}
    plan = {"branching": [1], "tokens": 1.5, "ratio": 0.75, "step": step, "needed": [None, None]}
    found = {
        plain: cells(4.0, 4.0, tokens=2),
        fast: cells(2.0, 8.0),
        Peer("plain", 0.0): cells(16.0, 16.0),
    }
    slow, quick, _ = summarise(found, {fast: plan}, StepCost(draft=0.0, verify=0.25))
    assert quick["ratio_to_transformers"]["median"] == 5
    assert (slow["strongest_baseline"], slow["ratio"]["median"]) == ("plain", 1)
    assert quick["tokens_per_second"] == 0.8
    assert quick["tokens_per_call"] == 2
    assert quick["accepted_lengths"] == [2, 2]
    assert quick["conditional_acceptance"] == [0.5]
    assert quick["step_seconds"]["verify"] == 0.5
    gap = quick["measured_over_predicted"]
    assert np.isclose(
        gap["ratio"], gap["tokens"] * gap["plain"] * np.prod([*gap["phases"].values()])
    )
    assert np.isclose(gap["tokens"], 2 / 1.5)


def test_greedy_texts_that_part_at_a_tie_are_told_from_others():
    class Target:
        def logits(self, text):
            gap = {1: 1e-5, 2: 1.0}[len(text)]
            return np.array([[0.0, gap, -9.0]] * len(text))

    def one(*tokens):
        return Cell(1.0, list(tokens))

    prompt = np.array([0])
    for theirs, kind in [((1, 1), "identical"), ((0, 1), "near_ties"), ((1, 0), "different")]:
        found = greedy_agreement(Target(), [prompt], [one(1, 1)], [one(*theirs)])
        assert found == {"identical": 0, "near_ties": 0, "different": 0, kind: 1}


def test_logits_of_narrow_types_are_as_near_as_their_rounding():
    """20 and 20.125 are neighbours in bfloat16; 20.5 is four apart from 20."""

    class Target:
        def __init__(self, other):
            self.other = other

        def logits(self, text):
            return np.array([[20.0, self.other]] * len(text), np.float32)

    one, two = (Cell(1.0, [token]) for token in (0, 1))
    for other, precision, kind in (
        (20.125, 2**-7, "near_ties"),
        (20.5, 2**-7, "different"),
        (20.125, 2**-23, "different"),
    ):
        found = greedy_agreement(Target(other), [np.array([0])], [one], [two], precision)
        assert found[kind] == 1


@pytest.fixture(scope="module")
def folder(smollm2, tmp_path_factory):
    """An untrained model of two layers with a real tokenizer."""
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")

    torch.manual_seed(0)
    sizes = {"vocab_size": smollm2.vocab_size, "hidden_size": 8, "intermediate_size": 8}
    sizes |= {"num_hidden_layers": 2, "num_attention_heads": 1, "num_key_value_heads": 1}
    config = transformers.LlamaConfig(**sizes, max_position_embeddings=64, bos_token_id=1)
    path = tmp_path_factory.mktemp("tiny")
    transformers.LlamaForCausalLM(config).save_pretrained(path)
    smollm2.tokenizer.save_pretrained(path)
    return path


@pytest.mark.models
def test_a_run_reports_every_configuration_and_goes_on_where_it_stopped(
    run, folder, tmp_path, monkeypatch
):
    from spectheory.decoding.transformer import TransformerModel

    out = tmp_path / "bench"
    arguments = (*COMMAND, "--target", folder, "--out", out, "--json")
    document = run(*arguments).document
    entries = document["configurations"]
    names = {"plain", "lookup rejection", "exit:1 rejection", "exit:1 block", "exit:1 k_seq k=2"}
    names |= {"transformers", "transformers lookup", "transformers assisted:1"}
    assert {(e["name"], e["temperature"]) for e in entries} == {
        (n, t) for n in names for t in (0, 1)
    }
    for entry in entries:
        assert entry["prompts"] == 2
        assert entry["ratio"]["low"] <= entry["ratio"]["median"] <= entry["ratio"]["high"]
        if not entry["baseline"]:
            assert entry["predicted_ratio"] > 0
            assert 1 <= entry["tokens_per_call"] <= 1 + len(entry["branching"])
            needed = [found[0] if found else 2 for found in entry["needed_acceptance"]]
            assert needed == sorted(needed)
        if entry["temperature"] == 0 and entry["name"] != "plain":
            # An untrained model's logits are close together, but texts are still one or the other.
            assert sum(entry["greedy"].values()) == 2
            assert entry["greedy"]["different"] == 0
    assert (np.diff(document["latency"]["seconds"]) >= 0).all()  # one timing each: noise, levelled
    assert json.loads((out / "bench.json").read_text()) == document
    for entry in entries:
        kinds = entry["by_text"]
        assert kinds["humaneval"]["prompts"] == kinds["mtbench"]["prompts"] == 1
        for one in kinds.values():
            assert one["ratio"]["low"] <= one["ratio"]["median"] <= one["ratio"]["high"]
    written = (out / "bench.md").read_text()
    for entry in document["configurations"]:
        assert f"| {entry['ratio']['median']:.2f} (" in written
        assert entry["name"] in written
    assert (out / "bench.pdf").read_bytes().startswith(b"%PDF")
    path = out / "cells.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    finished = "".join(lines[:-3])
    path.write_text(finished + lines[-3][:20])  # as a run that was killed leaves it
    again = run(*arguments).document
    assert path.read_text().startswith(finished)
    assert again["latency"] == document["latency"]
    # Of the configurations that had finished, nothing was timed again.
    first, second = (d["configurations"][1]["tokens_per_second"] for d in (document, again))
    assert first == second

    # What was sampled can be audited: one text of each of our configurations a prompt.
    settings, sampled = bench_streams.texts(path)
    assert settings["target"] == document["settings"]["target"]
    ours = [e for e in entries if e["temperature"] and not e["name"].startswith("transformers")]
    assert len(sampled) == 2 * len(ours)
    assert {len(text.tokens) for text in sampled} == {8}
    target = TransformerModel.from_folder(folder)
    monkeypatch.setattr(bench_streams, "load", lambda _: target)
    reports = bench_streams.audit(settings, sampled)
    assert not any(report.impossible for report in reports.values())
    elsewhere = [text._replace(prompt=[text.prompt[0], "other"]) for text in sampled]
    with pytest.raises(InputError, match="is not the one that there is now"):
        bench_streams.audit(settings, elsewhere)
    # An earlier run with other packages, and one that only measured latencies.
    earlier = path.read_text().replace('\\"torch\\": \\"', '\\"torch\\": \\"old ')
    latency = next(line for line in path.read_text().splitlines() if "latency" in line)
    later = latency.replace('\\"longest\\": ', '\\"longest\\": 9')
    assert earlier != path.read_text()
    assert later != latency
    both = tmp_path / "both.jsonl"
    both.write_text(f"{earlier}{path.read_text()}{later}\n")
    assert bench_streams.texts(both) == (settings, sampled)

    def cut_off(entries, title, path):
        path.write_bytes(b"%P")
        raise KeyboardInterrupt

    whole = (out / "bench.pdf").read_bytes()
    monkeypatch.setattr("spectheory.cli.bench_report.draw", cut_off)
    assert run(*arguments).code == 130
    assert (out / "bench.pdf").read_bytes() == whole


@pytest.mark.models
def test_processes_share_the_work_of_one(run, folder, tmp_path, monkeypatch):
    """Texts are the same, also of a run that goes on where another one stopped."""
    from spectheory.cli import bench_run

    plan = bench_run.plan  # by costs as they are measured, which texts must not depend on here
    monkeypatch.setattr(
        bench_run, "plan", lambda choice, *given: plan(choice, *given) | {"branching": [choice.k]}
    )
    if len(getattr(os, "sched_getaffinity", lambda _: [0])(0)) < 2:
        pytest.skip("one core only, or no way to choose it")
    arguments = (*COMMAND, "--target", folder, "--prompts", "humaneval", "--json", "--rules")
    arguments += ("rejection,k_seq:2", "--temperatures", "1", "--limit", "2")
    found = {}
    for processes in ("1", "2"):
        out = tmp_path / processes
        document = run(*arguments, "--processes", processes, "--out", out).document
        assert document["settings"]["processes"] == int(processes)
        lines = (out / "cells.jsonl").read_text().splitlines()
        found[processes] = dict(map(_text_of, lines))
    assert found["1"] == found["2"]
    assert len(found["1"]) == len(lines) > 10
    timed = [line for line in lines if json.loads(json.loads(line)["key"])[0] in ("cell", "mode")]
    assert len(timed) == 2 * len(document["configurations"])
    (out / "cells.jsonl").write_text("".join(f"{line}\n" for line in lines if line != timed[3]))
    assert run(*arguments, "--processes", "2", "--out", out).code == 0
    after = (out / "cells.jsonl").read_text().splitlines()
    assert sorted(set(lines) - set(after)) == [timed[3]]
    assert dict(map(_text_of, after)) == found["2"]


def _text_of(line):
    """What an entry is of, but for the settings, and the text in it."""
    entry = json.loads(line)
    kind, _, _, *what = json.loads(entry["key"])
    text = entry["value"].get("tokens") if isinstance(entry["value"], dict) else None
    return json.dumps([kind, *what]), text


@pytest.mark.models
def test_chats_are_cut_within_their_template(smollm2):
    from spectheory.cli.bench_run import prompt_within

    text = "Name the planets, in the order of their distance from the sun. " * 3
    around = smollm2.tokenizer.decode(smollm2.chat("MESSAGE")).split("MESSAGE")
    for longest in (40, 64, 200):
        tokens = prompt_within(text, smollm2, longest, chat=True)
        assert len(tokens) <= longest
        whole = smollm2.tokenizer.decode(tokens)
        assert whole.startswith(around[0])
        assert whole.endswith(around[1])
        message = whole[len(around[0]) : -len(around[1])]
        assert message
        assert text.startswith(message)
    assert message.rstrip() == text.rstrip()  # the last one had room for all
    with pytest.raises(InputError, match="the chat template alone takes"):
        prompt_within(text, smollm2, 20, chat=True)


@pytest.mark.parametrize("mode", ["plain", "lookup", "assisted:2"])
def test_transformers_emit_as_many_tokens_as_we_do(mode):
    """Its own greedy text begins with a token that would end it."""
    pytest.importorskip("torch")
    pytest.importorskip("transformers")
    from spectheory.cli.bench_cells import run_choice, run_peer
    from spectheory.decoding.draft_source import NoDraft
    from tests.decoding.tiny_drafter import TOKENS, tiny

    target = tiny()
    plain = run_choice(target, NoDraft(), Choice("none", "rejection", 1, 0.0), (), TOKENS, 12, 0)
    target.module.generation_config.eos_token_id = plain.tokens[0]
    assert run_peer(target, Peer(mode, 0.0), TOKENS, 12, 0, room=30).tokens == plain.tokens


@pytest.mark.models
def test_peers(run, folder, tmp_path):
    """A compiled model with a static cache emits transformers' own greedy text."""
    arguments = ["bench", "decode", "--target", folder, "--limit", "1", "--new-tokens", "8"]
    arguments += ["--apart", "1", "--longest", "12", "--repeats", "1", "--drafts", "lookup"]
    arguments += ["--prompts", "humaneval", "--rules", "rejection", "--temperatures", "0"]
    out = tmp_path / "out"
    done = run(*arguments, "--peers", "plain,static,assisted:1", "--out", out, "--json").document
    modes = {"transformers", "transformers static", "transformers assisted:1"}
    found = {entry["name"]: entry for entry in done["configurations"]}
    assert set(found) == modes | {"plain", "lookup rejection"}
    for mode in modes:
        assert sum(found[mode]["greedy"].values()) == 1
        assert found[mode]["greedy"]["different"] == 0
    for peers, complaint in (
        ("beam", "`--peers` holds 'beam'"),
        ("assisted", "none of `--drafts` is a model"),
        ("assisted:7", "has layers 1 to 2"),
    ):
        assert complaint in run(*arguments, "--peers", peers, "--out", out).complaint


def settled(monkeypatch, *arguments):
    """Options and choices of a command line, without the run."""
    from spectheory.cli import bench

    class Reached(Exception):
        pass

    def measure(*given):
        raise Reached(*given)

    monkeypatch.setattr(bench, "_measure", measure)
    parser = argparse.ArgumentParser()
    bench.configure(parser)
    with pytest.raises(Reached) as reached:
        bench.run(parser.parse_args(["decode", *arguments]))
    return reached.value.args


def test_quick_fills_in_what_is_not_given(monkeypatch, tmp_path):
    pytest.importorskip("torch")
    at = ("--out", str(tmp_path))
    options, _ = settled(monkeypatch, "--quick", "--limit", "5", *at)
    assert (options.limit, options.new_tokens, options.apart) == (5, 24, 1)
    options, _ = settled(monkeypatch, "--new-tokens", "64", *at)
    assert (options.limit, options.new_tokens, options.apart) == (32, 64, 2)


def test_default_rules_are_those_of_the_executor(monkeypatch, tmp_path):
    pytest.importorskip("torch")
    at = ("--out", str(tmp_path), "--temperatures", "1", "--drafts", "distil")
    rules = {
        executor: {(c.rule, c.k) for c in settled(monkeypatch, *at, "--executor", executor)[1]}
        for executor in ("auto", "batched")
    }
    assert rules["auto"] - rules["batched"] == {("block", 1)}
    assert ("optimal_iid", 4) in rules["batched"]


def test_what_is_named_twice_is_timed_once(monkeypatch, tmp_path):
    pytest.importorskip("torch")
    twice = ("--drafts", "exit:2,exit:2", "--rules", "rejection,rejection:1")
    options, choices = settled(
        monkeypatch, *twice, "--temperatures", "0,0.0", "--out", str(tmp_path)
    )
    assert options.temperatures == (0,)
    assert [choice.name for choice in choices] == ["plain", "exit:2 rejection"]


def test_default_drafts_of_a_folder_are_none_of_the_package(monkeypatch, tmp_path):
    pytest.importorskip("torch")
    arguments = ("--quick", "--rules", "rejection", "--temperatures", "0", "--out", str(tmp_path))
    for target, drafts in (
        (str(tmp_path), {"none", "lookup"}),
        ("smollm2", {"none", "lookup", "distil", "lookup+distil"}),
    ):
        _, choices = settled(monkeypatch, *arguments, "--target", target)
        assert {choice.draft for choice in choices} == drafts


def test_modes_of_transformers():
    pytest.importorskip("torch")
    from spectheory.cli.bench import _peers
    from spectheory.decoding.draft_source import ModelDraft, NoDraft
    from spectheory.decoding.lookup import PromptLookup
    from spectheory.decoding.lookup_first import LookupFirst
    from tests.decoding.tiny_drafter import tiny

    target = tiny()
    behind = LookupFirst(PromptLookup(257), ModelDraft(tiny(layers=1)))
    sources = {"none": NoDraft(), "lookup+tiny": behind}
    for asked, modes in (
        (None, ["plain", "lookup", "assisted"]),
        ("assisted,assisted", ["assisted"]),
        ("", []),
    ):
        options = argparse.Namespace(peers=asked, temperatures=(0.0,))
        assert [peer.mode for peer in _peers(options, target, sources)] == modes


def test_texts_longer_than_the_context_are_refused_before_any_is_timed():
    pytest.importorskip("torch")
    from spectheory.cli.bench_run import BenchRun
    from tests.decoding.tiny_drafter import tiny

    options = argparse.Namespace(processes=1, longest=80, new_tokens=32, prompts="humaneval")
    with pytest.raises(
        InputError, match=r"80, 32; .* that is 129, and model `tiny` looks back on 128"
    ):
        BenchRun.of(options, tiny(), {})


def test_a_run_goes_on_only_with_the_weights_that_it_was_begun_with(tmp_path):
    """Target, draft and assistant are what they hold, whatever they are called."""
    pytest.importorskip("torch")
    pytest.importorskip("transformers")
    from spectheory.cli.bench_run import BenchRun, Prompt, _Work
    from spectheory.decoding.draft_source import ModelDraft, NoDraft
    from tests.decoding.tiny_drafter import TOKENS, tiny

    options = argparse.Namespace(
        processes=1, longest=8, new_tokens=8, prompts="humaneval", apart=1, limit=1, chat=False
    )
    vars(options).update(seed=0, repeats=1, out=tmp_path)
    seeds, keys = [(0, 1), (0, 2), (3, 1)], []
    for of_target, of_draft in seeds:
        sources = {"none": NoDraft(), "d": ModelDraft(tiny(seed=of_draft))}
        bench = BenchRun.of(options, tiny(seed=of_target), sources)
        prompt = Prompt("humaneval 0", 0, TOKENS)
        configurations = (
            Choice("none", "rejection", 1, 0.0),
            Choice("d", "rejection", 1, 0.0),
            Peer("plain", 0.0),
            Peer("assisted", 0.0),
        )
        keys.append([bench._cell_key(_Work(one, (), prompt)) for one in configurations])
    first, other_draft, other_target = keys
    same = [a == b for a, b in zip(first, other_draft, strict=True)]
    assert same == [True, False, True, False]
    assert not set(first) & set(other_target)


def test_refusals(run, tmp_path):
    pytest.importorskip("torch")
    for arguments, reason in (
        (("--drafts", "lookup,none"), "plain decoding is always timed"),
        (("--rules", "k_seq:17"), "`--rules` holds 'k_seq:17'; k is at most 16"),
        (("--rules", "block:2"), "block verification takes one chain"),
        (("--rules", "rejection:2"), "which rule `rejection` does not cover"),
        (("--rules", "recursive_without_replacement:3"), "no closed form of the acceptance"),
        (("--rules", "optimal_distinct:2"), "no closed form of the acceptance"),
        (("--rules", "optimal_heterogeneous:2"), "draws each draft from a law of its own"),
        (("--processes", "4096"), "`--processes` is 4096, and there are"),
    ):
        assert reason in run("bench", "decode", *arguments).complaint
    assert (
        "does not have" in run(*COMMAND[:2], "--rules", "block", "--executor", "batched").complaint
    )
    assert "expected at least 8" in run("bench", "decode", "--new-tokens", "2").complaint
    assert "`--rules` holds 'k_seq:x'" in run("bench", "decode", "--rules", "k_seq:x").complaint
    path = tmp_path / "file"
    path.write_text("")
    assert "which is a file" in run("bench", "decode", "--out", path).complaint
