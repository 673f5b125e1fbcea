"""One plain training loop and what hangs on it."""
