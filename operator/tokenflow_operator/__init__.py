"""The operator: observes, plans and executes what the custom resources ask for."""
