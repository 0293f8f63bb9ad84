"""The verbs of `janus`, a module each: flags become options, options one call. No verb imports another."""
