"""The exam of a model, on lists that were fixed before it was trained."""
