"""The forecasting head: several whole futures of each agent at once, and the loss that trains it."""
