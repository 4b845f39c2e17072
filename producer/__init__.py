"""The `regioncap` command."""
