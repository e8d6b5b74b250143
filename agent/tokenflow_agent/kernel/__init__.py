"""Loads programs into the kernel and reads what they sum up.

Everything is summed up in the kernel and read once per window. The compiler runs in a child process that
hands the maps and the attached programs over and ends, so that the agent stays small.
"""
