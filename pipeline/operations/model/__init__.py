"""A trained cell's network as a model of its own: as a folder, an MLflow model, an ONNX file. It takes pictures."""
