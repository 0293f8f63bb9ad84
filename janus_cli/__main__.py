"""`python -m janus_cli` is `janus`."""

import sys

from janus_cli.app import main

sys.exit(main())
