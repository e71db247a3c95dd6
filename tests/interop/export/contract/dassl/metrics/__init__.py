from hidden_engine.metrics import compute_accuracy

__all__ = ["compute_accuracy"]
