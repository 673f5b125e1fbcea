"""Write docs/commands/NAME.md for every command from its own `--help`. A test checks that the pages are current.

    python scripts/write_command_docs.py
"""

import os
import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parent.parent / "docs" / "commands"
PAGE = """# gradatim {name}

{line}

```text
{help}
```

Written by `python scripts/write_command_docs.py` from `gradatim {name} --help`.
"""
INDEX = """# Commands

{rows}

Exit codes: 0 done; 1 a finding under `--strict` or a failed check; 2 an input to mend; 130 interrupted.

Written by `python scripts/write_command_docs.py`.
"""


def main() -> None:
    """Write the pages and remove those of commands that are gone."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    written = pages()
    for path in FOLDER.glob("*.md"):
        if path.name not in written:
            path.unlink()
    for name, text in written.items():
        (FOLDER / name).write_text(text, encoding="utf-8")
    print(f"{FOLDER}: {len(written)} pages")


def pages() -> dict[str, str]:
    """File name → text of each page."""
    from gradatim.cli import COMMANDS

    written = {
        f"{name}.md": PAGE.format(name=name, line=line, help=help_of(name)) for name, (_, line) in COMMANDS.items()
    }
    rows = "\n".join(f"- [`gradatim {name}`]({name}.md): {line}" for name, (_, line) in COMMANDS.items())
    written["tasks.md"] += "\n" + tables()
    return {"README.md": INDEX.format(rows=rows), **written}


def tables() -> str:
    """The options of each task as Markdown."""
    from gradatim.cli.tasks import COLUMNS, tables_of
    from gradatim.tasks.declared import DECLARED

    parts = []
    for task, declared in DECLARED.items():
        rows = [row for group in tables_of(task).values() for row in group]
        lines = [f"| {' | '.join(COLUMNS)} |", "|---" * len(COLUMNS) + "|"]
        lines += ["| " + " | ".join([f"`{row[0]}`", *row[1:]]) + " |" for row in rows]
        parts.append(f"## {task}\n\n{declared.line.capitalize()}.\n\n" + "\n".join(lines) + "\n")
    return "\n".join(parts)


def help_of(name: str) -> str:
    """The help of a command as plain text, a hundred columns wide whatever the terminal."""
    plain = {**os.environ, "COLUMNS": "100", "NO_COLOR": "1", "TERM": "dumb", "PYTHONIOENCODING": "utf-8"}
    plain.pop("FORCE_COLOR", None)
    code = f"import sys; sys.argv = ['gradatim', {name!r}, '--help']; from gradatim.cli import main; main()"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=plain, check=False)
    if result.returncode != 0:
        sys.exit(f"gradatim {name} --help: expected exit code 0, received {result.returncode}\n{result.stderr}")
    return "\n".join(line.rstrip() for line in result.stdout.strip().splitlines())


if __name__ == "__main__":
    main()
