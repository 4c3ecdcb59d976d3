"""One module a command; `modelseal.cli` imports the one that was asked for."""
