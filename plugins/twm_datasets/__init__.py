"""Recorded traffic as datasets: CommonRoad scenario folders and the ETH/UCY pedestrian recordings."""
