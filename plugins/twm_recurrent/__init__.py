"""Recurrent dynamics over embeddings: GRU, LSTM, and a GRU with a Gaussian prior and posterior."""
