"""Find by experiment what a network reads in a radiograph."""
