"""The readers of the Waymo Open Motion Dataset: TFRecords, and JSON made of them."""
