"""Pneumonia on chest radiographs: data, models, training, evaluation."""

import os

# TensorFlow reads it when it is loaded: warnings and errors, not what it finds on the way.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
