"""The node agent: measures the network and the GPUs of every pod of its node."""
