"""From measurements to hints. Pure: nothing here reaches out of the process, or reads a clock."""
