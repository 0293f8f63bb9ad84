"""The exam of a model: what it draws, sees, hears and says, on lists that were fixed before it was trained.

Knows the lists, the judge, measures, tables and contact sheets. The model answers through its pipeline alone
(candidate.py).
"""

from janus_cli.evaluation.exam import Reporter, evaluate
from janus_cli.evaluation.tables import render_table

__all__ = ["Reporter", "evaluate", "render_table"]
