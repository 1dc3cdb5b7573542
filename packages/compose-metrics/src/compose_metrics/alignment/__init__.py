"""Does the picture show what was asked for? Cosines of a contrastive picture-text model."""
