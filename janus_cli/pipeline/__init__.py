"""One model behind all stages: the Python API. Loads a component when a stage first needs it."""

from janus_cli.pipeline.model import DrawOptions, Pipeline, load

__all__ = ["DrawOptions", "Pipeline", "load"]
