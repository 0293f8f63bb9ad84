"""Pictures, sounds and files as bytes and numpy arrays. Knows formats; no tokens, no nets."""
