"""`gradatim export`: a run as one file for other programs, checked against the run's own answers."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from gradatim.cli.console import print_json, say, silent

Flag = Annotated[bool, Parameter(negative="")]


def export(
    run: Path,
    *,
    format: str = "onnx",
    output: Annotated[Path | None, Parameter(name=["--output", "-o"])] = None,
    layout: str = "nhwc",
    int8: Flag = False,
    data: str | None = None,
    networks_only: Flag = False,
    tolerance: float = 1e-3,
    force: Flag = False,
    json: Flag = False,
    quiet: Flag = False,
) -> None:
    """Write a run as one file, ONNX or PyTorch's archive; it has answered rows of yours as the run does, or it is not
    written.

    Pictures go in as uint8 of any size: resizing, normalising, the networks, their average and the temperature are in
    the graph, probabilities come out. For other columns the encoded tensors go in; FILE.json says how they are made.

    Parameters
    ----------
    run
        The folder of a run.
    format
        onnx (for onnxruntime and many others) or pt2 (for torch.export.load).
    output
        The file to write; default: the run's name with .onnx or .pt2, in its folder.
    layout
        Order of the sizes of pictures: nhwc (as Pillow and OpenCV give them) or nchw.
    int8
        Also write FILE.int8.onnx: 8-bit weights and activations, ranges measured on development rows; the change of
        the metric is measured on test rows, sizes and speeds are printed.
    data
        A table to check with, where the fitted one is gone.
    networks_only
        Leave out members that no graph can say (heads on words or tables, trees): the answer is no longer the run's.
    tolerance
        Largest difference of a probability; of a number: in deviations of the target.
    force
        Replace the files when they exist.
    json
        Print the description as JSON.
    quiet
        Say nothing but errors.
    """
    from gradatim.export.files import FORMATS
    from gradatim.export.run import export_run
    from gradatim.run import load

    speak = silent if quiet or json else say
    path = output or run / f"{run.resolve().name}{FORMATS.get(format, '')}"
    about = export_run(
        load(run), path, form=format, layout=layout, int8=int8, data=data, networks_only=networks_only,
        tolerance=tolerance, force=force, say=speak,
    )
    if json:
        print_json({"file": path, **about})
    else:
        speak(f"saved: {path}  ({path.stat().st_size / 1e6:.2f} MB), described in {path.name}.json")
