"""Where runtime configs come from.

The API server's watch is the live source. The mounted copy serves at the start and while the API server is out
of reach, since the kubelet refreshes it only after up to a minute.
"""
