"""What is wrong with a collection of files, before anything is trained."""
