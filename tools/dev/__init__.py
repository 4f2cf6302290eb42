"""The developer's own commands: checks and tests."""
