"""Real clients of OpenAI's API, each a program that plays every scenario against a base URL and prints what it saw.

The result is one JSON object with an entry for each scenario. What a client sees through the gateway has to equal what
it sees of the engine itself.
"""
