"""Plain text and tokens: no Kedro, no Keras, no MLflow."""
