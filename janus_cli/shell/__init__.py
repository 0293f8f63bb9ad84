"""What commands share: flags, stdin and stdout, paths, devices, progress. The only room that touches them."""
