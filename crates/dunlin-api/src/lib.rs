//! REST, event stream and embedded UI over whatever can answer them.
