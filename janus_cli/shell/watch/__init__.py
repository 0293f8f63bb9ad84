"""Watching pictures arrive: in the terminal, as numbered frames, as an animation."""
