"""What my-project trains: a model in `model.py`, a data set in `data.py`."""
