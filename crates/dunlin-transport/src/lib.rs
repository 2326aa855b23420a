//! LwM2M operations over CoAP over (D)TLS, as a machine without IO.
