"""Rules against exact and near duplicates, with MinHash, LSH and hash tables in bounded memory."""
