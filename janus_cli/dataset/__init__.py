"""What is learned from: drawings, names, captions, scenes and speech, and what of it is held out."""
