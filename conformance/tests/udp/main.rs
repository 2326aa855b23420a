//! Items of LwM2M 1.0 over UDP on the loopback: our Server with its REST interface, our Client, and
//! scripted peers of either side that say what a polite peer never says.
//!
//! Every port is one that the system chose, every wait is for something that happens, and every test
//! ends what it began. `spec/lwm2m-1.0.toml` says which test holds which item.

mod access;
mod bootstrap;
mod common;
mod formats;
mod impolite;
mod management;
mod objects;
mod registration;
mod reporting;
mod security;
