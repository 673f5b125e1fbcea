"""One module a task; the kind of the target picks it."""
