"""What each column is taken for: its kind, its role, and the evidence. The file decides; the user may edit it."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from gradatim.errors import SchemaError
from gradatim.files import read_json, write_json

KINDS = ("number", "category", "text", "image", "audio", "series", "labels", "boxes", "mask", "instances", "points",
         "tags", "identity")
ROLES = ("input", "target", "id", "group", "time", "ignore")
FORMAT = 1


@dataclass(frozen=True, slots=True)
class Column:
    """One column of the table. `why` is the evidence, one sentence a rule; `options` go to the codec."""

    name: str
    kind: str
    role: str
    why: tuple[str, ...] = ()
    options: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise SchemaError(f"column '{self.name}': expected a kind among {', '.join(KINDS)}, received '{self.kind}'")
        if self.role not in ROLES:
            raise SchemaError(f"column '{self.name}': expected a role among {', '.join(ROLES)}, received '{self.role}'")


@dataclass(frozen=True, slots=True)
class Schema:
    """The columns in the order of the table, and the task when the user has named one.

    >>> schema = Schema((Column("picture", "image", "input"), Column("label", "category", "target")))
    >>> [column.name for column in schema.inputs]
    ['picture']
    """

    columns: tuple[Column, ...]
    task: str | None = None

    def __post_init__(self) -> None:
        names = [column.name for column in self.columns]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise SchemaError(f"expected each column once, received {', '.join(map(repr, twice))} twice")

    def __getitem__(self, name: str) -> Column:
        for column in self.columns:
            if column.name == name:
                return column
        known = ", ".join(column.name for column in self.columns)
        raise SchemaError(f"expected a column among {known}; received '{name}'")

    def with_role(self, role: str) -> tuple[Column, ...]:
        """The columns of one role."""
        return tuple(column for column in self.columns if column.role == role)

    @property
    def inputs(self) -> tuple[Column, ...]:
        """The input columns."""
        return self.with_role("input")

    @property
    def targets(self) -> tuple[Column, ...]:
        """The target columns."""
        return self.with_role("target")

    def changed(self, name: str, **changes: Any) -> "Schema":
        """A copy in which one column differs."""
        self[name]
        return replace(
            self, columns=tuple(replace(c, **changes) if c.name == name else c for c in self.columns)
        )

    def to_json(self) -> dict[str, Any]:
        """A JSON object that `from_json` reads back."""
        columns = [
            {"name": c.name, "kind": c.kind, "role": c.role, "why": list(c.why), "options": c.options}
            for c in self.columns
        ]
        return {"format": FORMAT, "task": self.task, "columns": columns}

    @classmethod
    def from_json(cls, value: Any) -> "Schema":
        """Read what `to_json` wrote or a user edited."""
        if not isinstance(value, dict) or not isinstance(value.get("columns"), list):
            raise SchemaError("expected a schema: an object with a list 'columns'; write one with `gradatim schema`")
        if value.get("format", FORMAT) != FORMAT:
            raise SchemaError(f"expected schema format {FORMAT}, received {value['format']!r}; upgrade gradatim")
        columns = []
        for entry in value["columns"]:
            if not isinstance(entry, dict) or not {"name", "kind", "role"} <= entry.keys():
                raise SchemaError(f"expected a column with name, kind and role, received {entry!r}")
            why = entry.get("why") or []
            why = why if isinstance(why, list) else [why]
            options = entry.get("options") or {}
            if not isinstance(options, dict):
                raise SchemaError(f"column '{entry['name']}': expected options as an object, received {options!r:.80}")
            columns.append(
                Column(str(entry["name"]), str(entry["kind"]), str(entry["role"]), tuple(map(str, why)), dict(options))
            )
        task = value.get("task")
        return cls(tuple(columns), None if task is None else str(task))

    def save(self, path: Path | str) -> None:
        """Write the schema as JSON."""
        write_json(path, self.to_json())

    @classmethod
    def load(cls, path: Path | str) -> "Schema":
        """Read a schema file."""
        return cls.from_json(read_json(path))
