"""Do the tests keep what they promise? Simulated where the truth is known, a table a module."""
