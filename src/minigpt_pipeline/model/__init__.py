"""The miniature GPT: its layers, its loss, its training and what it writes. Neither Kedro nor MLflow is known here."""
