"""A trained cell's network as a folder, an MLflow model or an ONNX file. Its input is image files, or vectors."""
