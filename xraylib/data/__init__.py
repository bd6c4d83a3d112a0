"""Everything before the network: image trees, their index, audit and loading."""
