"""The command line: `mirrorgate run` and `mirrorgate check`. Each command is thin; what it does lives below."""
