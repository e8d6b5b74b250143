"""What TokenFlow's servers have in common: who asks, what is recorded of it, and how they tell of themselves."""
