"""Readers of plain text recordings: TrajNet, Stanford Drone Dataset, ApolloScape."""
