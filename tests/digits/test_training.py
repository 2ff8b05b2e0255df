"""The training loop resumes bit for bit, and its files are refused when they do not fit."""

from dataclasses import replace

import pytest
import torch

from spectheory.digits.weights import load_weights, save_weights
from spectheory.errors import ChecksumMismatch, InputError, ModelFailure, SourceUnavailable
from spectheory.training import Training, train

SETTINGS = Training(steps=40, every=10, warmup=5, averaging=0.9)


def model(width=4):
    torch.manual_seed(0)
    return torch.nn.Linear(width, 1)


def loss(net, generator):
    x = torch.randn(16, net.in_features, generator=generator)
    return ((net(x)[:, 0] - x.sum(dim=1)) ** 2).mean()


class Killed(Exception):
    pass


def killed_after(steps):
    def report(done):
        if done == steps:
            raise Killed

    return report


def test_a_killed_run_ends_like_one_that_was_not(tmp_path):
    whole = train(model(), loss, SETTINGS, tmp_path / "whole.pt")
    with pytest.raises(Killed):
        train(model(), loss, SETTINGS, tmp_path / "cut.pt", killed_after(27))
    resumed = train(model(), loss, SETTINGS, tmp_path / "cut.pt")
    for a, b in zip(whole.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(a, b)
    assert not torch.equal(next(model().parameters()), next(whole.parameters()))


def test_checkpoints_that_do_not_fit_are_refused(tmp_path):
    file = tmp_path / "a.pt"
    train(model(), loss, SETTINGS, file)
    with pytest.raises(InputError, match="other settings"):
        train(model(), loss, replace(SETTINGS, rate=1e-3), file)
    with pytest.raises(InputError, match="another model"):
        train(model(5), loss, SETTINGS, file)
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(InputError, match="cannot be read"):
        train(model(), loss, SETTINGS, file)


def test_a_loss_that_is_not_finite_is_an_error(tmp_path):
    with pytest.raises(ModelFailure, match="step 0"):
        train(model(), lambda net, _: net.weight.sum() * torch.nan, SETTINGS, tmp_path / "a.pt")


def test_weights_come_back_and_are_checked(tmp_path):
    trained = model()
    path = save_weights("tiny", trained, tmp_path)
    save_weights("other", model(7), tmp_path)
    loaded = load_weights("tiny", model(), tmp_path)
    assert torch.equal(loaded.weight, trained.weight.half().float())
    with pytest.raises(SourceUnavailable, match="do not fit"):
        load_weights("tiny", model(5), tmp_path)
    with pytest.raises(SourceUnavailable, match=r"other\.safetensors"):
        load_weights("absent", model(), tmp_path)
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    with pytest.raises(ChecksumMismatch, match="changed or damaged"):
        load_weights("tiny", model(), tmp_path)
