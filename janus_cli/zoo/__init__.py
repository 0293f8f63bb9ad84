"""Finds a model by name, path or in the hub's cache; reads configurations and headers: no torch."""

from janus_cli.media.tensor_header import WIDTH as WIDTH
from janus_cli.zoo.models import CODEBOOK as CODEBOOK
from janus_cli.zoo.models import DEFAULT as DEFAULT
from janus_cli.zoo.models import SENSES as SENSES
from janus_cli.zoo.models import Model as Model
from janus_cli.zoo.models import Place as Place
from janus_cli.zoo.models import codebook_fingerprint as codebook_fingerprint
from janus_cli.zoo.models import find as find
from janus_cli.zoo.models import fingerprint as fingerprint
from janus_cli.zoo.models import list_folders as list_folders
from janus_cli.zoo.models import list_places as list_places
from janus_cli.zoo.models import locate as locate
from janus_cli.zoo.models import read_header as read_header
