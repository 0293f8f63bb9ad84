"""Modalities beyond text, pictures and sounds: how plugins are found, and `series`, one of them."""

from janus_cli.plugins.registry import BUILT_IN as BUILT_IN
from janus_cli.plugins.registry import GROUP as GROUP
from janus_cli.plugins.registry import NAME as NAME
from janus_cli.plugins.registry import RESERVED as RESERVED
from janus_cli.plugins.registry import Info as Info
from janus_cli.plugins.registry import Modality as Modality
from janus_cli.plugins.registry import Option as Option
from janus_cli.plugins.registry import Write as Write
from janus_cli.plugins.registry import find as find
from janus_cli.plugins.registry import find_all as find_all
from janus_cli.plugins.registry import guard as guard
from janus_cli.plugins.registry import list_misnamed as list_misnamed
from janus_cli.plugins.registry import list_names as list_names
from janus_cli.plugins.registry import list_suffixes as list_suffixes
from janus_cli.plugins.registry import package_of as package_of
