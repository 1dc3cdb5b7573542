"""Sound: reading and resampling waves, the VGGish front end, FAD, separation quality."""
