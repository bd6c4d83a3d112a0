"""Pneumonia on chest radiographs: data, models, training, evaluation."""
