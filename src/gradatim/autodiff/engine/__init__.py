"""The engine: tensors that remember how they were made, functions with their local derivatives, layers, losses."""
