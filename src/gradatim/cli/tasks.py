"""`gradatim tasks`: list the tasks; show one with every option of `fit` that it takes."""

from typing import Annotated, Any

from cyclopts import Parameter

from gradatim.cli.console import print_json, show_table

COLUMNS = ("option", "values", "default", "what it is")


def tasks(name: str | None = None, *, json: Annotated[bool, Parameter(negative="")] = False) -> None:
    """List the tasks, or show one: the options of `gradatim fit` that it takes, its own --option NAME=VALUE first.

    Parameters
    ----------
    name
        A task, as classification.
    json
        Print JSON.
    """
    from gradatim.tasks.declared import DECLARED, declaration_of, rows_of

    if name is not None:
        declared = declaration_of(name)
        if json:
            print_json({"name": name, "what": declared.line, "options": rows_of(name)})
            return
        print(f"{name}: {declared.line}\n")
        for title, rows in tables_of(name).items():
            show_table(title, COLUMNS, rows)
        return
    listed = [{"name": task, "what": one.line, "options": [option.flag for option in (*one.own, *one.general)]}
              for task, one in DECLARED.items()]
    if json:
        print_json(listed)
        return
    show_table("Tasks", ("task", "what it gives", "options of its own"),
               [(task, one.line, ", ".join(option.name for option in one.own)) for task, one in DECLARED.items()])


def tables_of(task: str) -> dict[str, list[tuple[str, ...]]]:
    """Title → rows of COLUMNS: the task's own options, then the general ones by group."""
    from gradatim.tasks.declared import rows_of
    from gradatim.tasks.options import OWN

    found: dict[str, list[tuple[str, ...]]] = {}
    for option in rows_of(task):
        title = f"Options of {task}" if option["group"] == OWN else option["group"].capitalize()
        found.setdefault(title, []).append(
            (option["flag"], option["values"], said(option["default"]), option["help"]))
    return found


def said(default: Any) -> str:
    """A default in words; nothing for one that is chosen from the data."""
    if default is None or default == {} or default == ():
        return ""
    if isinstance(default, bool):
        return "yes" if default else "no"
    return ", ".join(map(str, default)) if isinstance(default, tuple) else f"{default}"
