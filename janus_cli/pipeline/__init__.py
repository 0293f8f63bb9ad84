"""One model behind all stages: the Python API.

Knows how stages make pictures, words and sounds; loads a net when a stage first needs it.
"""

from janus_cli.pipeline.options import PictureOptions, Sampling, Size
from janus_cli.pipeline.pipeline import Pipeline, Watch, load
from janus_cli.pipeline.plan import Plan, Prompt

__all__ = ["PictureOptions", "Pipeline", "Plan", "Prompt", "Sampling", "Size", "Watch", "load"]
