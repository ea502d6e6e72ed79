"""Search in a tree of source code: an index of its functions, ranked by an encoder together with BM25."""
