"""Arrays in, figures out: grids, titled rows, step tables, curves and animations, each in a file of its own.

Images are uint8 (N, H, W, C) with 1, 3 or 4 channels. Every function is pure; `save`, `animate` and
`write_bytes` are the only ones that touch the disk. Nothing here knows of training, metrics or run folders.
"""
