"""Train language models that can be played again, note for note. README.md has the map."""
