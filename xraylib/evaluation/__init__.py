"""Measure how well scores tell the classes apart, and how sure that is.

Arguments of these names mean the same in every function; one without `Args` has no others:

    labels: 0 or 1, (n,).
    scores: Scores of class 1, in [0, 1], (n,).
    threshold: Scores from here on are classified as class 1.
    patients: The patient of each image, (n,), of any type that can be compared; None where each
        image is of another patient.
    predictions: One row per image, with the columns split (`"validation"` and `"test"` among
        them), label, score and patient.
    resamples: Number of resamples of patients, for the intervals; 0 leaves these undefined, NaN.
    seed: Random seed of the resampling.

Where they hold anything else, are empty, or differ in length, they raise a `ValueError`. All
intervals are of 95 %.
"""
