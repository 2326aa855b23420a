//! The nouns and verbs of the LwM2M Core specification; nothing that happens over time.
