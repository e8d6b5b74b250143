// Nothing of it is needed: the program names what it uses.
