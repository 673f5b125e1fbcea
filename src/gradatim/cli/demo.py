"""`gradatim demo`: the whole line on the sample world, in about a minute, without data and without network."""

import time
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from gradatim.cli.console import CountBar, print_json, say, silent


def demo(
    *,
    output: Annotated[Path, Parameter(name=["--output", "-o"])] = Path("gradatim-demo"),
    rows: int = 1200,
    seed: int = 0,
    minutes: float = 1.1,
    force: Annotated[bool, Parameter(negative="")] = False,
    json: Annotated[bool, Parameter(negative="")] = False,
    quiet: Annotated[bool, Parameter(negative="")] = False,
) -> None:
    """Make the sample world, fit it, explain it, answer its test rows, write submission.csv and report.html.

    Parameters
    ----------
    output
        The folder to write to.
    rows
        Training rows.
    seed
        Same seed, same world, same run.
    minutes
        Time for the fit.
    force
        Replace what an earlier demo wrote.
    json
        Print the facts of the report as JSON.
    quiet
        Say nothing but errors.
    """
    began = time.perf_counter()
    from gradatim.cli.evaluate import show_scores
    from gradatim.cli.fit import show_run
    from gradatim.data.scenes import make_scenes
    from gradatim.errors import GradatimError
    from gradatim.files import write_atomic
    from gradatim.run import fit

    speak = silent if quiet or json else say
    world, run_folder = output / "scenes", output / "run"
    if output.exists() and any(output.iterdir()) and not force:
        raise GradatimError(f"{output}: the folder is not empty; choose another -o, or pass --force to write over it")
    if force:
        remove_world(world)
    make_scenes(world, rows=rows, seed=seed)
    speak(f"sample world: {world}/train.csv, test.csv, images/")
    run = fit(world / "train.csv", target="group",
              test=world / "test.csv", output=run_folder, minutes=minutes, seed=seed, force=force, levers=True,
              say=speak,
              progress=None if quiet or json else CountBar())
    answers = run.predict(world / "test.csv", id="image_name")
    write_atomic(output / "submission.csv", answers.submission("image_name").write_csv())
    scores = run.evaluate(world / "test.csv", labels=world / "test_labels.csv", id="image_name")
    if json:
        print_json({"facts": run.facts, "test": scores})
        return
    if quiet:
        return
    show_run(run)
    print()
    print("The held-back test_labels.csv, scored once:")
    show_scores(scores, "accuracy")
    print(f"\nsubmission: {output / 'submission.csv'}\nreport:     {run_folder / 'report.html'}\n"
          f"{time.perf_counter() - began:.0f} s in all")


def remove_world(world: Path) -> None:
    """Delete the sample world that an earlier demo made, and nothing else."""
    for name in ("train.csv", "test.csv", "test_labels.csv", "LICENCE.txt"):
        (world / name).unlink(missing_ok=True)
    for path in (world / "images").glob("scene_*.png"):
        path.unlink()
