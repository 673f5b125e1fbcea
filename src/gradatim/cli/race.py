"""`gradatim race`: optimisers from one start down a surface, as a table, a picture and an animation."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from gradatim.cli.console import print_json, refuse_idle, say, show_table

PICTURES = (".svg", ".png", ".gif")


def race(
    *,
    surface: str = "beale",
    optimisers: Annotated[str | None, Parameter(name=["--optimisers", "--optimizers"])] = None,
    learning_rate: str | None = None,
    steps: int = 500,
    start: Annotated[str | None, Parameter(allow_leading_hyphen=True)] = None,
    noise: float = 0.0,
    tolerance: float = 0.01,
    seed: int = 0,
    output: Annotated[Path | None, Parameter(name=["--output", "-o"])] = None,
    dark: Annotated[bool, Parameter(negative="")] = False,
    force: Annotated[bool, Parameter(negative="")] = False,
    json: Annotated[bool, Parameter(negative="")] = False,
) -> None:
    """Race optimisers down a surface: who comes to a minimum, after how many steps, and what became of the others.

    Parameters
    ----------
    surface
        parabola (or x^2), gaussians, beale, rosenbrock, himmelblau, saddle, plateau, ravine, tilted-ravine, regression.
    optimisers
        Names with commas between: random, newton, saddle-free-newton, gauss-newton, levenberg-marquardt, lbfgs,
        lbfgs-armijo, gradient-descent, mini-batch, sgd, momentum, momentum-of-steps, nesterov, nesterov-look-ahead,
        adagrad, adadelta, so-called-adadelta, rmsprop, rmsprop-centred, adam, amsgrad, adamw, adamax, nadam; or all.
        Default: sgd,momentum,nesterov,adagrad,rmsprop,adam.
    learning_rate
        One rate for all first-order rules, as 0.01; or by name, as adam=0.1,sgd=0.01; or both, as 0.01,adam=0.1.
        Default: for each optimiser the best of 1, 2, 5, 10 ... on that surface.
    steps
        How many steps each may take.
    start
        Where all begin, as 1,1.5; default: the surface's own start.
    noise
        Standard deviation of the noise on a gradient; mini-batch sees the mean of 8, gradient-descent none.
    tolerance
        How near to a minimum counts as arrived.
    seed
        Seed of the noise, the samples and the random perturbation.
    output
        A file to draw, .svg, .png or .gif (animated), or a folder for all three and the numbers as JSON.
    dark
        Draw PNG and GIF for dark pages; an SVG follows its reader.
    force
        Replace files that exist.
    json
        Print everything as JSON, paths included.
    """
    from gradatim.autodiff.race.race import RACERS, USUAL, fits
    from gradatim.autodiff.race.race import race as run_race
    from gradatim.autodiff.race.surfaces import find_surface

    ground = find_surface(surface)
    names = USUAL if optimisers is None else tuple(name.strip() for name in optimisers.split(",") if name.strip())
    if names == ("all",):
        names = tuple(name for name in RACERS if fits(name, ground))
    refuse_idle("-o FILE to draw to", dark=dark and (output is None or output.suffix.lower() == ".svg"))
    files = targets(output, ground.name, force)
    done = run_race(
        ground, names, learning_rate=None if learning_rate is None else parse_rates(learning_rate), steps=steps,
        start=None if start is None else parse_point(start), noise=noise, seed=seed, tolerance=tolerance,
    )  # fmt: skip
    if json:
        print_json(done.to_json())
    else:
        point = ", ".join(f"{number:g}" for number in done.start)
        stirred = f", noise {noise:g}" if noise else ""
        show_table(f"{ground.name}: {ground.formula}, from ({point}), {steps} steps{stirred}",
                   done.header, done.rows())  # fmt: skip
        print(f"Notice: {ground.notice}.")
    for file in files:
        if file.suffix == ".json":
            from gradatim.files import write_json

            write_json(file, done.to_json())
        elif file.suffix.lower() == ".gif":
            done.animate(file, dark=dark)
        else:
            done.plot(file, dark=dark)
        say(f"wrote {file}")


def targets(output: Path | None, name: str, force: bool) -> list[Path]:
    """The files to write: the one named, or the pictures and numbers in a folder."""
    from gradatim.errors import GradatimError

    if output is None:
        return []
    if output.suffix.lower() in PICTURES and not output.is_dir():
        files = [output]
    elif output.suffix and not output.is_dir():
        raise GradatimError(f"{output}: expected a folder, or a file named .svg, .png or .gif")
    else:
        files = [output / f"race-{name}{suffix}" for suffix in (*PICTURES, ".json")]
    there = [file for file in files if file.exists()]
    if there and not force:
        raise GradatimError(f"{there[0]}: the file exists; choose another -o, or pass --force to replace it")
    return files


def parse_rates(text: str) -> dict[str, float]:
    """'0.01,adam=0.1' → {"*": 0.01, "adam": 0.1}.

    >>> parse_rates("0.01,adam=0.1")
    {'*': 0.01, 'adam': 0.1}
    """
    from gradatim.errors import GradatimError

    found: dict[str, float] = {}
    for part in text.split(","):
        name, sign, number = part.strip().rpartition("=")
        name = name.strip() if sign else "*"
        try:
            rate = float(number)
        except ValueError:
            rate = -1.0
        if not name or not 0 < rate < float("inf") or name in found:
            raise GradatimError(
                f"--learning-rate: expected a positive number, or NAME=NUMBER, each once, received '{text}'"
            )
        found[name] = rate
    return found


def parse_point(text: str) -> list[float]:
    """'1,1.5' → [1.0, 1.5].

    >>> parse_point("-1, 1.5")
    [-1.0, 1.5]
    """
    from gradatim.errors import GradatimError

    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise GradatimError(f"--start: expected numbers such as 1,1.5, received '{text}'") from None
