"""The SiliconFlow API in plain Python: knows neither ComfyUI nor torch."""
