"""Results -> tables, sentences, figures and pages."""
