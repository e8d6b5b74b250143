"""Who may ask what: credentials, networks, rates, and a record of what was denied."""
