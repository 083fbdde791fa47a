"""The command line. Each command is thin; what it does lives below, and it is imported only when it is asked for."""
