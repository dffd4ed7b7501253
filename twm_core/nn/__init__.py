"""The torch side: interfaces, the world model, distributions and masks. Importing anything here imports torch."""
