"""The client SDK: follows the hints of a policy."""
