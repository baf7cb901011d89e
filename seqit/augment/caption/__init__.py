"""Caption-then-answer: chains from image captions, and captioning by a vision model."""
