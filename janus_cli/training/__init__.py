"""Training: a recipe's components, one after another, into a model folder.

Knows jobs, recipes, the loop and its optimisers; what a net is trained to do is an objective's
(objectives/). Nothing here is needed to use a model.
"""

from janus_cli.training.jobs import TrainOptions, train
from janus_cli.training.plan import plan_training
from janus_cli.training.recipe import Recipe, read_recipe

__all__ = ["Recipe", "TrainOptions", "plan_training", "read_recipe", "train"]
