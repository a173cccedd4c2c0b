//! TLS on either side: the same conversations once more ([`down`], [`up`], [`both`]), and what only TLS has.

mod both;
mod clients;
mod down;
mod up;
mod upstreams;
