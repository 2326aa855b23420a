//! DTLS 1.2 for LwM2M, as a machine without IO.
