"""What the node agent costs, how exact it is, and whether it loses anything.

The agent runs as a real process with a real config. What it measures runs beside it in a network namespace and in
cgroups that look like pods', so that the kernel's own counters of that namespace are the truth to compare with.
"""
