"""Readers of plain text recordings: TrajNet and TrajNet++, the Stanford Drone Dataset, ApolloScape."""
