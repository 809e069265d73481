"""What every training shares: its folder and steps, going on after a kill, the curve, the saved files."""
