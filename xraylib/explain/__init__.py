"""What a network reads of a radiograph, found by experiment."""
