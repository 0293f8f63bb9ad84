"""What is learned from: drawings, names, captions, scenes and speech, and what of it is held out.

Knows data packs, pictures, words and voices, and how to change them at random; trains nothing.
"""

from janus_cli.dataset.pack import Concept, build_pack, find_data_folder, read_pack
from janus_cli.dataset.samples import Corpus, Sample

__all__ = ["Concept", "Corpus", "Sample", "build_pack", "find_data_folder", "read_pack"]
