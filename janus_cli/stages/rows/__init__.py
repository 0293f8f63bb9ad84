"""Pictures row by row and tile by tile, as they come."""
