"""Networks whose answer can be worked out by hand."""

import keras


def mean_network(size=8):
    """A network whose logit is the mean grey value, in units of 255."""
    inputs = keras.Input((size, size, 1), dtype="uint8", name="pixels")
    x = keras.layers.Rescaling(1 / 255, name="rescaling")(inputs)
    x = keras.layers.GlobalAveragePooling2D(name="average")(x)
    x = keras.layers.Dense(1, name="logit", kernel_initializer="ones")(x)
    return keras.Model(inputs, keras.layers.Activation("sigmoid", name="score")(x), name="mean")
