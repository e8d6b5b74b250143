"""A way to an API server that can be made bad: a reverse proxy that refuses, delays, forgets and cuts."""
