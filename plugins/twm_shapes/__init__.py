"""The plugin `shapes`: a generated dataset of bouncing shapes with images, vectors, actions, rewards and ends."""
