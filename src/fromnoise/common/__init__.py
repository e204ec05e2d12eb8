"""What every package stands on: errors, seeds, image specs, durations, files, text, options. Nothing here trains."""
