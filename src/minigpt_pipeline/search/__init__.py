"""A search for better parameters with Optuna, which neither Kedro nor MLflow has a part in."""
