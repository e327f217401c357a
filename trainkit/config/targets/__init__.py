"""What a ``_target_`` means: whose code it is, what it takes, what it must give, and building it."""
