//! The LwM2M Server and the Bootstrap-Server, as machines without IO.
