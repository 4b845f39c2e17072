"""Scripts for those who work on RegionCap."""
