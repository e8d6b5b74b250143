"""The laws of quotas, for those who keep them together and for one who is on its own."""
