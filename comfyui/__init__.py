"""The only code that touches ComfyUI: folders, cancel, progress, callers, events."""
