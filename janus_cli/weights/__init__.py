"""Weight files to modules and back, always strict: our own, and published checkpoints under other names."""

from janus_cli.weights.modules import fill, hollow, load, save

__all__ = ["fill", "hollow", "load", "save"]
