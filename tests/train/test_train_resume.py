"""A run that was killed goes on as if nothing had happened, to the last bit."""

import json
import os
import runpy
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

SCRIPT = Path(__file__).with_name("killed_run.py")


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess:
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(SCRIPT), str(folder), *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)


@pytest.fixture
def one_thread():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(
    "optimizer",
    ["adamw", pytest.param("muon", marks=pytest.mark.slow), pytest.param("momentum", marks=pytest.mark.slow)],
)
def test_resume_after_sigkill_is_bit_equal(tmp_path, optimizer, one_thread):
    main = runpy.run_path(str(SCRIPT))["main"]
    for name in ("whole", "killed"):
        (tmp_path / name).mkdir()
    main(tmp_path / "whole", optimizer, None)
    killed = run(tmp_path / "killed", optimizer, "21")  # the fifth step of epoch 3
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert not (tmp_path / "killed" / "final.safetensors").exists()
    # A leftover of a half-written newer checkpoint, as a crash may leave it, is passed over.
    checkpoints = tmp_path / "killed" / "checkpoints"
    newest = sorted(checkpoints.glob("*.json"))[-1]
    assert newest.stem == "checkpoint-000000020"
    (checkpoints / "checkpoint-000000999.json").write_bytes(newest.read_bytes()[:100])
    (checkpoints / "checkpoint-000000998.safetensors").write_bytes(b"half")
    if optimizer == "adamw":
        resumed = run(tmp_path / "killed", optimizer)
        assert resumed.returncode == 0, resumed.stderr
    else:
        main(tmp_path / "killed", optimizer, None)
    expected, found = (load_file(tmp_path / name / "final.safetensors") for name in ("whole", "killed"))
    assert expected.keys() == found.keys()
    for name, tensor in expected.items():
        assert tensor.dtype == found[name].dtype, name
        assert torch.equal(tensor, found[name]), name
    facts = [json.loads((tmp_path / name / "facts.json").read_text()) for name in ("whole", "killed")]
    assert facts[0] == facts[1]
    lines = [(tmp_path / name / "history.csv").read_text().splitlines() for name in ("whole", "killed")]
    assert len(lines[0]) == len(lines[1]) == 7
    cut = [[line.rsplit(",", 1)[0] for line in part] for part in lines]
    assert cut[0] == cut[1]
