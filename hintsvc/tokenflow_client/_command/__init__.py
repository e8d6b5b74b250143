"""The ``tokenflow`` command: hints, load and a chat, from a terminal."""
