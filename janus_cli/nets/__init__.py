"""The networks: torch modules, pure. No files, no records."""
