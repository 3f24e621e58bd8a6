"""Real mounts. Run on demand, as root: pytest tests/mounts --run-mounts"""
