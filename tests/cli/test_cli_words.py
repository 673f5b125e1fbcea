"""`gradatim words`: learned from a table, kept, read again, asked."""

import json
from pathlib import Path

import numpy as np
import pytest

from gradatim.cli.words import words
from gradatim.errors import DataError, GradatimError


def test_learned_kept_and_asked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    random = np.random.default_rng(0)
    rooms = (("king", "queen", "palace"), ("cook", "oven", "bread"))
    lines = [" ".join(random.choice(rooms[row % 2], 4)) for row in range(300)]
    (tmp_path / "t.csv").write_text("text,other\n" + "\n".join(f"{line},1" for line in lines))
    words(tmp_path / "t.csv", column="text", width=12, epochs=60, near=("king",), count=2, output=tmp_path / "v.vec",
          quiet=True)
    shown = capsys.readouterr().out
    assert "queen" in shown and "palace" in shown and "oven" not in shown
    words(tmp_path / "v.vec", near=("oven",), analogy=("king,queen,oven",), count=2, json=True)
    found = json.loads(capsys.readouterr().out)
    assert found["width"] == 12 and {word for word, _ in found["near"]["oven"]} == {"cook", "bread"}
    assert len(found["analogies"]["king,queen,oven"]) == 2
    with pytest.raises(GradatimError, match="three words"):
        words(tmp_path / "v.vec", analogy=("king,queen",))
    with pytest.raises(DataError, match="--column"):
        words(tmp_path / "t.csv")
    with pytest.raises(DataError, match="lower --min-count"):
        words(tmp_path / "t.csv", column="text", min_count=10_000, quiet=True)
