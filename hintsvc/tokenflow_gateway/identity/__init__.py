"""Who asks: keys, tokens, networks, and how often."""
