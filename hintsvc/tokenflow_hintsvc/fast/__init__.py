"""A listener of its own for hint reads and the stream, which clients ask before every token.

``docs/fast-listener.md`` says why it is there. It serves what the API serves under the same paths, with the same guard.
"""
