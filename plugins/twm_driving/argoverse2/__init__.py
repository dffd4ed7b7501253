"""The readers of Argoverse 2: motion forecasting and sensor logs."""
