"""The answer format of arXiv 2403.07794's implementation: a strict parser, and a comparison."""
