"""Torch tensors to bytes to data URLs and back: knows neither HTTP nor ComfyUI."""
