"""Pictures of estimators in scikit-learn's Display style: `from_estimator`, then `plot(ax=…)`; one a file."""
