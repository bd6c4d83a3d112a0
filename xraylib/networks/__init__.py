"""Networks: built, trained, computed."""
