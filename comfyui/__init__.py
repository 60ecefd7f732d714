"""The only code that touches ComfyUI: folders, cancel, progress, caller, events."""
