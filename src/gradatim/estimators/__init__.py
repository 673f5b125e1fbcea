"""Classical estimators with the API of scikit-learn."""
