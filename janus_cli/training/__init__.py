"""Recipes to weights: jobs, the loop, optimisers, losses."""
