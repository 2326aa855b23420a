//! The LwM2M Client, as a machine without IO.
