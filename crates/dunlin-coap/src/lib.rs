//! CoAP as one endpoint lives it, as a machine without IO.
