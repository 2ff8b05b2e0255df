"""``spectheory continuous demo``."""

import json
from collections import Counter

import numpy as np
import pytest

from spectheory.cli import main
from spectheory.digits import diffusion_decoding, diffusion_measure, frechet

DEMO = ["continuous", "demo", "--images", "12", "--rules", "shared_noise,cspd_released"]


def test_json_and_pictures(tmp_path, capsys):
    assert main([*DEMO, "--out", str(tmp_path), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert main([*DEMO, "--out", str(tmp_path), "--json"]) == 0  # a seed repeats
    assert json.loads(capsys.readouterr().out)["rules"] == found["rules"]
    exact, released = found["rules"]
    assert (exact["rule"], exact["law"]) == ("shared_noise", "law-lossless")
    assert (released["rule"], released["law"]) == ("cspd_released", "lossy")
    low, high = exact["interval"]
    assert 0 < low < exact["acceptance"] < high < 1
    assert 1 < exact["tokens_per_target_pass"] < 5
    assert released["speed_up"]["truncating"] is None
    assert released["tokens_per_target_pass"] == 4
    picture = (tmp_path / "digits.png").read_bytes()
    assert picture.startswith(b"\x89PNG")
    assert len(picture) > 5_000


def test_the_table_is_for_people_and_streams_are_apart(tmp_path, capsys, monkeypatch):
    streams = []

    def watched(module, name):
        called = getattr(module, name)

        def call(*given, **named):
            one = named.get("seed", [x for x in given if isinstance(x, np.random.Generator)])
            rng = one[0] if isinstance(one, list) else np.random.default_rng(one)
            streams.append(rng.bit_generator.state["state"]["state"])
            return called(*given, **named)

        monkeypatch.setattr(module, name, call)

    watched(diffusion_decoding, "plain")
    watched(diffusion_decoding, "generate")
    watched(diffusion_measure, "share_interval")
    watched(frechet, "frechet_test")
    assert main([*DEMO, "--out", str(tmp_path), "--prefill", "12", "--guidance", "1.5"]) == 0
    # images of target, draft and two rules; a bootstrap and dealt sets, the same for each rule
    assert sorted(Counter(streams).values()) == [1, 1, 1, 1, 2, 2]
    captured = capsys.readouterr()
    assert "shared_noise" in captured.out
    assert "95% interval" in captured.out
    assert "digits.png" in captured.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["demo", "--rules", "cspd"], "no path rule `cspd`"),
        (["demo", "--rules", "marginal"], "no network has"),
        (["demo", "--floor", "0"], "not a positive number"),
        (["demo", "--prefill", "16"], "`--prefill` is 16; expected less than the 16 tokens"),
        (["demo", "--prefill", "17", "--json"], "`--prefill` is 17"),
        (["demo", "--guidance", "nan"], "`guidance`"),
        (["film"], "invalid choice"),
    ],
)
def test_bad_arguments(arguments, message, capsys):
    assert main(["continuous", *arguments]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
