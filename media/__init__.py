"""Images and audio: tensors to files and back. Knows neither HTTP nor ComfyUI."""
