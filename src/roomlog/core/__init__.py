"""Pure data model: nodes, packs, the graph, merging and state. No I/O, clocks or randomness."""
