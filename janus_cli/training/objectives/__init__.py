"""What each net is trained to do: batches and losses, an objective a module."""
