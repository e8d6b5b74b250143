"""The learned forecaster: trained, judged, kept and served beside the law, never in its place."""
