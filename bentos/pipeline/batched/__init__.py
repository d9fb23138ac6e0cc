"""The networks over batches of fixed shapes: the way of a GPU, where every new shape costs seconds and batches pay."""
