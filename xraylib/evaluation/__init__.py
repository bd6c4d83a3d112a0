"""How well scores tell the classes apart, and how sure that is."""
