"""One model behind all stages: the Python API.

Knows how stages make pictures, words and sounds; loads a net when a stage first needs it.
"""

from janus_cli.pipeline.options import PictureOptions as PictureOptions
from janus_cli.pipeline.options import Sampling as Sampling
from janus_cli.pipeline.options import Size as Size
from janus_cli.pipeline.pipeline import QUESTION as QUESTION
from janus_cli.pipeline.pipeline import Pipeline as Pipeline
from janus_cli.pipeline.pipeline import Watch as Watch
from janus_cli.pipeline.pipeline import load as load
from janus_cli.pipeline.plan import Plan as Plan
from janus_cli.pipeline.plan import Prompt as Prompt
