"""LangChain, in a virtual environment of its own: nothing of this project is there."""
