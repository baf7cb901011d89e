"""From records to tensors: chat encoding, loss masks, prepared datasets, packing, and batches.

Nothing here loads weights; models are in seqit.train.model.
"""
