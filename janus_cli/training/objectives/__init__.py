"""What each net is trained to do: batches and losses, one objective a module."""
