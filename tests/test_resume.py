"""A run that is killed goes on and ends with the same bits; Ctrl-C leaves a run that can go on."""

import csv
import shutil
import signal
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from safetensors import safe_open

from gradatim.cli import main
from gradatim.train.hooks import Checkpoint
from killing import done, killed, same_files, signalled, start

EPOCHS = 40
FIT = ["fit", "train.csv", "--target", "y", "--epochs", str(EPOCHS), "--ledger", "none", "--seed", "1"]


def write_table(path: Path) -> Path:
    """The product of two slanted halves: neither linear heads nor a few trees say it, a network does."""
    noise = np.random.default_rng(0)
    x = noise.normal(size=(300, 4))
    y = (x @ [1, 1, -1, 0.5] > 0) ^ (x @ [1, -1, 0.5, 1] > 0)
    with open(path, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["a", "b", "c", "d", "y"])
        writer.writerows([*(f"{value:.4f}" for value in row), ("no", "yes")[int(label)]] for row, label in zip(x, y))
    return path


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nobody interrupted; train.csv lies beside it."""
    folder = tmp_path_factory.mktemp("unbroken")
    write_table(folder / "train.csv")
    done([*FIT, "-o", "run"], folder)
    return folder / "run"


def test_killed_twice_and_resumed_ends_with_the_same_bits(unbroken: Path, tmp_path: Path) -> None:
    write_table(tmp_path / "train.csv")
    run = tmp_path / "run"
    killed([*FIT, "-o", "run"], tmp_path, "network-1")
    killed(["fit", "--resume", "run"], tmp_path, "refit-1")
    done(["fit", "--resume", "run"], tmp_path)
    with safe_open(run / "weights.safetensors", framework="pt") as weights:
        assert any("encoders" in name for name in weights.keys()), "this table should choose the network"  # noqa: SIM118
    names = ("weights.safetensors", "predictions/development.csv", "predictions/test.csv", "schema.json")
    same_files(unbroken, run, names)


@pytest.mark.parametrize("resumed", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_ctrl_c_leaves_a_run_that_can_go_on(resumed: bool, unbroken: Path, tmp_path: Path) -> None:
    write_table(tmp_path / "train.csv")
    run = tmp_path / "run"
    process = start([*FIT, "-o", "run", "--quiet"], tmp_path)
    code, said = signalled(process, run, "network-1", signal.SIGINT)
    assert code == 130, said
    assert said.strip().splitlines() == ["gradatim: interrupted; go on with `gradatim fit --resume run`"]
    assert list((run / "checkpoints" / "network-1").glob("checkpoint-*.json"))
    if resumed:
        done(["fit", "--resume", "run", "--quiet"], tmp_path)
        assert (run / "weights.safetensors").read_bytes() == (unbroken / "weights.safetensors").read_bytes()


def test_a_signal_between_the_last_epoch_and_the_end_is_not_lost(tmp_path: Path) -> None:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
    for reason, heard in (("epochs", True), ("plateau", True), ("error", False), ("interrupted", False)):
        hook = Checkpoint(tmp_path)
        training: Any = SimpleNamespace(history=SimpleNamespace(reason=reason))
        hook.start(training)
        signal.raise_signal(signal.SIGINT)
        if heard:
            with pytest.raises(KeyboardInterrupt):
                hook.end(training)
        else:
            hook.end(training)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    signal.signal(signal.SIGINT, before)


def complaint(words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> str:
    monkeypatch.setattr(sys, "argv", ["gradatim", *words])
    with pytest.raises(SystemExit) as caught:
        main()
    assert caught.value.code == 2
    return capsys.readouterr().err.strip().splitlines()[-1]


def test_a_finished_run_refuses_to_go_on(
    unbroken: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path: path.read_bytes() for path in unbroken.rglob("*") if path.is_file()}
    assert "finished" in complaint(["fit", "--resume", str(unbroken)], monkeypatch, capsys)
    assert {path: path.read_bytes() for path in unbroken.rglob("*") if path.is_file()} == before


def test_changed_data_and_a_run_in_the_way_are_refused(
    unbroken: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Stop a run at its first training step, in this process, then change its table."""
    monkeypatch.chdir(tmp_path)
    write_table(tmp_path / "train.csv")

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("gradatim.tasks.budget.fit", interrupted)
        patch.setattr(sys, "argv", ["gradatim", *FIT, "-o", "run"])
        with pytest.raises(SystemExit) as caught:
            main()
    assert caught.value.code == 130 and "--resume run" in capsys.readouterr().err
    assert "--force" in complaint([*FIT, "-o", "run"], monkeypatch, capsys)
    assert "--resume" in complaint(["predict", "run", "train.csv"], monkeypatch, capsys)
    lines = (tmp_path / "train.csv").read_text().splitlines()
    shutil.copy("train.csv", "before.csv")
    (tmp_path / "train.csv").write_text("\n".join([*lines[:5], lines[5].replace("-", "1"), *lines[6:]]) + "\n")
    assert "changed" in complaint(["fit", "--resume", "run"], monkeypatch, capsys)
    assert (tmp_path / "run" / "request.json").is_file() and (tmp_path / "run" / "checkpoints").is_dir()
    (tmp_path / "train.csv").unlink()
    assert "train.csv" in complaint(["fit", "--resume", "run"], monkeypatch, capsys)
