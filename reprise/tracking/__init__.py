"""The record of runs in MLflow. Nothing depends on it; all but speeds can be made from files."""
