"""``kubectl tokenflow``: what people ask of TokenFlow at the command line.

It works with the caller's own rights and through the caller's own kubectl, so that whatever signs a person in
there signs the plugin in too.
"""
