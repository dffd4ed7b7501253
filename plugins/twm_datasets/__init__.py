"""Datasets of recorded traffic: scenario stores, CommonRoad folders, ETH/UCY."""
