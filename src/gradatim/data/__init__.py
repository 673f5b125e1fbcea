"""Tables, schemas, splits, codecs and batches: from a file to what the network sees."""
